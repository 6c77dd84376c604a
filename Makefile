# `make` lists the targets.
.DEFAULT_GOAL := help
SHELL := /bin/bash

.PHONY: help
help: ## Lists the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: ## Runs a whole pipeline: the public network into ./data, with a page at http://127.0.0.1:8080
	@scripts/quickstart.sh

.PHONY: test
test: ## Runs every test, and says what is skipped
	@scripts/tools.sh test
	cargo test --workspace

.PHONY: oracle
oracle: ## The sharded data plane under faults against the truth: SEED=… EVENTS=… (WORKERS, NATS, FAULTS, RATE, HYDRATE, KEEP)
	@scripts/oracle.sh

.PHONY: e2e
e2e: ## The operator and the quickstart on a node of its own, against the truth: EVENTS=… (root)
	@scripts/tools.sh test
	cargo build --workspace --bins
	CI=true cargo test --workspace --test e2e -- --nocapture

.PHONY: image
image: ## The images, by docker, podman or buildah: ENGINE=… VERSION=…
	@scripts/image.sh build

.PHONY: cluster
cluster: ## A Kubernetes of one node to play with, in a network of its own (root)
	@scripts/cluster.sh up

.PHONY: cluster-down
cluster-down: ## Ends it
	@scripts/cluster.sh down

.PHONY: lint
lint: ## Format, lints, the house's rules, and pages that are made from the code
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	scripts/house.sh
	scripts/generate.sh --check

.PHONY: generate
generate: ## Writes what is made from the code: the CRD, the reference pages
	scripts/generate.sh

.PHONY: fuzz
fuzz: ## Fuzzes the decoders of outside bytes, FUZZ_SECONDS each (20)
	scripts/fuzz.sh

.PHONY: bench
bench: ## Measures: one line for each figure, `bench NAME ratio=… goal=…`
	scripts/bench.sh

.PHONY: micro
micro: ## Micro-benchmarks of the pure parts (criterion)
	cargo bench -p turbo-core

.PHONY: deny
deny: ## Licences, bans and sources of dependencies
	command -v cargo-deny >/dev/null || cargo install --locked cargo-deny
	cargo deny check licenses bans sources

.PHONY: clean
clean: ## Removes what was built and what was read
	cargo clean
	rm -rf data
