#!/usr/bin/env bash
# Verdicts against memberlist on real agents: how soon twelve SIGKILLs are noticed, and whether anybody is declared failed
# who was stopped for 2 s. Both arms play the same scenario with the same seed at the same time, in 32 network
# namespaces. Needs root. Takes a quarter of an hour for each of SEEDS (1).
#
#   [SEEDS=1] scripts/verdicts-netns.sh BINARY
#
# Exit code: 0 when the median of verdicts is at most half of memberlist's and nobody was declared failed wrongly.
set -uo pipefail
bin=$(realpath -e "$1") || exit 2
scenario=$(dirname "$(realpath "$0")")/verdicts-netns.yaml
dir=$(mktemp -d) || exit 2
trap 'rm -rf "$dir"' EXIT

echo "seeds ${SEEDS:-1}: scripts/verdicts-netns.sh"
"$bin" version
arms=(memberlist verdicts)
pids=()
for arm in "${arms[@]}"; do
	"$bin" simulate run "$scenario" --engine netns --set "detector=$arm" --seeds "${SEEDS:-1}" --no-html >"$dir/$arm.txt" 2>"$dir/$arm.err" &
	pids+=($!)
done
codes=()
for pid in "${pids[@]}"; do
	wait "$pid"
	codes+=($?)
done
for i in 0 1; do
	printf '\n==== %s\n' "${arms[i]}"
	sed "s|$(dirname "$scenario")/|scripts/|g" "$dir/${arms[i]}.txt"
	if [ "${codes[i]}" -gt 1 ]; then
		cat "$dir/${arms[i]}.err" >&2
		exit 2
	fi
done

# The column behind the name of a row.
median() { awk '$1 == "every" && $2 == "observer" { print $3 }' "$dir/$1.txt"; }
printf '\n==== verdicts against memberlist\n'
awk -v m="$(median memberlist)" -v v="$(median verdicts)" -v kept="${codes[1]}" 'BEGIN {
	printf "median time from a SIGKILL to the verdicts of all others: %s s and %s s, ratio %.2f (at most 0.50)\n", m, v, v / m
	print "expectations of the arm verdicts, no false alarm among them: " (kept == 0 ? "kept" : "NOT kept")
	exit !(v / m <= 0.5 && kept == 0)
}'
