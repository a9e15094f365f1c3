# make run    installs what is missing, builds, runs everything on this machine (Ctrl-C stops it)
# make test   installs what is missing, runs every test
# make bench  installs what is missing, measures against nginx and a bare server
# make check  what a change must pass: fmt, lint, doc, test
#
# make torture      breaks rewards in many ways, by seeds: make torture SEEDS=20 [SEED=1] [PRESET=storm]
# make crash-sweep  kills at each network system call, and strikes at each step: make crash-sweep [EVERY=1]
# make planted      puts bugs in, each of which must be found: make planted [BUG=sweeper-off]

CARGO ?= cargo
# What `waypost dev` is told besides, for example: make run ARGS="--edge 127.0.0.1:9000"
ARGS ?=
# What the benchmark is told besides, for example: make bench BENCH_ARGS="--rounds 3"
BENCH_ARGS ?=
# How many seeds, the first of them, what happens; every which system call; which bug alone.
SEEDS ?= 10
SEED ?= 1
PRESET ?= storm
EVERY ?= 1
BUG ?=
TARGET := $(or $(CARGO_TARGET_DIR),target)

# Bugs are built into a program of its own, in a directory of its own.
PLANTED := $(CARGO) test --target-dir $(TARGET)/planted --features planted-bugs --test faults --

.PHONY: run test bench torture crash-sweep planted deps deps-bench deps-browser deps-faults deps-zookeeper fmt lint doc check

run: deps
	$(CARGO) build --release --bin waypost
	@exec $(TARGET)/release/waypost dev $(ARGS)

test: deps deps-browser deps-faults deps-zookeeper
	$(CARGO) test --workspace --all-targets

bench: deps deps-bench
	$(CARGO) build --release --workspace
	$(TARGET)/release/loadtest $(BENCH_ARGS)

torture: deps deps-faults
	$(CARGO) test --test faults -- torture --seeds $(SEEDS) --seed $(SEED) --preset $(PRESET)

crash-sweep: deps deps-faults
	$(CARGO) test --test faults -- crash-sweep --every $(EVERY)
	$(PLANTED) boundaries

planted: deps deps-faults
	$(PLANTED) planted $(if $(BUG),--bug $(BUG))

deps:
	@.ci/deps gcc postgresql redis-server setpriv

deps-bench:
	@.ci/deps wrk nginx valgrind

deps-browser:
	@.ci/deps chromium chromedriver fonts
	@.ci/axe $(TARGET)/axe

deps-faults:
	@.ci/deps python3 strace psql

deps-zookeeper:
	@.ci/deps zookeeper

fmt:
	$(CARGO) fmt --all

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings

doc:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps

check: lint doc test
