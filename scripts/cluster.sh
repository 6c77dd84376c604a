#!/usr/bin/env bash
# `up` starts a Kubernetes of one node with the images that manifests/ names, and says how to reach it; `down` ends it, and
# leaves nothing of it. It runs in a network of its own, which has no way out.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=data/cluster

running() { [[ -f $folder/pid ]] && kill -0 "$(<"$folder/pid")" 2>/dev/null; }

case ${1:-up} in
  up)
    if ! running; then
      if [[ $EUID != 0 ]]; then
        echo "a node makes namespaces, mounts and control groups: start this as root" >&2
        exit 1
      fi
      scripts/tools.sh test
      cargo build --workspace --bins --example cluster
      mkdir -p "$folder"
      setsid target/debug/examples/cluster target/debug >"$folder/kubeconfig.path" 2>"$folder/log" </dev/null &
      echo $! >"$folder/pid"
      echo "the node starts …"
      until [[ -s $folder/kubeconfig.path ]]; do
        running || { cat "$folder/log" >&2; exit 1; }
        sleep 0.2
      done
    fi
    kubectl=$(command -v kubectl || echo "$(scripts/kubernetes.sh)/kubectl")
    cat <<TEXT
A node runs. In this terminal:

  export KUBECONFIG=$(<"$folder/kubeconfig.path")
  alias kubectl=$kubectl
  kubectl apply --server-side -f crds/turbopipelines.yaml -f manifests/operator
  kubectl apply -f manifests/quickstart
  kubectl -n turbo-quickstart get tp -w

\`make cluster-down\` ends it.
TEXT
    ;;
  down)
    if running; then
      pid=$(<"$folder/pid")
      kill "$pid"
      while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
    fi
    rm -rf "$folder"
    ;;
  *)
    echo "usage: scripts/cluster.sh up|down" >&2
    exit 2
    ;;
esac
