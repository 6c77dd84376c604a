#!/usr/bin/env bash
# Fuzzes the decoders of outside bytes with libFuzzer on the stable compiler, each for FUZZ_SECONDS.
# The corpus stays in fuzz/corpus; what crashes a decoder is written to fuzz/artifacts.
set -euo pipefail
cd "$(dirname "$0")/../fuzz"

target=$(rustc -vV | awk '/^host:/ { print $2 }')
# With --target the flags do not reach build scripts.
RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 --cfg fuzzing" \
  cargo build --bins --target "$target"

for name in envelope frame manifest marks; do
  mkdir -p "corpus/$name" artifacts
  seeds=()
  [[ $name == manifest ]] && seeds=(../manifests)
  [[ -d seeds/$name ]] && seeds=("seeds/$name")
  echo "--- $name, ${FUZZ_SECONDS:-20} s"
  "target/$target/debug/$name" "corpus/$name" "${seeds[@]}" -max_total_time="${FUZZ_SECONDS:-20}" -timeout=10 \
    -rss_limit_mb=1024 -max_len=4096 -artifact_prefix="artifacts/$name-" -print_final_stats=1 2>&1 | tail -n 6
done
