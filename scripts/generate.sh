#!/usr/bin/env bash
# Writes what is made from the code; with --check says what differs instead.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build -q --workspace --bins
turbo=target/debug/turbo
differ=0

made() { # made FILE COMMAND…
  local file=$1; shift
  if [[ ${CHECK:-} == 1 ]]; then
    "$@" | diff -u "$file" - || { echo "$file differs from what the code makes; run: make generate"; differ=1; }
  else
    "$@" >"$file.new" && mv "$file.new" "$file"
  fi
}

[[ ${1:-} == --check ]] && CHECK=1
made crds/turbopipelines.yaml "$turbo" schema
made docs/metrics.md "$turbo" reference metrics
made docs/pipeline-file.md "$turbo" reference pipeline-file
made docs/conditions.md target/debug/turbo-operator reference conditions
exit "$differ"
