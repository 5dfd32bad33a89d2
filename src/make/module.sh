#!/usr/bin/env bash
# The crate → a module: `module.sh FEATURES PROFILE FOLDER`. FEATURES: what is compiled in (run, run-relaxed,
# run-threads, compile, profile). PROFILE: wasm, as visitors get it, or wasm-quick.
set -euo pipefail
cd "$(dirname "$0")/../.."
features=$1 profile=$2 folder=$3
target=target
options=() last=()
case $features in
  run) ;;
  run-relaxed) last=(-C target-feature=+relaxed-simd) ;;
  compile) options=(--features compile) ;;
  profile)
    options=(--features profile)
    last=(-C target-feature=+relaxed-simd)
    ;;
  run-threads)
    # Memory is shared, and its size is decided by the page (www/worker/helpers.js). The standard library is compiled
    # anew, for the one that comes with Rust has no locks on wasm32; the stable compiler does so only if it is told to.
    target=target/threads
    options=(-Z build-std=std,panic_abort --target-dir "$target")
    flags="-C target-feature=+simd128,+relaxed-simd,+atomics,+bulk-memory,+mutable-globals -C link-arg=--shared-memory"
    flags+=" -C link-arg=--import-memory -C link-arg=--max-memory=4294967296"
    for name in __wasm_init_tls __tls_size __tls_align __tls_base; do flags+=" -C link-arg=--export=$name"; done
    export RUSTC_BOOTSTRAP=1 CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS=$flags
    ;;
esac
# Only a cdylib: fat LTO needs that. All but run-threads are linked from one set of compiled dependencies.
cargo rustc --lib --crate-type cdylib --profile "$profile" --target wasm32-unknown-unknown --no-default-features \
  "${options[@]}" -- "${last[@]}"
mkdir -p "$folder"
target/tools/bindgen "$target/wasm32-unknown-unknown/$profile/whylens.wasm" "$folder"
echo "export default '$(sha256sum "$folder/whylens_bg.wasm" | cut -d' ' -f1)';" >"$folder/version.js"
