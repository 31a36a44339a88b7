# Everything a developer runs. Each target works on a new machine with Rust, a C compiler, make and curl.

.PHONY: demo run test servers-up servers-down lint bench chaos interop secured soak damage attack fuzz check clean-data help

help: ## What there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

# embedded, or real servers: make demo LOG=kafka STORE=scylla
LOG ?= embedded
STORE ?= embedded
export LOG STORE

demo: ## Import a year of a real pizzeria and query it; leaves the node running
	bash infra/demo/demo.sh

run: ## Start a node with the storefront app
	cargo run --release -p tidefold --bin tidefold -- up schemas/storefront

test: ## Everything that has to hold, on real servers where this machine can run them
	infra/test/test.sh

servers-up: ## Real Kafka (127.0.0.1:9092) and Cassandra (CQL, 127.0.0.1:9042), from their jars; SERVERS=3 for three of each
	infra/local/servers.sh up

servers-down: ## Stop them; what they stored stays (infra/local/servers.sh reset forgets it)
	infra/local/servers.sh down

# The benchmark's part for servers is built by nothing else.
lint: ## Formatting and lints, warnings as errors
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --features tidefold/kafka,tidefold-bench/servers -- -D warnings

bench: ## Figures, as ratios beside what they are compared to; on real servers: make bench LOG=kafka STORE=scylla
	bash infra/bench/bench.sh

interop: servers-up ## Other people's clients (Python, Java) on our topics
	cargo build -p tidefold --features kafka
	infra/interop/run.sh

# Tests of tidefold bring the binary, in the scope that the suites are built in.
secured: ## Kafka and Cassandra with TLS and logins: every way in works, every wrong one says what is wrong, the suites pass
	cargo test --workspace --features tidefold/kafka --test contract --test cli --no-run
	infra/secured/run.sh

# APPS, SEED: how many random apps, from which seed on.
APPS ?= 2000
SEED ?= 1

fuzz: ## Random apps and messages at the extremes of every type, against an independent engine; with kill -9 and replay
	cargo build -p tidefold
	python3 infra/fuzz/fuzz.py target/debug/tidefold --apps $(APPS) --seed $(SEED)

chaos: ## A fleet on real Kafka and Cassandra under every fault there is a name for, and the ledger: about an hour
	infra/chaos/chaos.sh

soak: ## 200 rounds of kill -9 under load
	TIDEFOLD_KILL_ROUNDS=200 cargo test --release -p tidefold --test kill -- --nocapture

damage: ## Every byte of a small data folder flipped, every file cut everywhere, missing and older: what was noticed where
	cargo test --release -p tidefold-log-embedded -p tidefold-store-embedded --test every_byte -- --ignored --nocapture

attack: ## One address takes all it can get; what a polite client of another feels of it (Linux, python3)
	infra/attack/attack.sh

clean-data: ## Forget what demo and run have stored
	rm -rf data
