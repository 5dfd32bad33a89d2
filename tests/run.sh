#!/usr/bin/env bash
# Every check, cheapest first; stops at the first that fails.
set -euo pipefail
cd "$(dirname "$0")/.."
step() { printf '\n\033[1m== %s (%dm %02ds)\033[0m\n' "$*" $((SECONDS / 60)) $((SECONDS % 60)); }

# What also runs on wasm32: the golden values, with the kernels that visitors have.
on_wasm=(--no-default-features --features prepare --test preprocess --test samples --test models)
# Once compiled, for node and for Chromium.
export WASM_BINDGEN_TEST_TIMEOUT=600
wasm_tests() { wasm-pack test "$@" -- --profile wasm-quick "${on_wasm[@]}"; }

step rustfmt
cargo fmt --check
step "licences and sources of the dependencies"
cargo deny check licenses bans sources
if cargo deny fetch db 2>/dev/null; then
  cargo deny check advisories
else
  echo "skipped: advisories; the RustSec database cannot be reached from here"
fi
step clippy
cargo clippy --all-targets -- -D warnings
cargo clippy --lib "${on_wasm[@]}" --target wasm32-unknown-unknown -- -D warnings
cargo clippy --lib --no-default-features --target wasm32-unknown-unknown -- -D warnings
step "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --lib
step "native tests"
cargo test
step "wasm tests under node"
wasm_tests --node
step "wasm tests in a worker of Chromium"
WASM_BINDGEN_USE_DEDICATED_WORKER=1 wasm_tests --headless --chrome --chromedriver "$(command -v chromedriver)"
step "types of the JavaScript"
(cd tests && npx tsc --project ..)
step "build"
# The tool on one core, the link-time optimisation of the modules on the other.
make -j2 build
step "the page in Chromium"
(cd tests && npm test)
step "the page in Firefox"
firefox=${FIREFOX:-$(command -v firefox-esr || true)}
if [ -n "$firefox" ]; then
  (cd tests && FIREFOX=$firefox npm run firefox)
else
  echo "skipped: no Firefox here; install Debian's package firefox-esr, or set FIREFOX to its path"
fi
step "all passed"
