// Package simulator runs scenarios: clusters of real nodes with faults over
// time, a truth that is known, and a judge who counts what the nodes got wrong.
//
// A scenario (package scenario) is played once for each seed by an engine.
// Package virtual is the engine that runs real gossip nodes over an in-memory
// network in virtual time. What happens goes to the oracle, which knows what
// was really the case; its results for all seeds, put together, are a
// result.Result.
//
// In a test:
//
//	exp, err := simulator.Parse("my.yaml", text)
//	...
//	res, err := simulator.Run(ctx, exp, simulator.Options{T: t})
//	...
//	if !res.Holds() { ... }
package simulator
