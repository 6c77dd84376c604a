#!/usr/bin/env bash
# The house's rules: short files, no machine's paths.
set -euo pipefail
cd "$(dirname "$0")/.."
fail=0

mapfile -t sources < <(git ls-files '*.rs')
long=$(wc -l "${sources[@]}" | awk '$2 != "total" && $1 > 500 { print "  " $2 ": " $1 " lines" }')
[[ -z $long ]] || { echo "above 500 lines:"; echo "$long"; fail=1; }
wc -l "${sources[@]}" | awk '
  $2 != "total" { n++; if ($1 < 110) short++; if ($1 <= 300) middle++ }
  END { printf "%d files: %d%% under 110 lines, %d%% to 300\n", n, 100 * short / n, 100 * middle / n }'

if git grep -n -I -E '/(work|farm|root|home)/' -- ':!*.lock' ':!scripts/house.sh'; then
  echo "a machine's path is in the tree"; fail=1
fi
exit "$fail"
