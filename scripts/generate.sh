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

# Helm comes by pip, whose folder of programs need not be on the path.
helm() {
  local folders
  folders=$(python3 -c 'import os, sysconfig as s; print(s.get_path("scripts"), s.get_path("scripts", os.name + "_user"), sep=":")')
  env PATH="$PATH:$folders" helm "$@"
}

# Without Helm it is installed so: the chart as it is by default, in a namespace that passes the restricted standard.
install() {
  cat <<'YAML'
# The operator in the namespace turbo-system, made from charts/turbopipeline; the CustomResourceDefinition is in crds/.
apiVersion: v1
kind: Namespace
metadata:
  name: turbo-system
  labels: { pod-security.kubernetes.io/enforce: restricted }
YAML
  helm template turbo charts/turbopipeline --namespace turbo-system --set crds.install=false --kube-version 1.36.3
}

[[ ${1:-} == --check ]] && CHECK=1
made crds/turbopipelines.yaml "$turbo" schema
made docs/metrics.md "$turbo" reference metrics
made docs/pipeline-file.md "$turbo" reference pipeline-file
made docs/conditions.md target/debug/turbo-operator reference conditions
made docs/operator-metrics.md target/debug/turbo-operator reference metrics
made charts/turbopipeline/files/turbopipelines.yaml "$turbo" schema
made docs/chart.md scripts/values.py charts/turbopipeline/values.yaml
made manifests/operator/operator.yaml install
exit "$differ"
