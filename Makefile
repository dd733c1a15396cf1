# The commands of this repository. `make help` lists them.

GO      ?= go
BIN     := bin/heartbeat
export HB_IMAGE ?= heartbeat:local
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS  = -s -w -X heartbeat/$(INTERNAL)/cli.version=$(VERSION)
# Leaves the generator of manual pages out, which is the command line library's and is not used.
TAGS    := urfave_cli_no_docs
COMPOSE ?= $(shell if docker compose version >/dev/null 2>&1; then echo docker compose; else echo docker-compose; fi)

# More flags for every go test, such as -v or -p 1.
TESTFLAGS ?=
# The packages below cmd/heartbeat are here.
INTERNAL := cmd/heartbeat/internal

.PHONY: help
help: ## list the commands
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## build the binary, static, into bin/
	CGO_ENABLED=0 $(GO) build -trimpath -tags $(TAGS) -ldflags '$(LDFLAGS)' -o $(BIN) ./cmd/heartbeat

.PHONY: demo
demo: build ## watch five real agents join, fail, come back and leave
	@$(BIN) demo

.PHONY: test
test: vet lint race e2e ## everything that CI runs: vet, lint, race tests, end-to-end tests

.PHONY: vet
vet: ## go vet and gofmt
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$unformatted" ]; then echo "not formatted: $$unformatted"; exit 1; fi
	$(GO) vet ./...

.PHONY: lint
lint: ## staticcheck, from its own module file
	$(GO) tool -modfile=tools.mod staticcheck ./...

.PHONY: race
race: ## all tests with the race detector
	$(GO) test -race -timeout 15m $(TESTFLAGS) ./...

.PHONY: e2e
e2e: build ## end-to-end tests with real processes, packet storm and containers
	HEARTBEAT_BIN=$(CURDIR)/$(BIN) $(GO) test -count=1 -timeout 20m $(TESTFLAGS) ./$(INTERNAL)/e2e/

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME each
	GO=$(GO) scripts/fuzz.sh $(FUZZTIME)

.PHONY: bench
bench: ## benchmarks beside the code
	$(GO) test -run '^$$' -bench . -benchmem ./...

.PHONY: bench-transport
bench-transport: ## packets per second of CPU against memberlist's transport, and what the tap costs
	mkdir -p docs/figures
	@bash -o pipefail -c 'scripts/bench-transport.sh | tee docs/figures/transport.txt'

# The seeds of simulate-suite.
SEEDS ?= 1-50

.PHONY: simulate-suite
simulate-suite: build ## every built-in scenario with many seeds (SEEDS), reports in reports/
	@failed=; for s in $$($(BIN) simulate list -o names); do \
		echo "== $$s"; mkdir -p reports/$$s; \
		nice $(BIN) simulate run $$s --seeds $(SEEDS) --out reports/$$s >reports/$$s/summary.txt || failed="$$failed $$s"; \
	done; \
	if [ -n "$$failed" ]; then echo "not as expected:$$failed; see reports/"; exit 1; fi

.PHONY: simulate-validate
simulate-validate: ## hold the simulator's engine against theory (about an hour), figures in docs/figures/
	nice $(GO) test ./simulator -count=1 -run TestEngineAgainstTheory -validate -v -timeout 6h

# The part of verdict-bars: crash, big, idle, frozen, late-50, late-200, partitions, loss-50, loss-200, flapping, pauses or sweep; all together take hours.
PART ?= crash

.PHONY: verdict-bars
verdict-bars: ## measure verdicts against memberlist (PART=crash and others, SEEDS=1-30), figures in docs/figures/verdicts/
	nice $(GO) test ./simulator -count=1 -run 'TestVerdictBars/$(PART)$$' -verdict-bars $(if $(filter-out file,$(origin SEEDS)),-verdict-seeds=$(SEEDS)) -v -timeout 12h

.PHONY: engines-agree
engines-agree: build ## compare the virtual engine with real agents in namespaces (root, a quarter of an hour), figures in docs/figures/
	mkdir -p docs/figures
	@bash -o pipefail -c 'scripts/engines-agree.sh $(BIN) | tee docs/figures/engines.txt'

.PHONY: soak
soak: build ## real agents for DURATION (2h) under random faults from SEED (1), in NODES (12) namespaces (root), report in reports/soak/
	@scripts/soak.sh $(BIN)

.PHONY: verdicts-netns
verdicts-netns: build ## verdicts against memberlist on real agents, SIGKILL and SIGSTOP (root, a quarter of an hour), figures in docs/figures/
	mkdir -p docs/figures
	@bash -o pipefail -c 'scripts/verdicts-netns.sh $(BIN) | tee docs/figures/verdicts-netns.txt'

.PHONY: compare-serf
compare-serf: build ## memory and CPU of our agent beside Serf's, in one run
	mkdir -p docs/figures
	@bash -o pipefail -c 'scripts/compare-serf.sh $(BIN) | tee docs/figures/serf.txt'

.PHONY: bars
bars: ## how fast five agents join, notice a crash and a leave; what a command costs
	scripts/bars.sh

.PHONY: image
image: ## build the container image from a static binary
	CGO_ENABLED=0 GOOS=linux $(GO) build -trimpath -tags $(TAGS) -ldflags '$(LDFLAGS)' -o bin/image/heartbeat ./cmd/heartbeat
	mkdir -p bin/image/empty
	docker build --quiet -t $(HB_IMAGE) .

.PHONY: compose-up
compose-up: build image ## start five nodes in containers and wait until they see each other
	$(COMPOSE) down --remove-orphans
	$(COMPOSE) up -d n1 n2 n3 n4 n5
	scripts/compose-wait.sh $(COMPOSE)

# The scenario of compose-simulate, a built-in one or a file in reports/, and
# further flags, such as --seeds 1-3. The reports belong to HB_USER.
SCENARIO ?= halves
FLAGS    ?=
SIMULATED := net1 net2 net3 net4 net5 sim1 sim2 sim3 sim4 sim5
export HB_USER ?= $(shell id -u):$(shell id -g)

.PHONY: compose-simulate
compose-simulate: image ## run SCENARIO on five containers with kernel faults, report in reports/
	@if [ -n "$$($(COMPOSE) --profile simulate ps -q simulate)" ]; then echo "another run is under way on this cluster: wait for its end" >&2; exit 2; fi
	mkdir -p reports
	$(COMPOSE) rm --stop --force simulate-keys $(SIMULATED) # they may be of another image, or the token of another user
	$(COMPOSE) run --rm simulate $(SCENARIO) $(FLAGS)

.PHONY: compose-down
compose-down: ## stop the containers and remove all that they left
	$(COMPOSE) --profile simulate down --volumes --remove-orphans

.PHONY: clean
clean: ## remove what was built
	rm -rf bin reports
