// Package scenario is the language in which an experiment on a cluster is written down: how many nodes start
// over what network, which faults strike when, and what must hold.
//
// A scenario is a YAML file, read strictly by [Parse] or [Load]. Everything that is wrong with it is reported
// at once, each error with its line. [Scenario.Resolve] turns it, for one seed, into a [Plan]: a list of
// actions on concrete nodes at concrete times. An engine carries these actions out; the oracle derives from
// the very same actions, through [Truth], which nodes run and which links work at every moment. So the two
// cannot disagree about what happened.
//
// Times in a timeline count from time 0: the moment at which every node lists every other as alive, plus
// cluster.warmup. What happens before is the join.
//
// The package knows no engine and does no I/O except for reading scenario files. Nothing in it keeps a
// goroutine. Parsed scenarios and plans may be read concurrently; a [Truth] has one owner.
package scenario
