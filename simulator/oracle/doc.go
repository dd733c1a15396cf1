// Package oracle judges runs: it knows what was really the case, hears what every node believed, and counts.
//
// A [Judge] is made for one run from its plan. It is told, in the order of time, every change of every node's
// view, every accusation, and what the nodes sent. From the plan it derives, by the same [scenario.Truth] that the
// engine acts by, which nodes ran, which were held, and which could reach which. So it can say of every verdict
// whether it was true, justified or a false alarm. At the end it gives a [RunResult].
//
// [Evaluate] holds the results of all runs against the expectations of a scenario, [Summarize] puts them
// together with intervals, [Compare] says which differences between two sets of runs are real.
//
// The definitions with their formulas are in docs/simulator-metrics.md. The package knows no engine and no report
// and does no I/O. A Judge has one owner; everything else is safe for concurrent use.
package oracle
