#!/usr/bin/env bash
# Measures with a release build; ends with one line for each figure.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --release -p turbo-worker -p turbo-sim
cargo bench -p turbo-worker --bench pipeline
