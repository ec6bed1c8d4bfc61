#!/bin/sh
# Writes .env for docker compose: deploy/env.example with a random password for each empty name. Keeps a file that exists.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
target=${1:-$root/.env}
if [ -e "$target" ]; then
  echo "$target exists: remove it first to have new passwords" >&2
  exit 1
fi
umask 077
while IFS= read -r line || [ -n "$line" ]; do
  case $line in
    *=) printf '%s%s\n' "$line" "$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')" ;;
    *) printf '%s\n' "$line" ;;
  esac
done <"$root/deploy/env.example" >"$target"
echo "wrote $target"
