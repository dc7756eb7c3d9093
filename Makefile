# The commands of this repository. Everything they need beside Go, make and git
# they install themselves (Debian packages; as root).

GO      ?= go
RELEASE ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unreleased)
LDFLAGS  = -s -w -X main.release=$(RELEASE)

.PHONY: build test test-unit test-e2e test-runtimes test-kernels test-faults bench demo lint vulncheck archives fuzz clean

build: ## the plugin, statically linked: bin/symroute
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/symroute ./plugins/symroute

test: test-unit test-e2e test-runtimes ## all tests, on the real kernel, in namespaces of their own

# What is tested without the executable. The tests of test/ run the executable.
UNIT = ./pkg/... ./plugins/... $(if $(wildcard cmd),./cmd/...)
test-unit: packages
	$(GO) vet $(UNIT)
	$(GO) test -count=1 $(UNIT)

test-e2e: packages
	$(GO) vet ./test/...
	$(GO) test -count=1 -timeout 40m ./test/...

test-runtimes: packages ## under podman, containerd and Multus' calls, in machines of their own
	cd test/runtimes && $(GO) vet ./... && ../../scripts/with-runtimes $(GO) test -count=1 -timeout 10m ./...

# With FAULTS=-faults.all each place gets every fault, and 10,000 walks are made.
FAULTS ?=
test-faults: packages ## a part of the tests, with its figures: faults, kills, races, damaged records, random walks
	$(GO) test -count=1 -timeout 3h -v -run 'TestFaults|TestWalks|TestRaces|TestRememberedFile' ./test/e2e $(FAULTS)

# KERNELS=--all runs every end-to-end test there, which takes several times as long.
# KERNELS='6.1 -test.run TestX' runs one: see scripts/test-kernels.
KERNELS ?=
test-kernels: ## on Debian's kernels 5.10, 6.1 and 6.12, in QEMU guests
	@scripts/install-packages guests
	scripts/test-kernels $(KERNELS)

PAIRS ?= 200
bench: ## what a run costs, beside sbr, tuning and the limits of the machine: tables, with the verdicts on the goals
	@scripts/install-packages
	@scripts/install-packages bench
	$(GO) test -count=1 -timeout 1h -v -run TestBench ./test/bench -bench.pairs=$(PAIRS)

demo: packages ## a pod with two providers: broken, then symmetric, then clean
	scripts/demo

lint: bin/golangci-lint
	bin/golangci-lint run ./...
	cd test/runtimes && ../../bin/golangci-lint run --config ../../.golangci.yml ./...

bin/golangci-lint: scripts/lint/go.mod
	cd scripts/lint && CGO_ENABLED=0 $(GO) build -o ../../bin/golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint

# Its database is on the network: a step of the release, not of CI.
vulncheck: ## known vulnerabilities in what the executable is made of
	$(GO) run golang.org/x/vuln/cmd/govulncheck@v1.9.0 ./plugins/...

ARCHES = amd64 arm64 ppc64le riscv64 s390x
archives: ## what a release consists of: dist/symroute-linux-ARCH.tgz, and their checksums
	rm -rf dist && mkdir dist
	for arch in $(ARCHES); do \
		GOARCH=$$arch $(MAKE) build && \
		tar --create --gzip --owner=0 --group=0 --numeric-owner --file dist/symroute-linux-$$arch.tgz -C bin symroute -C .. LICENSE || exit; \
	done
	cd dist && sha256sum *.tgz >SHA256SUMS

FUZZTIME ?= 5m
fuzz: ## each fuzz target for FUZZTIME
	scripts/fuzz $(FUZZTIME)

.PHONY: packages
packages:
	@scripts/install-packages

clean:
	rm -rf bin dist
