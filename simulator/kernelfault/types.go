package kernelfault

import (
	"errors"
	"time"

	"github.com/rs/zerolog"
)

// Config says where a table is made.
type Config struct {
	// Namespace is a file descriptor of the network namespace to work in; 0
	// means the caller's own. It may be closed once Open has returned.
	Namespace int
	// Log is told of what nobody waits for: leftovers that were removed, a
	// lease that could not be renewed, packets dropped because too many were
	// held.
	Log zerolog.Logger
}

// Active is a fault that has not ended, and how long it still lasts.
type Active struct {
	Fault
	Remaining time.Duration `json:"remaining_ns"`
}

// Owned is what stands in one table, as read from the kernel.
type Owned struct {
	// Table is the table's name.
	Table string `json:"table"`
	// Alive tells whether the process that made the table still renews its
	// lease. The faults of a dead one end by their time to live.
	Alive bool `json:"alive"`
	// Faults are those that have not ended, by ID.
	Faults []Active `json:"faults"`
}

// Capability is the result of trying one thing that faults need.
type Capability struct {
	Name string `json:"name"`
	// For says which faults need it.
	For string `json:"for"`
	OK  bool   `json:"ok"`
	// Detail says how it works here, or why not.
	Detail string `json:"detail"`
}

// NotPermitted is the Detail of what this process has no right to try.
const NotPermitted = "not permitted"

// ErrUnsupported is what every *UnsupportedError is, for errors.Is.
var ErrUnsupported = errors.New("kernel faults are not supported here")

// ErrClosed is returned by a Table that was closed.
var ErrClosed = errors.New("the table of faults is closed")

// ErrTooMany is in the chain of the error of a change that would make more than [MaxFaults]; all is as it was.
var ErrTooMany = errors.New("too many faults")

// UnsupportedError says what the kernel, or the rights of this process, lack.
type UnsupportedError struct {
	// Missing names what is missing, and what for.
	Missing string
	// Reason is how that showed.
	Reason error
}

func (e *UnsupportedError) Error() string {
	return "kernel faults: missing here: " + e.Missing + ": " + e.Reason.Error()
}

// Unwrap returns the reason.
func (e *UnsupportedError) Unwrap() error { return e.Reason }

// Is makes every UnsupportedError an ErrUnsupported.
func (e *UnsupportedError) Is(target error) bool { return target == ErrUnsupported }
