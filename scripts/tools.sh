#!/usr/bin/env bash
# Installs what is missing: `build` for a C compiler (SQLite, zstd and TLS are C), `test` for Chromium and DuckDB too,
# with which two of the tests look at the page and read the archive.
set -euo pipefail

missing=()
command -v cc >/dev/null || missing+=(build-essential)
command -v cmake >/dev/null || missing+=(cmake)
if [[ ${1:-build} == test ]]; then
  command -v chromium >/dev/null || missing+=(chromium)
  command -v python3 >/dev/null || missing+=(python3)
  python3 -m pip --version >/dev/null 2>&1 || missing+=(python3-pip)
fi
if ((${#missing[@]})); then
  if ! command -v apt-get >/dev/null; then
    echo "missing: ${missing[*]}; install them with this system's package manager" >&2
    exit 1
  fi
  sudo=$([[ $EUID == 0 ]] || echo sudo)
  $sudo apt-get update -q
  $sudo apt-get install -q -y --no-install-recommends "${missing[@]}"
fi
if [[ ${1:-build} == test ]] && ! python3 -c 'import duckdb' 2>/dev/null; then
  python3 -m pip install -q --disable-pip-version-check duckdb ||
    echo "DuckDB is not there: the test that reads the archive with it is skipped, or fails in CI" >&2
fi
