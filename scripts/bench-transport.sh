#!/usr/bin/env bash
# Packets per second of processor time: our transport against memberlist's
# NetTransport, and a node of ours against memberlist as it is, in one run.
# Each figure is the best of COUNT rounds, for what else the machine does only
# makes them worse; the ratio is ours to memberlist's.
set -euo pipefail
cd "$(dirname "$0")/.."
COUNT=${COUNT:-3} TIME=${TIME:-1s}
out=$(mktemp) && trap 'rm -f "$out"' EXIT
go test -run '^$' -bench 'Receive|Send|Path' -benchmem -benchtime "$TIME" -count "$COUNT" ./gossip/transport >"$out"
go test -run '^$' -bench 'NodePath' -benchmem -benchtime "$TIME" -count "$COUNT" ./gossip >>"$out"
go test -run '^$' -bench '^BenchmarkTap$' -benchmem -benchtime 1000000x -count "$COUNT" ./gossip >>"$out"
echo "$(nproc) cores, $(uname -sr), $(go version | cut -d' ' -f3); best of $COUNT rounds of $TIME: COUNT=$COUNT TIME=$TIME make bench-transport"
echo "NodePath: B/op and allocs/op are of 32 packets, or of a probe with its ack"
echo
awk '
/^Benchmark/ {
	name = $1; sub(/^Benchmark/, "", name); sub(/-[0-9]+$/, "", name)
	for (i = 3; i < NF; i++) {
		if ($(i+1) == "cpu-ns/op" && (!(name in ns) || $i < ns[name])) ns[name] = $i
		if ($(i+1) == "packets/cpu-s" && $i > rate[name]) rate[name] = $i
		if ($(i+1) == "B/op") bytes[name] = $i
		if ($(i+1) == "allocs/op") allocs[name] = $i
	}
	if (!(name in seen)) { seen[name] = 1; order[++n] = name }
}
END {
	printf "%-66s %14s %10s %10s %10s\n", "", "packets/cpu-s", "ratio", "B/op", "allocs/op"
	for (i = 1; i <= n; i++) {
		name = order[i]
		if (!(name in rate)) continue
		ours = name; sub(/impl=[a-z-]+/, "impl=ours", ours)
		ratio = ours == name ? "" : sprintf("%.2f", rate[ours] / rate[name])
		printf "%-66s %14d %10s %10s %10s\n", name, rate[name], ratio, bytes[name], allocs[name]
	}
	printf "\n%-66s %14s %10s\n", "the tap alone", "CPU ns a packet", "allocs/op"
	for (i = 1; i <= n; i++) if (order[i] ~ /^Tap\//) printf "%-66s %14.0f %10s\n", order[i], ns[order[i]], allocs[order[i]]
}' "$out"
