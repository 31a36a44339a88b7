# Everything a developer runs. Each target works on a new machine with Rust, a C compiler, make and curl.

.PHONY: demo run test lint bench soak check clean-data help

help: ## What there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: ## Import a year of a real pizzeria and query it; leaves the node running
	bash infra/demo/demo.sh

run: ## Start a node with the storefront app
	cargo run --release -p tidefold --bin tidefold -- up schemas/storefront

test: ## Everything that has to hold
	cargo test --workspace --all-targets
	cargo test --workspace --doc
	cargo run -q -p tidefold --bin tidefold -- check schemas/storefront --scenarios
	cargo run -q -p tidefold --bin tidefold -- check schemas/pizzeria --scenarios
	cargo run -q -p tidefold --bin tidefold -- check schemas/metering --scenarios

lint: ## Formatting and lints, warnings as errors
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

bench: ## Figures, as ratios against a bare server run beside it
	cargo run --release -p tidefold-bench

soak: ## 200 rounds of kill -9 under load
	TIDEFOLD_KILL_ROUNDS=200 cargo test --release -p tidefold --test kill -- --nocapture

clean-data: ## Forget what demo and run have stored
	rm -rf data
