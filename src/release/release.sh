#!/usr/bin/env bash
# A clean tree → release/: the site, the tool with the page inside, the npm package, and their checksums.
set -euo pipefail
cd "$(dirname "$0")/../.."
[ -z "$(git status --porcelain)" ] || { echo "the tree has changes; commit them first" >&2; git status --short >&2; exit 1; }
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
notes=$(awk -v version="$version" '/^## /{ on = ($2 == version) } on' CHANGELOG.md)
[ -n "$notes" ] || { echo "CHANGELOG.md has no section for $version" >&2; exit 1; }
out=release/whylens-$version
machine=$(rustc -vV | sed -n 's/^host: //p')
# An earlier site in dist/ would lend its compressed files.
rm -rf release dist && mkdir release

make dist package
cargo build --release --bin whylens --features embed
cp target/release/whylens "$out-$machine"
cp "dist-npm/whylens-$version.tgz" release/
# The same tree gives the same bytes.
tar --sort=name --mtime="@$(git log -1 --format=%ct)" --owner=0 --group=0 --numeric-owner \
  --transform "s,^dist,whylens-$version-site," -cf - dist | gzip -9n > "$out-site.tar.gz"
printf '%s\n' "$notes" > release/NOTES.md
(cd release && sha256sum whylens-* > SHA256SUMS && cat SHA256SUMS)
