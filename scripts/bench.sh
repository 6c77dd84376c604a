#!/usr/bin/env bash
# Measures with a release build; ends with one line for each figure.
set -euo pipefail
cd "$(dirname "$0")/.."
# In one, so that the dependencies are compiled once.
cargo build --release -p turbo-worker -p turbo-sim -p turbo-operator --bins --bench pipeline --bench hydration --bench sharded --bench operator
said=$(mktemp)
trap 'rm -f "$said"' EXIT
for bench in pipeline hydration sharded; do
  cargo bench -p turbo-worker --bench "$bench" | tee -a "$said"
done
cargo bench -p turbo-operator --bench operator | tee -a "$said"
echo
grep '^bench ' "$said"
