#!/usr/bin/env bash
# Real agents in network namespaces, for hours, under random faults from a seed:
# partitions, loss, nodes frozen, killed and restarted. In the end all views must
# agree within 15 s of the last heal, nothing may have grown, and nobody may have
# panicked. Needs Linux and root. The first line is the seed, the last one the
# verdict; the exit code is 0 when all of it holds, 1 when not, 2 when it could not run.
#
#   [SEED=1] [DURATION=2h] [NODES=12] [DETECTOR=verdicts] [FAULTS=partition,link,...] [OUT=reports/soak] scripts/soak.sh BINARY
set -uo pipefail
seed=${SEED:-1} duration=${DURATION:-2h} nodes=${NODES:-12} detector=${DETECTOR:-verdicts} faults=${FAULTS:-} out=${OUT:-reports/soak}
echo "soak: seed $seed, $nodes nodes, $duration, detector $detector${faults:+, faults $faults}"

# verdict EXIT TEXT ends the script.
verdict() {
	echo
	echo "soak: $2 (seed $seed, $nodes nodes, $duration)"
	exit "$1"
}
main() {
	[ $# = 1 ] && bin=$(realpath -e "$1") && mkdir -p "$out" || verdict 2 "COULD NOT RUN: the one argument is the program"

	# A leak shows with every fault or with every packet. A soak of two hours has
	# about a hundred faults, so a goroutine or a descriptor lost at each makes
	# dozens; a few more or less are connections that happen to be open. A megabyte,
	# which is 10 % of an agent, is 150 bytes a second.
	{
		"$bin" simulate generate --seed "$seed" --duration "$duration" --nodes "$nodes" ${faults:+--faults "$faults"} &&
			echo "  - {growth: {goroutines: ${MAX_GOROUTINES:-5}, descriptors: ${MAX_DESCRIPTORS:-5}, memory: ${MAX_MEMORY:-15%}}}"
	} >"$out/soak.yaml" || verdict 2 "COULD NOT RUN: there is no such scenario"
	"$bin" version

	# What an agent keeps of the past is bounded, but takes hours to fill: with short
	# bounds it is full early, and what grows then is something else.
	"$bin" simulate run "$out/soak.yaml" --engine netns --set "detector=$detector" --set journal.size=256 --set events.buffer=256 --out "$out"
	case $? in
	0) verdict 0 "HOLDS" ;;
	1) verdict 1 "DOES NOT HOLD" ;;
	*) verdict 2 "COULD NOT RUN" ;;
	esac
}

# A function is read as a whole, so that nobody can change it while it runs.
main "$@"
