#!/usr/bin/env bash
# Does the virtual engine tell the truth? The same scenarios, with the same
# seeds, in virtual time and on real agents in network namespaces, side by side:
# detection of repeated crashes with 8 and 16 nodes, and what every node
# believes at the end of a partition. Needs root. Takes a quarter of an hour.
#
#   scripts/engines-agree.sh BINARY
set -euo pipefail
bin=$(realpath "$1")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

cat >"$dir/crashes.yaml" <<'YAML'
version: 1
name: crashes
description: Ten times one node is killed, and started again 25 s later.
cluster: {nodes: 8}
network: {latency: 1ms, jitter: 500us}
seeds: 1-2
timeline:
  - {at: 5s, every: 40s, times: 10, restart: {nodes: one, down: 25s}}
duration: 410s
YAML
cat >"$dir/halves.yaml" <<'YAML'
version: 1
name: halves-to-the-end
description: The nodes are cut into two halves, and stay so until the end.
cluster: {nodes: 8}
network: {latency: 1ms, jitter: 500us}
seeds: 1-3
timeline:
  - {at: 5s, for: 2m, partition: {shape: halves}}
duration: 125s
YAML

"$bin" version
echo "machine: $(nproc) cores"
runs=()
compare() { # name, arguments
	"$bin" simulate compare "${@:2}" --engines virtual,netns --no-html >"$dir/$1.txt" 2>"$dir/$1.err" &
	runs+=("$1:$!")
}
compare crashes-8 "$dir/crashes.yaml"
compare crashes-16 "$dir/crashes.yaml" --set nodes=16
compare halves-8 "$dir/halves.yaml"
compare halves-16 "$dir/halves.yaml" --set nodes=16
for run in "${runs[@]}"; do
	name=${run%%:*}
	if ! wait "${run##*:}"; then
		cat "$dir/$name.err" >&2
		exit 1
	fi
	printf '\n==== %s\n' "$name"
	sed "s|$dir/||g" "$dir/$name.txt"
done

# Twenty crashes have a wide median: what it is in virtual time, over 600.
for nodes in 8 16; do
	printf '\n==== crashes-%s, virtual, seeds 1-60: seconds from a crash to each verdict\n' "$nodes"
	"$bin" simulate run "$dir/crashes.yaml" --set "nodes=$nodes" --seeds 1-60 --no-html 2>"$dir/err" | grep -E 'median .*p99|every observer'
done
