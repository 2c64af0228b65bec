#!/bin/sh
# Runs once, when the database is empty: one database each for the queue and the directory, each with a user that can see
# nothing else. Only the mta knows the queue's, only the mda the directory's.
set -eu

make() { # NAME PASSWORD
  psql -v ON_ERROR_STOP=1 --no-psqlrc -U "${POSTGRES_USER:-postgres}" -d postgres -v name="$1" -v password="$2" <<'SQL'
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name";
REVOKE ALL ON DATABASE :"name" FROM PUBLIC;
SQL
}

make queue "$QUEUE_PASSWORD"
make directory "$DIRECTORY_PASSWORD"
