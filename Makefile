# What a person types. `make` alone shows the list.

ARGS     ?=
FUZZTIME ?= 10s
IMAGE    ?= huntaze
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
SEED     ?= $(shell date +%s)
CHAOS    ?= 1
RUN      ?= .

.DEFAULT_GOAL := help
.PHONY: help run test lint race fuzz bench e2e chaos migrate image

help: ## Show this list
	@awk 'BEGIN { FS = ":.*## " } /^[a-z0-9-]+:.*## / { printf "  %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Start everything in one process, with sample messages (ARGS="--fresh" starts anew)
	@echo "building ..."; go build -o bin/huntaze ./cmd/huntaze
	@bin/huntaze dev $(ARGS)

test: ## Run all tests; needs only Go (Postgres is found on the machine, or downloaded)
	go test $(TESTFLAGS) $$(go list ./... | grep -v /e2e)
	go test $(TESTFLAGS) ./e2e/... # alone: it measures rates and runs whole fleets

lint: ## Check format, go vet, staticcheck
	@files=$$(find . \( -name .data -o -name .git -o -name node_modules \) -prune -o -name '*.go' -print | xargs gofmt -l); \
	if [ -n "$$files" ]; then echo "not formatted (gofmt -w):"; echo "$$files"; exit 1; fi
	go vet ./...
	go tool staticcheck ./...

race: ## Run all tests with the race detector (needs a C compiler)
	go test -race $(TESTFLAGS) $$(go list ./... | grep -v /e2e)
	go test -race $(TESTFLAGS) ./e2e/...

fuzz: ## Run every fuzz target for FUZZTIME (10s)
	@set -e; grep -roE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' . | sort | while IFS=: read -r file target; do \
		folder=$$(dirname "$$file"); name=$${target#func }; echo "$$folder $$name"; \
		go test -run='^$$' -fuzz="^$$name\$$" -fuzztime=$(FUZZTIME) "$$folder" </dev/null; \
	done

bench: ## Print the table of figures, each against a baseline of the same run
	go run ./bench $(ARGS)

e2e: ## Run the tests with real processes
	go test -count=1 $(TESTFLAGS) ./e2e/...

chaos: ## The same, heavier, with faults by chance (SEED=n repeats a run, CHAOS=light is shorter, RUN= chooses tests)
	@echo "seed $(SEED)"
	CHAOS=$(CHAOS) SEED=$(SEED) go test -count=1 -timeout=60m -run='$(RUN)' $(TESTFLAGS) ./e2e/...

migrate: ## Bring the schema of DATABASE_URL up to date
	go run ./cmd/huntaze migrate up $(ARGS)

image: ## Build the worker and the api image with Docker
	docker build -f deploy/Dockerfile --build-arg VERSION=$(VERSION) --target worker -t $(IMAGE)-worker:$(VERSION) .
	docker build -f deploy/Dockerfile --build-arg VERSION=$(VERSION) --target api -t $(IMAGE)-api:$(VERSION) .
