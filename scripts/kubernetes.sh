#!/usr/bin/env bash
# Builds what the tests start of Kubernetes, from its Go modules, into a folder of its own; what is there already stays.
# The kinds of other projects, as those define them, are in its folder `crds`. Prints that folder. TURBO_KUBERNETES names another one; KUBEBUILDER_ASSETS spares all of this.
set -euo pipefail

kubernetes=1.36.3 etcd=3.6.16 containerd=2.4.2 coredns=1.14.7
istio=1.31.1 prometheus=0.85.0 keda=2.21.0
into=${TURBO_KUBERNETES:-${XDG_CACHE_HOME:-$HOME/.cache}/turbo-testkit/kubernetes-$kubernetes}
control=(kube-apiserver kube-controller-manager kubectl)
node=(kube-scheduler kubelet kube-proxy)
runtime=(containerd containerd-shim-runc-v2 ctr)
programs=("${control[@]}" etcd)
# A node is a machine with Linux.
[[ $(uname) == Linux ]] && programs+=("${node[@]}" "${runtime[@]}" coredns pause)

missing=()
for program in "${programs[@]}"; do
  [[ -x $into/$program ]] || missing+=("$program")
done
kinds=(istio prometheus keda)
for kind in "${kinds[@]}"; do
  [[ -s $into/crds/$kind.yaml ]] || missing+=("$kind.yaml")
done
if ((${#missing[@]} == 0)); then
  echo "$into"
  exit
fi
if ! command -v go >/dev/null; then
  echo "no Go compiler is there to build ${missing[*]}; install Go 1.26 (go.dev/dl), or name their folder in KUBEBUILDER_ASSETS" >&2
  exit 1
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$into"
export CGO_ENABLED=0 GOFLAGS=-mod=mod GOWORK=off

# The repository builds its own libraries from a folder beside it; as modules they have a version of their own.
module() { # module NAME VERSION
  local name=$1 version=$2 file
  mkdir -p "$work/${name##*/}"
  cd "$work/${name##*/}"
  file=$(go mod download -json "$name@v$version" | sed -n 's/.*"GoMod": "\(.*\)".*/\1/p')
  {
    echo "module parts"
    sed -n 's/^go .*/&/p' "$file"
    echo "require $name v$version"
    sed -n "s|^\t*\(replace \)\{0,1\}\(k8s\.io/[a-z-]*\) => \./staging.*|replace \2 => \2 v0.${version#1.}|p" "$file"
  } >go.mod
}

build() { # build PROGRAM PACKAGE [FLAGS…]
  local began=$SECONDS program=$1 package=$2; shift 2
  [[ " ${missing[*]} " == *" $program "* ]] || return 0
  echo "building $program …" >&2
  go build "$@" -trimpath -o "$into/.$program" "$package"
  mv "$into/.$program" "$into/$program"
  echo "built $program in $((SECONDS - began)) s" >&2
}

kinds_of() { # kinds_of PROJECT MODULE VERSION FILE…
  local project=$1 module=$2 version=$3 folder; shift 3
  [[ " ${missing[*]} " == *" $project.yaml "* ]] || return 0
  mkdir -p "$into/crds"
  folder=$(cd "$work" && go mod download -json "$module@v$version" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
  (cd "$folder" && for file; do cat "$file"; echo; done) >"$work/$project.yaml"
  mv "$work/$project.yaml" "$into/crds/$project.yaml"
}

module k8s.io/kubernetes "$kubernetes"
IFS=. read -r major minor _ <<<"$kubernetes"
at=k8s.io/component-base/version
flags="-s -w -X $at.gitVersion=v$kubernetes -X $at.gitMajor=$major -X $at.gitMinor=$minor"
for program in "${control[@]}" "${node[@]}"; do
  build "$program" "k8s.io/kubernetes/cmd/$program" -ldflags "$flags"
done
module go.etcd.io/etcd/server/v3 "$etcd"
build etcd go.etcd.io/etcd/server/v3 -ldflags "-s -w"
module github.com/containerd/containerd/v2 "$containerd"
for program in "${runtime[@]}"; do
  build "$program" "github.com/containerd/containerd/v2/cmd/$program" -ldflags "-s -w"
done
module github.com/coredns/coredns "$coredns"
build coredns github.com/coredns/coredns -ldflags "-s -w"
kinds_of istio istio.io/api "$istio" kubernetes/customresourcedefinitions.gen.yaml
kinds_of prometheus github.com/prometheus-operator/prometheus-operator "$prometheus" \
  example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml
kinds_of keda github.com/kedacore/keda/v2 "$keda" config/crd/bases/keda.sh_{scaledobjects,triggerauthentications}.yaml
# What holds the namespaces of a pod does nothing, and ends when it is asked to.
if [[ " ${missing[*]} " == *" pause "* ]]; then
  echo '
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
static void end(int signal) { _exit(0); }
static void reap(int signal) { while (waitpid(-1, 0, WNOHANG) > 0); }
int main() { signal(SIGTERM, end); signal(SIGINT, end); signal(SIGCHLD, reap); for (;;) pause(); }' >"$work/pause.c"
  cc -static -O -o "$into/pause" "$work/pause.c"
fi
echo "$into"
