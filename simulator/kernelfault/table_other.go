//go:build !linux

package kernelfault

import (
	"errors"
	"runtime"
)

// Table is the faults of one owner in one network namespace. On this system
// there is none.
type Table struct{}

func unsupported() error {
	return &UnsupportedError{Missing: "a Linux kernel with nftables", Reason: errors.New("this is " + runtime.GOOS)}
}

// Open fails with an *UnsupportedError.
func Open(Config) (*Table, error) { return nil, unsupported() }

// Change fails with an *UnsupportedError.
func (t *Table) Change([]Fault, []string) error { return unsupported() }

// Active returns nothing.
func (t *Table) Active() []Active { return nil }

// Dropped returns 0.
func (t *Table) Dropped() uint64 { return 0 }

// Close does nothing.
func (t *Table) Close() error { return nil }

// List fails with an *UnsupportedError.
func List(int) ([]Owned, error) { return nil, unsupported() }

// Clear fails with an *UnsupportedError.
func Clear(int) (faults, tables int, err error) { return 0, 0, unsupported() }

// Capabilities says that this is not Linux.
func Capabilities(int) []Capability {
	return []Capability{{Name: "linux", For: "every fault", Detail: unsupported().Error()}}
}
