package simulator

import (
	"flag"
	"os"
	"testing"

	"heartbeat/simulator/scenario"
)

var builtinSeeds = flag.String("builtin-seeds", "1-2", "the seeds with which every built-in scenario is run")

// TestBuiltinScenariosHold runs every built-in scenario as it is. What they
// expect was measured over many more seeds: see docs/simulator.md.
func TestBuiltinScenariosHold(t *testing.T) {
	t.Setenv("SIMULATOR_CHILD", "1")
	for _, b := range scenario.Builtins() {
		t.Run(b.Name, func(t *testing.T) {
			e, err := Load(b.Name, []string{"seeds=" + *builtinSeeds})
			if err != nil {
				t.Fatal(err)
			}
			if e.Scenario.Name != b.Name || len(e.Scenario.Expect) == 0 || b.Teaches == "" {
				t.Errorf("the name is %q, with %d expectations; it teaches %q", e.Scenario.Name, len(e.Scenario.Expect), b.Teaches)
			}
			res, err := Run(t.Context(), e, Options{Child: []string{os.Args[0]}})
			if err != nil {
				t.Fatal(err)
			}
			for _, check := range res.Checks {
				if !check.Holds {
					t.Errorf("%s: %s", check.Expected, check.Text)
				}
			}
			t.Logf("%v of CPU", res.CPU)
		})
	}
}
