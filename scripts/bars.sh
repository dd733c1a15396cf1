#!/usr/bin/env bash
# Measures how fast five agents find each other, notice a crash and hear of a
# leave, and what a command costs against an agent that knows 1000 members.
#
#   scripts/bars.sh [RUNS]     default 10
#
# Prints the figures and writes them to docs/figures/bars.txt.
set -euo pipefail
cd "$(dirname "$0")/.."

runs=${1:-10}
make build >/dev/null
mkdir -p docs/figures
{
  echo "command: scripts/bars.sh $runs"
  echo "machine: $(nproc) cores, $(awk '/^model name/ {sub(/.*: /, ""); print; exit}' /proc/cpuinfo), Linux $(uname -r | cut -d- -f1), $(go env GOVERSION)"
  echo "agents are processes on loopback with the default settings, observed through their API every 5 ms;"
  echo "the 1000 members are alive messages sent to the agent's gossip port"
  HEARTBEAT_BIN=$PWD/bin/heartbeat BARS=$runs go test -count=1 -timeout 30m -v -run '^TestBars' ./cmd/heartbeat/internal/e2e/ |
    sed -E '/^(=== |--- PASS|PASS$|ok )/d'
} | tee docs/figures/bars.txt
