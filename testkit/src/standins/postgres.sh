#!/bin/bash
# What a manifest may lean on of the original: a database is made where PGDATA holds none, for the user and with the name that
# the variables say, and whoever connects has to know the password.
set -eu
if [[ $1 != postgres ]]; then
  exec "$@"
fi
mkdir -p "$PGDATA"
chmod 700 "$PGDATA"
if [[ ! -s $PGDATA/PG_VERSION ]]; then
  if [[ -z ${POSTGRES_PASSWORD:-} ]]; then
    echo "Database is uninitialized and superuser password is not specified." >&2
    exit 1
  fi
  user=${POSTGRES_USER:-postgres} database=${POSTGRES_DB:-${POSTGRES_USER:-postgres}}
  initdb --username="$user" --pwfile=<(echo "$POSTGRES_PASSWORD") --auth-host=scram-sha-256 --encoding=UTF8 --locale=C
  if [[ $database != postgres ]]; then
    echo "CREATE DATABASE \"$database\"" | postgres --single -j -D "$PGDATA" postgres
  fi
  echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
fi
exec "$@" -c listen_addresses='*'
