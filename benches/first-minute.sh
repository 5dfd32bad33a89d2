#!/usr/bin/env bash
# `make serve` of the last commit from nothing, with empty homes and no target folder; then with nothing changed, and
# after changes: `bash benches/first-minute.sh [FOLDER]`. Prints wall time until the page has its module, and CPU time.
# The Rust toolchain is the only thing that it takes from this machine. FOLDER: an empty one, by default a temporary one.
set -euo pipefail
cd "$(dirname "$0")/.."
place=$(realpath -m "${1:-$(mktemp -d)}")
port=${PORT:-8199}
export RUSTUP_HOME=${RUSTUP_HOME:-$HOME/.rustup}
export PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
export HOME=$place/home CARGO_HOME=$place/home/.cargo
mkdir -p "$HOME" "$place/whylens"
git archive HEAD | tar x -C "$place/whylens"
cd "$place/whylens"
# A process group for each job, so that a server ends with all that it started.
set -m
server=
stop() { [ -z "$server" ] || { kill -- "-$server" 2>/dev/null && wait "$server" || true; server=; } }
trap stop EXIT
trap 'exit 1' INT TERM

page() { curl --silent --fail "http://127.0.0.1:$port/$1"; }

# User and system time of all children so far, in seconds: $cpu. A subshell would have none.
count() {
  times >"$place/times"
  cpu=$(tail -1 "$place/times" | sed 's/[ms]/ /g' | awk '{ print $1 * 60 + $2 + $3 * 60 + $4 }')
}

# Starts the server and waits until a page would have its module.
serve() {
  local name=$1 began=$EPOCHREALTIME before took
  count
  before=$cpu
  make serve PORT="$port" 2>&1 &
  server=$!
  until page www/pkg/run-relaxed/version.js >/dev/null; do
    kill -0 "$server" 2>/dev/null || { echo "make serve ended" >&2; exit 1; }
    sleep 0.2
  done
  took=$(awk "BEGIN { printf \"%.1f\", $EPOCHREALTIME - $began }")
  [ -n "${stay:-}" ] || stop
  count
  awk "BEGIN { printf \"\033[1m%s: %.1f s, CPU %.1f s\033[0m\n\", \"$name\", $took, $cpu - $before }"
}

serve 'from nothing'
serve 'nothing changed'
sed -i 's/expected a whole number from 1/expected a whole number, from 1/' src/rank.rs
serve 'a Rust file changed, server started again'
stay=yes serve 'nothing changed, and the server stays'
began=$EPOCHREALTIME
until [ -e target/quick/pkg/run/version.js ] && [ -e target/quick/pkg/compile/version.js ]; do sleep 1; done
awk "BEGIN { printf \"the other modules, built in the background: %.1f s\n\", $EPOCHREALTIME - $began }"
sed -i 's/expected a whole number, from 1/expected a whole number from 1/' src/rank.rs
# The server looks for changes every five seconds.
sleep 6
began=$EPOCHREALTIME
page www/pkg/run-relaxed/version.js >/dev/null
awk "BEGIN { printf \"a Rust file changed, page loaded again: %.1f s\n\", $EPOCHREALTIME - $began }"
echo '// changed' >>www/page/main.js
began=$EPOCHREALTIME
page www/page/main.js | tail -1 | grep -qx '// changed'
awk "BEGIN { printf \"a script changed, page loaded again: %.2f s\n\", $EPOCHREALTIME - $began }"
