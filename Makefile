# The two to know: make run, make test.

GO ?= go

.PHONY: run build test torture bench fmt lint

# Three servers, a balancer before them, a little load: see what it does.
run:
	$(GO) build -o bin/poise ./cmd/poise
	./bin/poise demo

# One static binary.
build:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o bin/poise ./cmd/poise

# What CI runs. STEPS="lint tests" runs some of it.
test:
	scripts/test.sh $(STEPS)

# Beside HAProxy and nginx. BENCH="--only small --runs 3" passes flags; BENCH=--help lists them.
bench:
	$(GO) run ./bench $(BENCH)

# The long forms of some tests, for hours. STEPS="fuzz" runs some of it; scripts/torture.sh says how to make it shorter.
torture:
	scripts/torture.sh $(STEPS)

fmt:
	$(GO) tool -modfile=tools/go.mod gofumpt -w .

lint:
	scripts/test.sh lint
