package transport

import (
	"testing"

	"go.uber.org/goleak"
)

// memberlist does not wait for a probe under way when it shuts down.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/hashicorp/memberlist.(*Memberlist).probeNode"))
}
