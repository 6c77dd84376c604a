#!/usr/bin/env bash
# Starts what manifests/sharded.yaml needs on this machine, on loopback: nats-server, PostgreSQL and an S3 server. Ctrl-C
# stops them; what they hold stays in ./data/servers.
set -euo pipefail
cd "$(dirname "$0")/.."
if [[ $EUID == 0 ]]; then
  echo "PostgreSQL does not run as root; start this as another user" >&2
  exit 1
fi
scripts/tools.sh test
initdb=$(PATH=$PATH:$(compgen -G '/usr/lib/postgresql/*/bin' | sort -V | tail -n 1 || true) command -v initdb)
folder=$PWD/data/servers
mkdir -p "$folder"/{nats,s3}
[[ -d $folder/postgres ]] || "$initdb" -D "$folder/postgres" -U turbo -A trust >"$folder/initdb.log"

trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT
nats-server -js -sd "$folder/nats" -a 127.0.0.1 -p 4222 >>"$folder/nats.log" 2>&1 &
"${initdb%/*}/postgres" -D "$folder/postgres" -k "" -h 127.0.0.1 -p 5432 >>"$folder/postgres.log" 2>&1 &
# It makes a bucket at the first put.
(cd "$folder" && AWS_ACCESS_KEY_ID=turbo AWS_SECRET_ACCESS_KEY=turbo-secret exec weed mini -dir=s3 -ip=127.0.0.1 \
  -ip.bind=127.0.0.1 -s3.port=9000 -webdav=false -admin.ui=false -master.telemetry=false >>s3.log 2>&1) &

cat <<'TEXT'
The servers start; what they say is in data/servers/*.log. In another terminal:

  export TURBO_POSTGRES=postgres://turbo@127.0.0.1:5432/postgres TURBO_S3_KEY=turbo TURBO_S3_SECRET=turbo-secret
  turbo ingest -f manifests/sharded.yaml

Ctrl-C stops them.
TEXT
wait -n
echo "one of them has ended; see data/servers/*.log" >&2
exit 1
