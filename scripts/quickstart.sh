#!/usr/bin/env bash
# Runs a whole pipeline. Where the public network can not be reached, the simulated one of turbo-sim takes its place.
set -euo pipefail
cd "$(dirname "$0")/.."

reachable() {
  for host in jetstream.us-east.bsky.network jetstream.us-west.bsky.network; do
    timeout 5 bash -c "exec 3<>/dev/tcp/$host/443" 2>/dev/null && return 0
  done
  return 1
}

if reachable; then
  echo "Reading the public Bluesky network into ./data/bluesky."
  pipeline=manifests/quickstart.yaml
else
  echo "The public Bluesky network can not be reached: reading a SIMULATED network instead, into ./data/simulated."
  pipeline=manifests/simulated.yaml
fi
scripts/tools.sh build
echo "The first build takes some minutes; after that it starts at once."
cargo build --workspace --bins

if [[ $pipeline == manifests/simulated.yaml ]]; then
  mkdir -p data/simulated
  # The same world as in the last runs, so that the pipeline goes on in it where it stopped. Its past is made anew each
  # time, which takes seconds for each half hour.
  begun=data/simulated/network.begun
  if [[ -f $begun && -z $(find "$begun" -mmin -30) ]]; then
    echo "The simulated network is half an hour old and begins anew; the pipeline finds that out within a minute, and counts a gap."
    rm "$begun"
  fi
  [[ -f $begun ]] || date +%s%6N >"$begun"
  passed=$((($(date +%s%6N) - $(<"$begun")) / 1000000))
  echo "Starting the simulated network."
  : >data/simulated/network.log
  # In a session of its own: Ctrl-C is for the pipeline, which ends before its source does.
  setsid target/debug/turbo-sim serve --port 6008 --rate 500 --seed 1 --start-us "$(<"$begun")" --history "${passed}s" --lookback 30m --keep 0 >>data/simulated/network.log 2>&1 &
  simulator=$!
  trap 'kill "$simulator" 2>/dev/null || true' EXIT
  until grep -q '^ws://' data/simulated/network.log; do
    kill -0 "$simulator" 2>/dev/null || { echo "the simulated network does not start; it needs port 6008 for itself:"; cat data/simulated/network.log; exit 1; }
    sleep 0.1
  done
fi
echo "Look at http://${TURBO_LISTEN:-127.0.0.1:8080} while it runs; Ctrl-C commits what was read, and ends."
target/debug/turbo run -f "$pipeline"
