#!/usr/bin/env bash
# Builds what the tests start of Kubernetes, from its Go modules, into a folder of its own; what is there already stays.
# Prints that folder. TURBO_KUBERNETES names another one; KUBEBUILDER_ASSETS spares all of this.
set -euo pipefail

kubernetes=1.36.3 etcd=3.6.16
into=${TURBO_KUBERNETES:-${XDG_CACHE_HOME:-$HOME/.cache}/turbo-testkit/kubernetes-$kubernetes}
programs=(kube-apiserver kube-controller-manager kubectl etcd)

missing=()
for program in "${programs[@]}"; do
  [[ -x $into/$program ]] || missing+=("$program")
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

module k8s.io/kubernetes "$kubernetes"
IFS=. read -r major minor _ <<<"$kubernetes"
at=k8s.io/component-base/version
flags="-s -w -X $at.gitVersion=v$kubernetes -X $at.gitMajor=$major -X $at.gitMinor=$minor"
for program in kube-apiserver kube-controller-manager kubectl; do
  build "$program" "k8s.io/kubernetes/cmd/$program" -ldflags "$flags"
done
module go.etcd.io/etcd/server/v3 "$etcd"
build etcd go.etcd.io/etcd/server/v3 -ldflags "-s -w"
echo "$into"
