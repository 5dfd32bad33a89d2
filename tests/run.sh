#!/usr/bin/env bash
# Every check: three lanes at once (one waits for downloads, one compiles for wasm32, one natively), then the
# browsers, which need the results of all three. A lane's output is printed when it ends; the first check that fails,
# or takes longer than its limit, ends the run. The end lists how long each took.
#
# `bash tests/run.sh LANE` runs one lane: scripts, wasm, native, chromium, firefox, webkit, or soak, which is not in a full run.
set -euo pipefail
cd "$(dirname "$0")/.."
# Lanes must not wait for job slots of a make that called this.
unset MAKEFLAGS MFLAGS

# --- the lanes -------------------------------------------------------------------------------------------------

scripts() {
  check 10m "node modules" make --silent tests/node_modules
  check 5m "types of the JavaScript" bash -c 'cd tests && npx tsc --project ..'
  check 5m "formatting of the JavaScript" tests/node_modules/.bin/prettier --check .
  check 5m "boundaries between the parts" node_tests structure/boundaries.test.js structure/architecture.test.js
  check 20m "cargo-deny" make --silent deny
  check 5m "licences and sources of the dependencies" cargo deny check licenses bans sources
  if timeout 60 cargo deny fetch db 2>/dev/null; then
    check 5m "advisories" cargo deny check advisories
  else
    echo "skipped: advisories; the RustSec database cannot be reached from here"
  fi
  check 15m "browsers" make --silent chromium firefox webkit
}

# The golden values with the kernels that visitors have, from the same dependencies as the modules.
on_wasm=(--profile wasm --target wasm32-unknown-unknown --no-default-features --features compile --test golden)
export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER=wasm-bindgen-test-runner
# For node and for Chromium.
export WASM_BINDGEN_TEST_TIMEOUT=600

wasm() {
  check 10m "bindgen" make --silent target/tools/bindgen
  check 20m "runner of tests on wasm32" make --silent runner
  check 10m "clippy for wasm32" cargo clippy --lib "${on_wasm[@]}" -- -D warnings
  check 10m "clippy for wasm32, of the smaller module" cargo clippy --lib --profile wasm --target wasm32-unknown-unknown --no-default-features -- -D warnings
  check 30m "modules" make modules
  check 5m "sizes of the modules" node tests/structure/sizes.js
  check 15m "golden values on wasm32 compiled" cargo test "${on_wasm[@]}" --no-run
  check 10m "golden values under node" cargo test "${on_wasm[@]}"
}

native() {
  check 1m "rustfmt" cargo fmt --all --check
  check 15m "clippy" cargo clippy --release --all-targets -- -D warnings
  check 10m "clippy for what the Makefile runs" cargo clippy --release -p whylens-bindgen -p whylens-serve --all-targets -- -D warnings
  RUSTDOCFLAGS="-D warnings" check 10m "documentation" cargo doc --release --no-deps --lib
  check 5m "strace" make --silent strace
  check 30m "native tests compiled" cargo test --release --no-run
  if cargo nextest --version >/dev/null 2>&1; then
    check 15m "native tests" cargo nextest run --release
  else
    check 15m "native tests" cargo test --release --lib --bins --tests
  fi
  check 10m "the server of the Makefile" cargo test --release -p whylens-serve
  check 5m "documentation's examples" cargo test --release --doc
  check 10m "the tool" make target/release/whylens www/licenses.txt
}

# A file is ended after ten minutes, whatever holds it up. What failed is said once more at the end.
node_tests() {
  local code=0 said
  said=$(mktemp)
  (cd tests && node --test --test-force-exit --test-timeout="${FILE_LIMIT:-600000}" "$@") | tee "$said" || code=$?
  sed -n '/^ *not ok /,/^ *\.\.\.$/p' "$said"
  rm "$said"
  return "$code"
}

# Files in which time or memory is measured: one at a time.
measured=(page/{large,quiet,slow}.test.js site/endurance.test.js web/{faults,loading,recovery,tabs,thousand}.test.js)
# What depends on a browser's own workers, streams, caches, locks, decoders, inputs and layout. What only our code
# decides is tested in Chromium alone.
engines=(web/{builds,drawings,elsewhere,faults,keeping,library,loading,options,photos,recovery,remote,shown,tabs,without}.test.js page/{engines,faces,unstarted,waysin}.test.js site/endurance.test.js)

