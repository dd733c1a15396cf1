#!/usr/bin/env bash
# How long Serf needs to come together again after a split: agents in network
# namespaces on two bridges, whose link is cut and restored. heartbeat is
# measured by `heartbeat simulate run --engine netns`; see docs/performance.md.
#
#   sudo scripts/compare-serf-split.sh
#
# AGENTS=8   agents, half of them on each side
# SPLIT=120  seconds of the split
# LIMIT=150  seconds to wait after it
# SERF=FILE  a serf binary that is there already; default: built from its module
#
# It prints, for each second after the link is back, how many members each agent
# lists as alive, and in the last line when all listed all (or that none did).
set -euo pipefail

agents=${AGENTS:-8}
split=${SPLIT:-120}
limit=${LIMIT:-150}
if [[ ${1:-} != inside ]]; then
  scratch=$(mktemp -d)
  trap 'chmod -R u+w "$scratch"; rm -rf "$scratch"' EXIT
  serf=${SERF:-$scratch/serf}
  if [[ ! -x $serf ]]; then
    (cd "$scratch" && GOFLAGS= CGO_ENABLED=0 GOBIN=$scratch "${GO:-go}" install -trimpath github.com/hashicorp/serf/cmd/serf@v0.11.0)
  fi
  # Namespaces, bridges and agents end with this one.
  AGENTS=$agents SPLIT=$split LIMIT=$limit SERF=$serf SCRATCH=$scratch \
    unshare --net --pid --fork --kill-child --mount-proc "$0" inside
  exit
fi

ip link set lo up
for side in 0 1; do
  ip link add "side$side" type bridge
  ip link set "side$side" up
done
ip link add mid0 type veth peer name mid1
for side in 0 1; do
  ip link set "mid$side" master "side$side" up
done
pids=()
for ((i = 1; i <= agents; i++)); do
  unshare --net sleep 100000 &
  pids[i]=$!
  until [[ $(readlink "/proc/${pids[i]}/ns/net") != $(readlink /proc/self/ns/net) ]]; do sleep 0.02; done
  ip link add "node$i" type veth peer name eth0 netns "${pids[i]}"
  ip link set "node$i" master "side$((i % 2))" up
  nsenter --net --target "${pids[i]}" ip link set lo up
  nsenter --net --target "${pids[i]}" ip link set eth0 up
  nsenter --net --target "${pids[i]}" ip addr add "10.9.0.$i/24" dev eth0
  join=()
  ((i > 1)) && join=(-retry-join=10.9.0.1 -retry-interval=1s)
  nsenter --net --target "${pids[i]}" "$SERF" agent -node="n$i" -bind="10.9.0.$i" -rpc-addr=127.0.0.1:7373 -profile=lan "${join[@]}" \
    >"$SCRATCH/log$i" 2>&1 &
done

alive() { # how many members the agent lists as alive
  nsenter --net --target "${pids[$1]}" "$SERF" members -status=alive -rpc-addr=127.0.0.1:7373 2>/dev/null | wc -l
}
counts() {
  local list=()
  for ((i = 1; i <= agents; i++)); do list+=("$(alive "$i")"); done
  echo "${list[*]}"
}
all=$(for ((i = 1; i <= agents; i++)); do printf '%s ' "$agents"; done)
all=${all% }
for ((n = 0; n < 60; n++)); do
  [[ $(counts) == "$all" ]] && break
  sleep 1
done
echo "joined: $(counts)"
sleep 5
ip link set mid0 down
sleep "$split"
echo "after $split s of split: $(counts)"
ip link set mid0 up
begin=$(date +%s%N)
while :; do
  now=$(counts)
  took=$((($(date +%s%N) - begin) / 1000000))
  echo "$took ms: $now"
  if [[ $now == "$all" ]]; then
    echo "serf: all $agents list all $took ms after the link was back"
    break
  fi
  if ((took > limit * 1000)); then
    echo "serf: not together $limit s after the link was back"
    break
  fi
  sleep 0.5
done
