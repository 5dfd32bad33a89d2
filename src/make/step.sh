#!/usr/bin/env bash
# Runs a step of a build and prints how long it took: `step.sh NAME COMMAND…`
set -uo pipefail
name=$1
shift
printf '\033[1m== %s\033[0m\n' "$name"
began=$SECONDS
"$@" || {
  code=$?
  printf '\033[1m== %s: failed after %d s\033[0m\n' "$name" $((SECONDS - began)) >&2
  exit $code
}
printf '== %s: %d s\n' "$name" $((SECONDS - began))
