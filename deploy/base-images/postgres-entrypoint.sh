#!/usr/bin/env bash
# Start-up script of the local stand-in for the official postgres image: the part of its
# documented behaviour that the project uses (POSTGRES_USER, POSTGRES_PASSWORD[_FILE],
# POSTGRES_DB, POSTGRES_HOST_AUTH_METHOD, POSTGRES_INITDB_ARGS, /docker-entrypoint-initdb.d,
# drop to the postgres user, data kept in PGDATA).
set -euo pipefail

from_file() { # NAME: take it from NAME_FILE where that is set
  local name=$1 file=${1}_FILE
  if [ -n "${!file:-}" ]; then export "$name"="$(<"${!file}")"; unset "$file"; fi
}

if [ "${1:0:1}" = - ]; then set -- postgres "$@"; fi
if [ "$1" != postgres ]; then exec "$@"; fi

if [ "$(id -u)" = 0 ]; then
  mkdir -p "$PGDATA"; chown -R postgres: "$PGDATA"; chmod 700 "$PGDATA"
  install -d -o postgres -g postgres -m 3777 /var/run/postgresql
  exec setpriv --reuid=postgres --regid=postgres --init-groups -- "$0" "$@"
fi

from_file POSTGRES_PASSWORD; from_file POSTGRES_USER; from_file POSTGRES_DB
user=${POSTGRES_USER:-postgres}; db=${POSTGRES_DB:-$user}

if [ ! -s "$PGDATA/PG_VERSION" ]; then
  method=${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}
  if [ -z "${POSTGRES_PASSWORD:-}" ] && [ "$method" != trust ]; then
    echo "error: the database has no data yet and POSTGRES_PASSWORD is not set" >&2; exit 1
  fi
  # shellcheck disable=SC2086
  initdb -D "$PGDATA" --username="$user" --pwfile=<(printf '%s\n' "${POSTGRES_PASSWORD:-x}") \
    --auth-local=trust --auth-host="$method" --encoding=UTF8 --locale=C.UTF-8 ${POSTGRES_INITDB_ARGS:-}
  printf '\nhost all all all %s\n' "$method" >>"$PGDATA/pg_hba.conf"
  export PGPASSWORD=${POSTGRES_PASSWORD:-}
  pg_ctl -D "$PGDATA" -w -o "-c listen_addresses='' -c unix_socket_directories=/var/run/postgresql" start
  sql=(psql -v ON_ERROR_STOP=1 -h /var/run/postgresql -U "$user" --no-password)
  if [ "$db" != postgres ]; then "${sql[@]}" -d postgres -v db="$db" <<<'CREATE DATABASE :"db";'; fi
  for f in /docker-entrypoint-initdb.d/*; do
    # shellcheck disable=SC1090
    case $f in
      *.sh) if [ -x "$f" ]; then "$f"; else . "$f"; fi ;;
      *.sql) "${sql[@]}" -d "$db" -f "$f" ;;
      *.sql.gz) gunzip -c "$f" | "${sql[@]}" -d "$db" ;;
    esac
  done
  pg_ctl -D "$PGDATA" -m fast -w stop
  unset PGPASSWORD
  echo 'PostgreSQL init process complete; ready for start up.'
fi
exec "$@" -c listen_addresses='*' -c unix_socket_directories=/var/run/postgresql,/tmp
