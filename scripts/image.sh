#!/usr/bin/env bash
# Makes the images, by docker, podman or buildah (ENGINE names one):
#   scripts/image.sh build             of the sources, in the image of a compiler
#   scripts/image.sh prebuilt FOLDER   of the programs of a folder, target/release for example; nothing is pulled
#   scripts/image.sh roots FOLDER INTO what is in the images, as folders
# VERSION is their tag (0.1.0), NAME what comes before it (turbopipeline).
set -euo pipefail
cd "$(dirname "$0")/.."
name=${NAME:-turbopipeline} version=${VERSION:-0.1.0}

# root INTO PROGRAM…: the programs, the libraries that their loader looks for, and what they read of a system.
root() {
  local into=$1 program library; shift
  mkdir -p "$into"/{etc/ssl/certs,tmp,usr/local/bin}
  chmod 1777 "$into/tmp"
  printf 'root:x:0:0::/root:/sbin/nologin\nnonroot:x:65532:65532::/:/sbin/nologin\n' >"$into/etc/passwd"
  cp -L /etc/ssl/certs/ca-certificates.crt "$into/etc/ssl/certs/"
  for program; do
    strip -o "$into/usr/local/bin/${program##*/}" "$program"
    chmod 755 "$into/usr/local/bin/${program##*/}"
    ldd "$program" | grep -o '/[^ ]*' | while read -r library; do
      [[ -e $into$library ]] || install -D -m 755 "$(readlink -f "$library")" "$into$library"
    done
  done
}

roots() { # roots FOLDER INTO
  root "$2/turbo" "$1/turbo" "$1/turbo-operator"
  root "$2/turbo-sim" "$1/turbo-sim"
}

engine() {
  local engine
  for engine in ${ENGINE:-docker podman buildah}; do
    command -v "$engine" >/dev/null && { echo "$engine"; return; }
  done
  echo "none of docker, podman and buildah is there; install one" >&2
  return 1
}

make_images() { # make_images CONTEXT TURBO-TARGET SIM-TARGET
  local with target image pair; with=$(engine)
  for pair in "turbo $2" "turbo-sim $3"; do
    read -r image target <<<"$pair"
    "$with" build --file Dockerfile --target "$target" --tag "$name/$image:$version" --build-arg "VERSION=$version" \
      --build-arg "REVISION=$(git rev-parse HEAD 2>/dev/null || true)" "$1"
    echo "made $name/$image:$version"
  done
}

case ${1:-build} in
  build) make_images . turbo turbo-sim ;;
  prebuilt)
    context=$(mktemp -d)
    trap 'rm -rf "$context"' EXIT
    roots "${2:-target/release}" "$context"
    make_images "$context" prebuilt prebuilt-sim
    ;;
  roots) roots "$2" "$3" ;;
  *)
    sed -n '2,6s/^# //p' "$0" >&2
    exit 2
    ;;
esac
