# Two commands do all the set-up: make demo, make test. See CONTRIBUTING.md.

GO ?= go

# Every module of the workspace.
MODULES := . bench cmd/rowhouse embedded/fetchpg examples examples/orm test
PACKAGES := $(foreach m,$(MODULES),./$(if $(filter .,$(m)),...,$(m)/...))

# What depends on the version of PostgreSQL runs on the oldest one too.
SERVER_PACKAGES := . ./admin ./migrate ./tenanthttp ./internal/... ./embedded

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

.PHONY: demo test build lint cross bench bench-table test-kills test-soak tidy fuzz

# Serves the help desk on http://localhost:8080 until Ctrl-C.
demo:
	@sh scripts/test-deps.sh demo
	$(GO) run ./cmd/rowhouse demo

# Runs all the tests, on PostgreSQL 18 and, where that matters, on 15.
test: lint cross
	@set -e; vars=$$(sh scripts/test-deps.sh); set -a; eval "$$vars"; set +a; \
	echo "== PostgreSQL 18"; \
	ROWHOUSE_TEST_PG=18 $(GO) test -race $(PACKAGES); \
	echo "== PostgreSQL 15"; \
	ROWHOUSE_TEST_PG=15 $(GO) test $(SERVER_PACKAGES)

# Puts the command-line tool into bin/rowhouse.
build:
	$(GO) build -o bin/rowhouse ./cmd/rowhouse

lint:
	@unformatted=$$(gofmt -l $(MODULES)); test -z "$$unformatted" || { echo "gofmt would change: $$unformatted"; exit 1; }
	$(GO) vet $(PACKAGES)
	$(GO) run $(STATICCHECK) $(PACKAGES)

# Builds for the other systems.
cross:
	GOOS=darwin $(GO) build $(PACKAGES)
	GOOS=windows $(GO) build $(PACKAGES)

# Prints "figure NAME VALUE REACH ok|short" for what requests cost against plain
# pgx, on a server of its own; FIGURE=NAME measures that one alone.
bench:
	@set -e; vars=$$(sh scripts/test-deps.sh); set -a; eval "$$vars"; set +a; \
	$(GO) run ./bench $(if $(FIGURE),-figure $(FIGURE))

# Prints the tables of docs/performance.md, in about eight minutes.
bench-table:
	@set -e; vars=$$(sh scripts/test-deps.sh); set -a; eval "$$vars"; set +a; \
	$(GO) run ./bench -table

# Kills creating processes and servers many times over; "make test" does it a few
# times.
test-kills:
	@set -e; vars=$$(sh scripts/test-deps.sh); set -a; eval "$$vars"; set +a; \
	ROWHOUSE_KILLS=200 $(GO) test -race -count=1 -timeout 60m -run 'Kill|Crash' . ./admin ./migrate ./embedded

# Everything at once for ten minutes, directly and through PgBouncer, with 64
# goroutines and 500 tenants; "make test" does it for some seconds. SOAK says how
# long.
test-soak:
	@set -e; vars=$$(sh scripts/test-deps.sh); set -a; eval "$$vars"; set +a; \
	ROWHOUSE_SOAK=$(or $(SOAK),10m) $(GO) test -race -count=1 -timeout 60m -run '^TestSoak$$' -v .

# Runs each fuzz test for a while.
fuzz:
	@set -e; for pkg in $$($(GO) list ./internal/...); do \
		for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
			$(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime 30s -fuzzminimizetime 20x $$pkg; \
		done; \
	done

# Brings go.mod and go.sum of every module up to date. "go mod tidy" looks past
# the workspace, so it is shown where the other modules are.
tidy:
	@sh scripts/tidy.sh $(MODULES)
