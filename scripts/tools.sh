#!/usr/bin/env bash
# Installs what building and testing need, where it is missing: a C compiler for SQLite, zstd and TLS, Chromium for the
# test of the page, DuckDB to read the archive as its users do.
set -euo pipefail

missing=()
command -v cc >/dev/null || missing+=(build-essential)
command -v cmake >/dev/null || missing+=(cmake)
command -v chromium >/dev/null || missing+=(chromium)
command -v python3 >/dev/null || missing+=(python3 python3-venv)
if ((${#missing[@]})); then
  if ! command -v apt-get >/dev/null; then
    echo "missing: ${missing[*]}; install them with this system's package manager" >&2
    exit 1
  fi
  sudo=$([[ $EUID == 0 ]] || echo sudo)
  $sudo apt-get update -q
  $sudo apt-get install -q -y --no-install-recommends "${missing[@]}"
fi
python3 -c 'import duckdb' 2>/dev/null || python3 -m pip install -q --disable-pip-version-check duckdb
