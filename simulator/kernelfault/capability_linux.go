package kernelfault

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// explain makes an error that shows a lack an *UnsupportedError.
func explain(err error) error {
	var already *UnsupportedError
	switch {
	case err == nil || errors.As(err, &already):
		return err
	case errors.Is(err, os.ErrPermission):
		return &UnsupportedError{Missing: "the right to change the network (root, or CAP_NET_ADMIN)", Reason: err}
	case errors.Is(err, unix.EPROTONOSUPPORT), errors.Is(err, unix.EAFNOSUPPORT), errors.Is(err, unix.EOPNOTSUPP):
		return &UnsupportedError{Missing: "nftables in the kernel", Reason: err}
	}
	return fmt.Errorf("kernel faults: %w", err)
}
