#!/usr/bin/env bash
# Memory and CPU time of idle heartbeat agents beside idle serf agents: the same
# number of each on loopback, on this machine, in the same run.
#
#   scripts/compare-serf.sh [HEARTBEAT_BINARY]
#
# IDLE=120   seconds of idling that are measured
# AGENTS=5   agents of each kind
# ENCRYPT=1  both with AES-256; default: both without
# SERF=FILE  a serf binary that is there already; default: built for this run
#            from its module (through the Go module proxy) in a scratch directory
#
# Both sides use their LAN profile and keep a snapshot of their members on disk.
# The last lines compare; status 1: heartbeat needs more than serf.
set -euo pipefail

binary=$(realpath "${1:-bin/heartbeat}")
idle=${IDLE:-120}
agents=${AGENTS:-5}
encrypt=${ENCRYPT:-0}
serf_module=github.com/hashicorp/serf
serf_version=v0.11.0
go=${GO:-go}

scratch=$(mktemp -d)
pids=()
cleanup() {
  if ((${#pids[@]})); then
    kill "${pids[@]}" 2>/dev/null || true
    wait "${pids[@]}" 2>/dev/null || true
  fi
  chmod -R u+w "$scratch"
  rm -rf "$scratch"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

serf=${SERF:-$scratch/serf}
if [[ ! -x $serf ]]; then
  echo "building serf $serf_version in $scratch; then this takes $((idle + 15)) s" >&2
  (cd "$scratch" && GOFLAGS= CGO_ENABLED=0 GOBIN=$scratch "$go" install -trimpath -ldflags '-s -w' "$serf_module/cmd/serf@$serf_version")
fi

key=$("$binary" keygen)
umask 077
printf '["%s"]\n' "$key" >"$scratch/keyring.json"
base=$((20000 + ($$ % 1000) * 20))

for ((i = 1; i <= agents; i++)); do
  mkdir "$scratch/serf$i" "$scratch/heartbeat$i"
  args=(-node="n$i" -bind="127.0.0.1:$((base + i))" -rpc-addr="127.0.0.1:$((base + 5000 + i))" -profile=lan
    -snapshot="$scratch/serf$i/snapshot" -retry-join="127.0.0.1:$((base + 1))")
  ((encrypt)) && args+=(-encrypt="$key")
  "$serf" agent "${args[@]}" >"$scratch/serf$i/log" 2>&1 &
  pids+=($!)
  serf_pids[i]=$!

  settings=(HEARTBEAT_NODE_NAME="n$i" HEARTBEAT_NETWORK_BIND=127.0.0.1 HEARTBEAT_NETWORK_PORT="$((base + 10000 + i))" HEARTBEAT_PROFILE=lan
    HEARTBEAT_API_ADDRESS="127.0.0.1:$((base + 15000 + i))" HEARTBEAT_DATA_DIR="$scratch/heartbeat$i"
    HEARTBEAT_CLUSTER_SEEDS="127.0.0.1:$((base + 10001))")
  ((encrypt)) && settings+=(HEARTBEAT_ENCRYPTION_KEYRING="$scratch/keyring.json")
  env "${settings[@]}" "$binary" agent >"$scratch/heartbeat$i/log" 2>&1 &
  pids+=($!)
  heartbeat_pids[i]=$!
done

# alive COMMAND...: how many members it lists alive.
alive() { "$@" 2>/dev/null | grep -c -w alive || true; }
ready() {
  local i
  for ((i = 1; i <= agents; i++)); do
    (($(alive "$serf" members -rpc-addr="127.0.0.1:$((base + 5000 + i))") == agents)) || return 1
    (($(alive "$binary" members --address "127.0.0.1:$((base + 15000 + i))") == agents)) || return 1
  done
}
for ((try = 0; ; try++)); do
  ready && break
  if ((try == 60)); then
    echo "the agents do not see each other:" >&2
    tail -n 5 "$scratch"/*/log >&2
    exit 2
  fi
  sleep 1
done

# CPU time of a process in milliseconds since its start.
cpu_ms() { awk -v hz="$(getconf CLK_TCK)" '{sub(/.*\) /, ""); print ($12 + $13) * 1000 / hz}' "/proc/$1/stat"; }
rss_kib() { awk '/^VmRSS/ {print $2}' "/proc/$1/status"; }
pss_kib() { awk '/^Pss:/ {print $2}' "/proc/$1/smaps_rollup" 2>/dev/null || echo 0; }

sample() { # kind pid agent
  echo "$1 $3 $(rss_kib "$2") $(pss_kib "$2") $(cpu_ms "$2")" >>"$scratch/samples"
}
sample_all() {
  local i
  for ((i = 1; i <= agents; i++)); do
    sample serf "${serf_pids[i]}" "$i"
    sample heartbeat "${heartbeat_pids[i]}" "$i"
  done
}

echo "command:   scripts/compare-serf.sh, IDLE=$idle AGENTS=$agents ENCRYPT=$encrypt"
echo "machine:   $(nproc) cores, $(awk '/^model name/ {sub(/.*: /, ""); print; exit}' /proc/cpuinfo), Linux $(uname -r | cut -d- -f1)"
echo "heartbeat: $("$binary" version | head -n 1), $("$go" version "$binary" | awk '{print $NF}'), $(stat -c %s "$binary") bytes"
echo "serf:      module $serf_version (it calls itself $("$serf" version | head -n 1)), $("$go" version "$serf" | awk '{print $NF}'), $(stat -c %s "$serf") bytes"
echo "settings:  $agents agents of each on 127.0.0.1, profile lan, encryption $( ((encrypt)) && echo AES-256 || echo off), snapshot on disk, idle $idle s"
echo
end=$((SECONDS + idle))
sample_all
while ((SECONDS < end)); do
  sleep $((end - SECONDS < 5 ? end - SECONDS : 5))
  sample_all
done

# A line an agent, then one a kind, then the ratios.
awk '
{
  k = $1; a = $1 " " $2
  if (!(a in n)) { order[++count] = a; first[a] = $5 }
  n[a]++; rss[a] += $3; pss[a] += $4; last[a] = $5
  if ($3 > rssmax[a]) rssmax[a] = $3
  if ($4 > pssmax[a]) pssmax[a] = $4
}
function row(name, r, rm, p, pm, c, t) {
  printf "%-16s %9.0f %9.0f %9.0f %9.0f %12.0f %12.0f\n", name, r, rm, p, pm, c, t
}
END {
  printf "%-16s %9s %9s %9s %9s %12s %12s\n", "", "RSS mean", "RSS max", "PSS mean", "PSS max", "CPU idle", "CPU total"
  printf "%-16s %9s %9s %9s %9s %12s %12s\n", "agent", "KiB", "KiB", "KiB", "KiB", "ms", "ms"
  for (i = 1; i <= count; i++) {
    a = order[i]; split(a, part, " "); k = part[1]
    r = rss[a] / n[a]; p = pss[a] / n[a]; c = last[a] - first[a]
    row(part[1] " n" part[2], r, rssmax[a], p, pssmax[a], c, last[a])
    N[k]++; R[k] += r; P[k] += p; C[k] += c; T[k] += last[a]
    if (rssmax[a] > RM[k]) RM[k] = rssmax[a]
    if (pssmax[a] > PM[k]) PM[k] = pssmax[a]
  }
  print ""
  split("serf heartbeat", kinds, " ")
  for (j = 1; j <= 2; j++) {
    k = kinds[j]
    row(k, R[k] / N[k], RM[k], P[k] / N[k], PM[k], C[k] / N[k], T[k] / N[k])
  }
  s = "serf"; h = "heartbeat"
  printf "%-16s %9.2f %9.2f %9.2f %9.2f %12.2f %12.2f\n", "ratio", R[h] / R[s], RM[h] / RM[s], P[h] / P[s], PM[h] / PM[s], C[h] / C[s], T[h] / T[s]
  ok = R[h] <= R[s] && C[h] <= C[s]
  print "max includes the start: ten seconds after it heartbeat hands back the memory that only the start has needed"
  print ok ? "heartbeat needs no more than serf, in memory (mean RSS) and in CPU time (idle)" : "heartbeat needs MORE than serf"
  exit !ok
}' "$scratch/samples"
