# make run    installs what is missing, builds, runs everything on this machine (Ctrl-C stops it)
# make test   installs what is missing, runs every test
# make bench  installs what is missing, measures against nginx and a bare server
# make check  what a change must pass: fmt, lint, doc, test

CARGO ?= cargo
# What `waypost dev` is told besides, for example: make run ARGS="--edge 127.0.0.1:9000"
ARGS ?=
# What the benchmark is told besides, for example: make bench BENCH_ARGS="--rounds 3"
BENCH_ARGS ?=
TARGET := $(or $(CARGO_TARGET_DIR),target)

.PHONY: run test bench deps deps-bench deps-browser fmt lint doc check

run: deps
	$(CARGO) build --release --bin waypost
	@exec $(TARGET)/release/waypost dev $(ARGS)

test: deps deps-browser
	$(CARGO) test --workspace --all-targets

bench: deps deps-bench
	$(CARGO) build --release --workspace
	$(TARGET)/release/loadtest $(BENCH_ARGS)

deps:
	@.ci/deps gcc postgresql redis-server setpriv

deps-bench:
	@.ci/deps wrk nginx valgrind

deps-browser:
	@.ci/deps chromium chromedriver fonts
	@.ci/axe $(TARGET)/axe

fmt:
	$(CARGO) fmt --all

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings

doc:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps

check: lint doc test
