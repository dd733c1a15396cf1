#!/usr/bin/env bash
# Runs every fuzz target of the repository, one after the other.
#
#   scripts/fuzz.sh [TIME]     TIME for each, default 10s
#
# A failing input is kept by Go in the package's testdata/fuzz and is part of its
# tests from then on. Status 1: a target failed.
set -euo pipefail
cd "$(dirname "$0")/.."

time=${1:-10s}
go=${GO:-go}
passed=0
failed=()
while read -r file target; do
  package=./$(dirname "$file")
  echo "=== $target in $package, $time"
  if "$go" test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "$package"; then
    passed=$((passed + 1))
  else
    failed+=("$package $target")
  fi
done < <(git grep -o -E '^func Fuzz[A-Za-z0-9_]*' -- '*_test.go' | sed 's/:func / /')

for target in ${failed[@]+"${failed[@]}"}; do echo "FAILED: $target"; done
echo "$passed passed, ${#failed[@]} failed"
((${#failed[@]} == 0))
