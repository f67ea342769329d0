# Carga's build. `make help` lists the targets by what you want to do.
#
# check is the gate for each commit; test contains it and everything else. Each
# stage prints its name and its time (.ci/stage), and the times are listed at the
# end. A line that begins with "##@" is a group of `make help`.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

# Tools are pinned: each version of the linter reports different findings.
LINT_VERSION := v2.12.2
GOLANGCI ?= .cache/tools/golangci-lint-$(LINT_VERSION)

# The largest agent, in bytes, stripped, for arm6: its storage is small.
AGENT_MAX := 8388608
CROSS := arm6 arm7 arm64 amd64

# The packages that the agent links are also tested without cgo and on 32 bits.
SMALL := ./agent/... ./hal/... ./internal/...
FUZZTIME ?= 30s
FOR ?= 5m
# Arguments of the tests with the race detector. Empty, so that go test can use its
# cache; `make test` shuffles, which runs each test.
RACE ?=
SEED ?= 1
ARGS ?=

# The linter's cache names files by their paths: each clone has its own.
export GOLANGCI_LINT_CACHE := $(CURDIR)/.cache/lint

# Skipped tests are recorded here, and listed at the end of a run.
export CARGA_SKIPPED := $(CURDIR)/.cache/skipped
export CARGA_STAGES := $(CURDIR)/.cache/stages

STAGE := .ci/stage
# All packages but those that have a stage of their own. The demo runs in real
# time, and its embedded MQTT broker has a race of its own in what it retains. The
# simulation runs a seed on one goroutine.
RACED = $$(go list ./... | grep -v -e /internal/archtest$$ -e /sim/demo$$ -e /sim/e2e -e /sim/world$$ -e /sim/chaos$$ -e /sim/environment$$ -e /sim/pi -e /packaging$$)
UNRACED = $$(go list $(SMALL) | grep -v -e /internal/archtest$$ -e /internal/engines$$)

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^##@ / { printf "\n%s\n", substr($$0, 5) } /^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' \
		$(firstword $(MAKEFILE_LIST))

##@ Try it

.PHONY: demo
demo: ## run the whole network in one process (ARGS="--cps 50")
	@.ci/ui --optional
	@.ci/build-sim
	@exec bin/sim demo $(ARGS)

##@ Change it

.PHONY: check
check: ## the gate for each commit: format, vet, lint, import rules, words, race tests, cross-build, size, simulation
	@.ci/begin
	@$(MAKE) stages
	@$(STAGE) "simulation" go test -timeout 10m ./sim/world
	@.ci/end

.PHONY: fmt
fmt: $(GOLANGCI) ## format all Go files
	$(GOLANGCI) fmt

.PHONY: lint
lint: $(GOLANGCI) ## run the linter alone
	$(GOLANGCI) run

.PHONY: generate
generate: ## write the generated files again (JSON Schemas, and more)
	go generate ./...

.PHONY: tidy
tidy: ## bring go.mod and go.sum in order
	go mod tidy

##@ Test it

.PHONY: test
test: ## everything: check, the whole network in fake and in real time, the programs (about 50 minutes)
	@.ci/begin
	@$(STAGE) "machine" .ci/prepare
	@$(MAKE) stages RACE=-shuffle=on
	@$(STAGE) "web page" .ci/page
	@$(STAGE) "build" $(MAKE) build
	@$(STAGE) "API" .ci/schemathesis
	@$(STAGE) "packages" go test -count=1 -timeout 20m ./packaging
	@$(STAGE) "simulation" env CARGA_WORLD_SEEDS=200 go test -count=1 -timeout 10m ./sim/world
	@$(STAGE) "planted bugs" go test -count=1 -tags planted -timeout 10m -run TestPlantedBugs ./sim/world
	@$(STAGE) "fuzz" env FUZZTIME=10s .ci/fuzz
	@$(STAGE) "whole network" go test -count=1 -timeout 20m ./sim/e2e/...
	@$(STAGE) "demo" go test -count=1 -timeout 5m ./sim/demo
	@$(STAGE) "browser" .ci/page browser
	@$(STAGE) "processes" go test -count=1 -timeout 15m ./sim/chaos ./sim/environment
	@$(STAGE) "Raspberry Pi" .ci/pi
	@.ci/end

.PHONY: fuzz
fuzz: ## run each fuzz target for FUZZTIME (30s; FUZZTIME=20m for a night)
	@FUZZTIME=$(FUZZTIME) .ci/fuzz

.PHONY: chaos
chaos: build ## kill, freeze, starve and cut off every part on real engines (FOR=30m SEED=7)
	@.ci/engines fetch
	@exec bin/sim chaos --for $(FOR) --seed $(SEED) --kafka-jars "$$(.ci/engines jars)" $(ARGS)

.PHONY: pi-test
pi-test: ## the agent that is flashed, in an emulated Raspberry Pi with contactor, vehicle and meter
	@.ci/pi

.PHONY: soak
soak: ## the whole network for hours: every start order, long outages, every crash point and pair of them
	CARGA_SOAK=1 go test -count=1 -v -timeout 6h ./sim/e2e
	CARGA_SOAK=1 go test -count=1 -v -timeout 6h -run ForLong ./sim/chaos

