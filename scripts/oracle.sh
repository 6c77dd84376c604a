#!/usr/bin/env bash
# The oracle, long: SEED (any), EVENTS (1000000), WORKERS (6), NATS (1 or 3), FAULTS, RATE, HYDRATE=1, KEEP=1.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/tools.sh test
export SEED=${SEED:-$((RANDOM * 32768 + RANDOM))} EVENTS=${EVENTS:-1000000}
# With the features of the whole workspace, as the tests are built. The binary is run itself: cargo would stand between it and the terminal.
cargo test -q --workspace --test oracle --no-run
binary=$(cargo test --workspace --test oracle --no-run --message-format=json 2>/dev/null |
  sed -n 's/.*"name":"oracle".*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)
exec "$binary"