chromium() {
  CHROMEDRIVER=$(command -v chromedriver) WASM_BINDGEN_USE_DEDICATED_WORKER=1 \
    check 10m "golden values in a worker of Chromium" cargo test "${on_wasm[@]}"
  local others
  mapfile -t others < <(cd tests && printf '%s\n' {web,page,site,package}/*.test.js | grep -vxF "$(printf '%s\n' "${measured[@]}")")
  check 30m "Chromium, two files at a time" node_tests --test-concurrency=2 "${others[@]}"
  check 15m "Chromium, what is measured" node_tests --test-concurrency=1 "${measured[@]}"
}

firefox() {
  export FIREFOX=${FIREFOX:-$(command -v firefox-esr || true)}
  if [ -n "$FIREFOX" ]; then
    # Firefox does not report its memory, so more turns would find no more.
    BROWSER=firefox WHYLENS_ENDURE=20 check 20m "Firefox" node_tests --test-concurrency=1 "${engines[@]}"
  else
    echo "skipped: no Firefox here; install Debian's package firefox-esr, or set FIREFOX to its path"
  fi
}

# What its driver can do, within three minutes: builds, cache and second visit, tabs, pixels, several heads.
in_webkit=(web/{builds,heads,health,photos,tabs}.test.js)

webkit() {
  if [ -x /usr/bin/WebKitWebDriver ] && [ -x /usr/bin/Xvfb ]; then
    BROWSER=webkit check 15m "WebKit" node_tests --test-concurrency=2 "${in_webkit[@]}"
  else
    echo "skipped: no WebKit here; install Debian's packages webkit2gtk-driver and xvfb"
  fi
}

soak() {
  WHYLENS_FUZZ=${WHYLENS_FUZZ:-600} check 3h "damaged files" cargo test --release --test fuzz
  WHYLENS_MUTATE=${WHYLENS_MUTATE:-600} check 3h "damaged photos" cargo test --release --test mutations
  check 1h "the page's modules and the tool" make build
  WHYLENS_ENDURE=${WHYLENS_ENDURE:-1000} FILE_LIMIT=10800000 check 3h "many classifications" node_tests site/endurance.test.js web/threads.test.js
}

# --- how they are run ------------------------------------------------------------------------------------------

logs=target/checks
# For lines that are shown at once, even from inside a lane.
console=${console:-1}
running=

minutes() { printf '%dm %02ds' $(($1 / 60)) $(($1 % 60)); }

# Runs a check with a time limit: check LIMIT NAME COMMAND…
check() {
  local limit=$1 name=$2 began=$SECONDS code=0 took
  shift 2
  printf '\n\033[1m== %s\033[0m\n' "$name"
  # A process group of its own, so that everything that a check started ends with it.
  if [ "$(type -t "$1")" = function ]; then set -- bash "$0" "$@"; fi
  timeout --kill-after=20 "$limit" "$@" </dev/null &
  running=$!
  wait "$running" || code=$?
  running=
  took=$((SECONDS - began))
  case $code in
    0)
      printf '%s  %s\n' "$(minutes $took)" "$name" >>"$logs/times"
      printf '%s  %s\n' "$(minutes $took)" "$name" >&"$console"
      ;;
    124) printf '\n\033[1m%s: takes longer than %s\033[0m\n' "$name" "$limit" ;;
    *) printf '\n\033[1m%s: failed after %s\033[0m\n' "$name" "$(minutes $took)" ;;
  esac
  return "$code"
}

declare -A lanes=()

stop() {
  [ -z "$running" ] || kill "$running" 2>/dev/null || true
  [ ${#lanes[@]} = 0 ] || kill "${!lanes[@]}" 2>/dev/null || true
}
trap stop EXIT
trap 'exit 1' INT TERM

# Runs lanes at once.
together() {
  local lane pid code
  for lane; do
    console=$console bash "$0" "$lane" >"$logs/$lane.log" 2>&1 &
    lanes[$!]=$lane
  done
  while [ ${#lanes[@]} -gt 0 ]; do
    code=0
    wait -n -p pid "${!lanes[@]}" || code=$?
    lane=${lanes[$pid]}
    unset "lanes[$pid]"
    printf '\n\033[1m==== %s\033[0m\n' "$lane"
    cat "$logs/$lane.log"
    [ "$code" = 0 ] || return 1
  done
}

mkdir -p "$logs"
case ${1:-} in
  '')
    : >"$logs/times"
    exec {console}>&1
    make --silent toolchain strace
    together scripts wasm native
    chromium
    firefox
    webkit
    printf '\n\033[1m== all passed in %s\033[0m\n' "$(minutes $SECONDS)"
    cat "$logs/times"
    ;;
  *) "$@" ;;
esac
