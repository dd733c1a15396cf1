#!/usr/bin/env bash
# Waits until every node of the compose cluster sees all of them alive, then
# says what to type next.
#
#   scripts/compose-wait.sh docker-compose [-p PROJECT]
#   scripts/compose-wait.sh docker compose [-p PROJECT]
#
# WAIT=90  seconds until it gives up, with status 1
set -euo pipefail

if (($# == 0)); then
  echo "usage: $0 docker-compose|docker compose [flags]" >&2
  exit 2
fi
compose=("$@")
deadline=$((SECONDS + ${WAIT:-90}))
mapfile -t nodes < <("${compose[@]}" config --services | grep -x 'n[0-9]*' | sort)

# sees NODE: how many members it holds alive.
sees() {
  timeout 15 "${compose[@]}" exec -T "$1" /heartbeat members --state alive --format names </dev/null 2>/dev/null | wc -l
}

for node in "${nodes[@]}"; do
  until (($(sees "$node") == ${#nodes[@]})); do
    if ((SECONDS >= deadline)); then
      echo "$node does not see ${#nodes[@]} members alive; the last lines of the containers:" >&2
      "${compose[@]}" logs --tail=5 >&2
      exit 1
    fi
    sleep 0.5
  done
done

"${compose[@]}" exec -T "${nodes[0]}" /heartbeat members </dev/null
cat <<NEXT

All ${#nodes[@]} nodes see each other. To try:
  ${compose[*]} exec n1 /heartbeat members --watch
      follows the members; Ctrl-C ends it
  docker kill \$(${compose[*]} ps -q n3)
      crashes a node: within some seconds the others hold it failed
  ${compose[*]} start n3
      brings it back
  ${compose[*]} stop n4
      makes it leave gracefully: left, not failed
From this machine, with the token that the nodes share:
  docker cp \$(${compose[*]} ps -q n1):/keys/token bin/token
  bin/heartbeat members --address 127.0.0.1:${HB_PORTS:-1798}1 --token-file bin/token
NEXT