##@ Run it

.PHONY: ui
ui: ## build the web page, which Central embeds (needs Node 20.19 or newer)
	@.ci/ui

.PHONY: build
build: ## build the four programs into bin/, with the web page if there is Node
	@.ci/ui --optional
	CGO_ENABLED=0 go build -buildvcs=auto -trimpath -o bin/ ./agent ./bridge
	CGO_ENABLED=1 go build -buildvcs=auto -trimpath -o bin/ ./central ./sim

.PHONY: cross
cross: $(CROSS:%=cross-%) ## build the agent for arm6, arm7, arm64 and amd64 without cgo

.PHONY: engines
engines: ## start Mosquitto and Apache Kafka with the settings of configs/ (LISTEN=192.168.1.10)
	@.ci/engines start

.PHONY: engines-stop
engines-stop: ## stop them; their data stays in .engines/
	@.ci/engines stop

##@ Publish it

.PHONY: release
release: ## build packages, binaries, SBOMs and checksums of all targets into dist/ (VERSION=0.1.0 TARGETS=arm64)
	@.ci/ui --optional
	@.ci/release

##@ Measure it

.PHONY: bench
bench: ## figures of the network beside their targets (ARGS="--only latency --json")
	@$(MAKE) -s build cross-arm6 >&2
	@exec bin/sim bench --kafka-jars "$$(.ci/engines jars)" $(ARGS)

.PHONY: bench-page
bench-page: build ## what the operator's page costs with 1000 charging points (CPS=300 DURATION=60; needs Chromium, a quiet machine)
	@cd central/internal/web/ui && exec npm run -s bench

.PHONY: bench-packages
bench-packages: ## the benchmarks of every package
	go test -run '^$$' -bench . -benchmem -timeout 20m ./...

.PHONY: size
size: cross-arm6 ## fail if the stripped agent for arm6 is larger than 8 MiB
	@bytes=$$(wc -c < bin/cross/agent-linux-arm6); \
	awk -v b="$$bytes" -v max=$(AGENT_MAX) 'BEGIN { printf "agent, linux/arm6, stripped: %.2f MiB of %.2f\n", b/1048576, max/1048576; exit b > max }' \
	|| { echo "too large: see what came in with  go version -m bin/cross/agent-linux-arm6"; exit 1; }

##@ Clean up

.PHONY: clean
clean: ## remove what was built; tools in .cache/ and the data of the demo in .demo/ stay
	rm -rf bin dist central/internal/web/ui/dist/assets central/internal/web/ui/dist/index.html central/internal/web/ui/dist/.inputs
	find . -name node_modules -prune -o \( -name '*.test' -o -name '*.prof' \) -type f -print | xargs -r rm -f

# What follows is not called by hand.

.PHONY: stages
stages:
	@$(STAGE) "tools" $(MAKE) $(GOLANGCI)
	@$(STAGE) "format" $(GOLANGCI) fmt --diff
	@$(STAGE) "modules" go mod tidy -diff
	@$(STAGE) "generated files" .ci/generated
	@$(STAGE) "vet" go vet ./...
	@$(STAGE) "lint" $(GOLANGCI) run
	@$(STAGE) "import rules" go test -count=1 ./internal/archtest
	@$(STAGE) "tests with -race" .ci/race $(RACE) $(RACED)
	@$(STAGE) "tests without cgo" env CGO_ENABLED=0 go test -timeout 5m $(UNRACED)
	@$(STAGE) "tests on 32 bits" .ci/test-386 $(UNRACED)
	@$(STAGE) "cross-build" $(MAKE) cross
	@$(STAGE) "size" $(MAKE) size

# The agent serves only its own page, to this machine: HTTP/2 would be 0.4 MiB. Inlining
# everywhere would be 0.7 MiB: it stays where the control loop runs every 10 ms. For
# 32 bits the linker pads to 64 KiB; no kernel of a Raspberry Pi has pages above 16 KiB.
INLINED := runtime/... internal/runtime/... sync/... internal/sync \
	$(addprefix github.com/carga-ev/carga/,agent/internal/control agent/safety agent/limits hal)
.PHONY: $(CROSS:%=cross-%)
cross-arm6: export GOARM = 6
cross-arm7: export GOARM = 7
$(CROSS:%=cross-%): cross-%:
	CGO_ENABLED=0 GOOS=linux GOARCH=$(if $(filter arm6 arm7,$*),arm,$*) \
		go build -buildvcs=auto -tags nethttpomithttp2 -trimpath -ldflags "-s -w $(if $(filter arm6 arm7,$*),-R 16384)" \
		-gcflags=all=-l $(INLINED:%=-gcflags=%=) -o bin/cross/agent-linux-$* ./agent

$(GOLANGCI):
	@echo "installing golangci-lint $(LINT_VERSION) into .cache/ (about a minute, once)"
	@mkdir -p .cache/tools/new
	@GOBIN=$(CURDIR)/.cache/tools/new go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)
	@mv .cache/tools/new/golangci-lint $@
