#!/bin/sh
# Makes what compose.yaml reads from secrets/, where it is missing, and never touches what is there.
# The directory is yours alone; the files in it can be read by the containers' users.
set -eu
cd "$(dirname "$0")/../.."
umask 077
mkdir -p secrets

random() { head -c "$1" /dev/urandom | base64 | tr -d '\n' | tr '+/' '-_'; }

put() {
  if [ ! -e "secrets/$1" ]; then
    printf '%s' "$2" > "secrets/$1"
    chmod 444 "secrets/$1"
  fi
}

put secret_key "$(random 48)"
put encryption_keys "$(random 32)"
put postgres_password "$(random 24)"
put admin_password "$(random 15)"
put database_url "postgres://mcphost:$(cat secrets/postgres_password)@postgres/mcphost"
echo "The first administrator is admin; the password is in secrets/admin_password."
