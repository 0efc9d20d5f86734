# make check   format, lints, dependencies, documentation
# make test    everything that can be tested here; installs what it needs by itself
# make chaos   300 runs on clusters whose workers are killed, stopped, drained and started; CHAOS=n does n of them
# make sanitize   tests of the code with `unsafe` in it, under AddressSanitizer
# make miri   tests of kernels and of threads that borrow, under Miri, on small matrices; needs a nightly toolchain
# make fuzz    a fuzz target for each decoder, FUZZ=60 seconds each; needs a nightly toolchain
# make mutants   tests on code that was made wrong; hours, MUTANTS='--file src/sched/load.rs' or --shard 1/8 for a part
# make bench   the benchmark harness, beside NumPy and Dask where they can be installed
# make bench-outofcore   matrices larger than memory, against the disk and beside Dask; 25 GB of disk, OUTOFCORE='--rounds 3'
# make bench-cluster   four workers in memory cgroups, with matrices of gigabytes; needs root and 8 GB of disk

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.PHONY: check check-deps test chaos sanitize miri fuzz mutants mutants-pure mutants-cluster mutants-tool bench bench-outofcore bench-cluster libraries slurm fio peers

CARGO ?= cargo
# Tests that a build with other features is worth a second run for: what runs code of kernels/, and what reads its formats.
FEATURE_TESTS := cli numerics session mnist zarr hdf5
# Those that wait for processes and nodes more than they compute, and all others that need no feature.
WAITING_TESTS := cluster slurm
BUSY_TESTS := $(filter-out $(WAITING_TESTS) hdf5,$(sort $(basename $(notdir $(wildcard tests/*.rs */tests/*.rs)) \
    $(notdir $(patsubst %/main.rs,%,$(wildcard tests/*/main.rs */tests/*/main.rs))))))
named = $(addprefix --test ,$(1))
KERNEL_TESTS := $(basename $(notdir $(wildcard kernels/tests/*.rs)))
# Packages that must be there on Debian and its kin: for features `openblas`, `hdf5` and `blosc`, and for tests with networks.
LIBRARY_PACKAGES := pkg-config g++ libopenblas-dev libhdf5-dev iproute2
# Those of the features that can be built here, in one build: with commas between them.
FEATURES = $(shell { pkg-config --exists openblas && echo openblas; pkg-config --exists hdf5 && echo hdf5; \
    command -v c++ >/dev/null && echo blosc; } 2>/dev/null | paste -sd,)
SANITIZED_TARGET := x86_64-unknown-linux-gnu
TEST_LOG := target/test.log
WAITING_LOG := target/waiting.log
PEERS := target/peers

check: libraries
	@run() { echo "+ $$*"; "$$@"; }
	run $(CARGO) fmt --all -- --check
	run $(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	features=$(FEATURES)
	for feature in openblas hdf5 blosc; do
	    case ,$$features, in *,$$feature,*) ;; *) echo "SKIPPED: clippy of feature $$feature (what it needs is not here)" >&2 ;; esac
	done
	if [ -n "$$features" ]; then
	    run $(CARGO) clippy --workspace --all-targets --locked --features $$features -- -D warnings
	fi
	RUSTDOCFLAGS="-D warnings" run $(CARGO) doc --workspace --no-deps --locked
	$(MAKE) --no-print-directory check-deps

# The licences, bans and sources are in the lock file; the advisories are in a database elsewhere, which may be out of reach.
check-deps:
	@$(CARGO) deny --version >/dev/null 2>&1 || $(CARGO) install cargo-deny --locked
	$(CARGO) deny --workspace check bans licenses sources
	if $(CARGO) deny fetch db >/dev/null 2>&1; then
	    $(CARGO) deny --workspace check advisories
	else
	    echo "SKIPPED: cargo deny check advisories (the RustSec database cannot be reached from here)" >&2
	fi

# Puts OpenBLAS, HDF5, a C++ compiler and `ip` there if that is possible; never fails, whoever needs them looks for them.
libraries:
	@if pkg-config --exists openblas hdf5 2>/dev/null && command -v c++ >/dev/null && command -v ip >/dev/null; then exit 0; fi
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	    echo "installing $(LIBRARY_PACKAGES)"
	    export DEBIAN_FRONTEND=noninteractive
	    apt-get update -qq </dev/null >/dev/null || true
	    # One by one: what is missing keeps nothing else away.
	    for package in $(LIBRARY_PACKAGES); do
	        apt-get install -y -qq --no-install-recommends $$package </dev/null >/dev/null ||
	            echo "apt-get could not install $$package" >&2
	    done
	else
	    echo "not root or no apt-get: cannot install $(LIBRARY_PACKAGES)" >&2
	fi

# Puts a SLURM there for the tests if that is possible; never fails, the tests look for it and say why it is missing.
slurm:
	@slurm/testbed install || true

# A test that leaves something out says "SKIPPED: what (why)" on standard error; the last lines repeat all of them.
test: libraries slurm
	@mkdir -p $(dir $(TEST_LOG))
	: >$(TEST_LOG)
	# What a next build could take up again costs time in the first one, and this is built once.
	export CARGO_INCREMENTAL=0
	run() { echo "+ $$*"; "$$@" </dev/null 2>&1 | tee -a $(TEST_LOG); }
	# All is built first. Tests that wait most of their time run beside the others.
	run $(CARGO) test --workspace --locked --no-run
	set -m # A process group of its own, which ends with this shell.
	$(CARGO) test --workspace --locked --no-fail-fast $(call named,$(WAITING_TESTS)) </dev/null >$(WAITING_LOG) 2>&1 &
	waiting=$$!
	set +m
	trap 'kill -- -$$waiting 2>/dev/null || true' EXIT
	passed=yes
	run $(CARGO) test --workspace --locked --no-fail-fast --lib --bins $(call named,$(BUSY_TESTS)) || passed=no
	run $(CARGO) test --workspace --locked --doc || passed=no
	echo "+ $(CARGO) test --workspace --locked --no-fail-fast $(call named,$(WAITING_TESTS)) (beside the one before)"
	wait $$waiting || passed=no
	trap - EXIT
	tee -a $(TEST_LOG) <$(WAITING_LOG)
	[ $$passed = yes ]
	features=$(FEATURES)
	tests=
	for test in $(FEATURE_TESTS); do
	    case $$test,$$features, in
	        hdf5,*hdf5,*) tests+=" --test $$test" ;;
	        hdf5,*) ;;
	        *) tests+=" --test $$test" ;;
	    esac
	done
	for feature in openblas hdf5 blosc; do
	    case ,$$features, in
	        *,$$feature,*) ;;
	        *) echo "SKIPPED: all tests of feature $$feature (what it needs is not here and cannot be installed)" | tee -a $(TEST_LOG) ;;
	    esac
	done
	if [ -n "$$features" ]; then
	    # One build of all features, and one command: chosen one by one, the packages would each build their dependencies anew.
	    run $(CARGO) test --locked --no-fail-fast -p kernels -p dolmen --features $$features --lib $(call named,$(KERNEL_TESTS)) $$tests
	fi
	echo
	awk '/^test result: ok/ { n += $$4 } END { print "Passed: " n + 0 " tests in all." }' $(TEST_LOG)
	if grep -q 'SKIPPED: ' $(TEST_LOG); then
	    echo "What was skipped:"
	    grep -o 'SKIPPED: .*' $(TEST_LOG) | sort -u | sed 's/^/  /'
	else
	    echo "Nothing was skipped."
	fi

CHAOS ?= 300
chaos:
	DOLMEN_RUNS=$(CHAOS) $(CARGO) test --locked --test cluster whatever_happens -- --nocapture </dev/null

# The sanitizer comes with the stable toolchain, and only its flag is called unstable. A target is named so that build scripts
# and macros are built without it. Documentation tests are left out: they would not be linked with it.
sanitize: libraries
	@export RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address -Cforce-frame-pointers=yes" CARGO_PROFILE_DEV_OPT_LEVEL=1
	run() { echo "+ $$*"; "$$@" </dev/null; }
	common="--locked --target $(SANITIZED_TARGET) --target-dir target/sanitize"
	features=$(FEATURES)
	tests=
	for feature in openblas hdf5; do
	    case ,$$features, in *,$$feature,*) ;; *) echo "SKIPPED: feature $$feature under the sanitizer (what it needs is not here)" >&2 ;; esac
	done
	case ,$$features, in *,hdf5,*) tests="--test hdf5" ;; esac
	run $(CARGO) test $$common -p kernels -p dolmen --features "$$features" --lib $(call named,$(KERNEL_TESTS)) $$tests
	run $(CARGO) test $$common -p cluster --lib -- codec:: coding:: shuffle::

# With the backend faer: Miri runs no foreign code. Large matrices are left out, see `tried` in kernels/tests/common.
miri:
	@if ! $(CARGO) +nightly miri --version >/dev/null 2>&1; then
	    rustup component add --toolchain nightly miri rust-src
	fi
	$(CARGO) +nightly miri test --locked --target-dir target/miri -p kernels </dev/null
	$(CARGO) +nightly miri test --locked --target-dir target/miri -p dolmen --lib disk::threads </dev/null

# Inputs that are found go to target/fuzz-corpus; those in fuzz/corpus are tried first, and by `make test`.
FUZZ ?= 60
fuzz:
	@$(CARGO) fuzz --version >/dev/null 2>&1 || $(CARGO) install cargo-fuzz --locked
	fuzz="$(CARGO) +nightly fuzz"
	for target in $$($$fuzz list); do
	    mkdir -p target/fuzz-corpus/$$target
	    echo "+ $$fuzz run $$target"
	    $$fuzz run --target-dir target/fuzz $$target target/fuzz-corpus/$$target fuzz/corpus/$$target -- \
	        -max_total_time=$(FUZZ) -print_final_stats=1 2>&1 | tee target/fuzz-corpus/$$target.log | grep -E 'ERROR|panicked|stat::number_of_executed_units'
	done

# Changes `graph/`, `sched/` and `cluster/` in one place at a time and looks whether a test fails. Survivors are listed in
# target/mutants/*/switched.out/missed.txt.
MUTANTS ?=
mutants:
	@failed=0
	$(MAKE) --no-print-directory mutants-pure || failed=1
	$(MAKE) --no-print-directory mutants-cluster || failed=1
	exit $$failed

mutants-tool:
	@$(CARGO) mutants --version >/dev/null 2>&1 || $(CARGO) install cargo-mutants --locked
	$(CARGO) build --quiet --locked --manifest-path mutants/switched/Cargo.toml --target-dir target/mutants/tool

# Copies are mutated. They are newer than what was built, which may be of a mutant if a run was broken off.
SWITCHED := $(CURDIR)/target/mutants/tool/debug/switched
mutants-pure: mutants-tool
	@copy=$(CURDIR)/target/mutants/pure
	rm -rf $$copy/src $$copy/tests
	mkdir -p $$copy/src/data $$copy/tests
	cp -r src/{ids.rs,failure.rs,array,graph,protocol,sched} $$copy/src
	cp src/data/spec.rs $$copy/src/data
	cp -r tests/{fleet,graph,moved,simulation,wire}.rs tests/sim tests/support $$copy/tests
	rm -r $$copy/tests/sim/elastic
	sed -i '/elastic/d' $$copy/tests/sim/mod.rs
	cp mutants/Cargo.toml Cargo.lock $$copy
	cp mutants/lib.rs $$copy/src
	export DOLMEN_SEEDS=150 CARGO_TARGET_DIR=$(CURDIR)/target/mutants/build
	$(SWITCHED) $$copy --config mutants/pure.toml \
	    --skip a_worker_that_is_lost_at_half_time_costs_little_beside_its_work --skip made_up_events_change_nothing \
	    --skip a_task_that_crashes_three_workers_ends_the_run --skip less_goes_over_slow_links \
	    --skip who_joins_late_finds_work --skip one_worker_that_spills_never_holds_more_than_the_limit $(MUTANTS)

mutants-cluster: mutants-tool
	@copy=$(CURDIR)/target/mutants/cluster
	rm -rf $$copy/{cluster,kernels,src,tests,benches}
	mkdir -p $$copy
	git ls-files -z | tar --null --files-from - --create | tar --extract --touch --directory $$copy
	export CARGO_TARGET_DIR=$(CURDIR)/target/mutants/build
	$(SWITCHED) $$copy --cargo --package --cargo cluster --config mutants/cluster.toml --package cluster $(MUTANTS)

# A Python with the peers in $(PEERS), or a word on why there is none.
peers:
	@if [ -x $(PEERS)/bin/python ] && $(PEERS)/bin/python -c 'import numpy, scipy, sklearn, dask.distributed, zarr' 2>/dev/null; then exit 0; fi
	rm -rf $(PEERS)
	if ! python3 -m venv $(PEERS) 2>/dev/null && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	    rm -rf $(PEERS)
	    export DEBIAN_FRONTEND=noninteractive
	    { apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-venv; } </dev/null >/dev/null || true
	    python3 -m venv $(PEERS) || true
	fi
	$(PEERS)/bin/pip install --quiet numpy scipy scikit-learn 'dask[complete]' zarr || {
	    rm -rf $(PEERS)
	    echo "SKIPPED: the peers (no Python venv with numpy, scipy, scikit-learn, dask and zarr could be made)" >&2
	}

bench: peers
	$(CARGO) bench --locked --bench '*'
	$(CARGO) build --release --locked
	if [ -x $(PEERS)/bin/python ]; then
	    $(PEERS)/bin/python benches/compare.py target/release/dolmen matmul svd transpose-add rsvd
	fi

# Measures the disk; the script has a measurement of its own for where it is missing.
fio:
	@if command -v fio >/dev/null; then exit 0; fi
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	    export DEBIAN_FRONTEND=noninteractive
	    { apt-get update -qq && apt-get install -y -qq --no-install-recommends fio; } </dev/null >/dev/null || true
	fi
	command -v fio >/dev/null || echo "fio cannot be installed: the script measures the disk itself" >&2

bench-outofcore: peers fio
	$(CARGO) build --release --locked
	$(CARGO) build --release --locked --example spill
	python=$(PEERS)/bin/python
	[ -x $$python ] || python=python3
	$$python benches/outofcore.py target/release/dolmen $(OUTOFCORE)

# The bits and the bound of each worker, in one test.
bench-cluster:
	DOLMEN_BOUND=large $(CARGO) test --release --locked --test cluster bound -- --nocapture </dev/null
