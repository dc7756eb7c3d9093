# The commands of this repository. Everything they need beside Go, make and git
# they install themselves (Debian packages; as root).

GO      ?= go
RELEASE ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unreleased)
RELEASE := $(RELEASE)
LDFLAGS  = -s -w -X main.release=$(RELEASE)

# Says each 30 s that a command still runs.
PROGRESS = scripts/progress

.PHONY: build help test test-unit test-e2e test-runtimes test-cluster test-manifests test-faults test-kernels bench demo \
	lint vulncheck executables image release chart manifests fuzz packages clean

# A target that a user may call has a comment: "target: ## TIME | what it does".
# TIME is that of a machine with two cores whose build cache is filled; the first run compiles for
# one or two minutes more. "make help" prints them.

# The same bytes from a clone, a worktree and an unpacked archive: nothing in them is of the folder or of git, but RELEASE.
BIN = bin
build: ## 10 s | all executables, statically linked: bin/symroute, bin/symroutectl, bin/symroute-agent
	CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)' -o $(BIN)/ \
		./plugins/symroute ./cmd/symroutectl ./cmd/symroute-agent

help: ## 1 s | this list
	@awk -F ' *## *| *[|] *' ' \
		BEGIN { printf "  %-17s %-7s %s\n", "TARGET", "TIME", "WHAT IT DOES (root: it needs network namespaces)" } \
		/^[a-z0-9\/-]+:.*## / { sub(/:.*/, "", $$1); printf "  %-17s %-7s %s\n", $$1, $$2, $$3 }' $(firstword $(MAKEFILE_LIST))

test: test-unit test-e2e test-runtimes test-manifests ## 10 min | all tests, in namespaces of their own (root)

# What is tested without the executable. The tests of test/ run the executable.
UNIT = ./pkg/... ./plugins/... $(if $(wildcard cmd),./cmd/...)
test-unit: packages ## 1 min | vet and tests of the packages (root)
	$(PROGRESS) $(GO) vet $(UNIT)
	$(PROGRESS) $(GO) test -count=1 $(UNIT)
	$(PROGRESS) $(GO) vet -C scripts/release ./...
	$(PROGRESS) $(GO) test -C scripts/release -count=1 ./...

# A package has 10 minutes by default, which is too short for test/e2e on a loaded machine.
test-e2e: packages ## 10 min | vet and tests of the executable, with real plugins, links and packets (root)
	$(PROGRESS) $(GO) vet ./test/...
	$(PROGRESS) $(GO) test -count=1 -timeout 40m ./test/...

test-runtimes: packages ## 1 min | tests under podman, containerd and Multus' calls, in machines of their own (root)
	$(PROGRESS) $(GO) vet -C test/runtimes ./...
	$(PROGRESS) scripts/with-runtimes $(GO) test -C test/runtimes -count=1 -timeout 10m ./...

# Kubernetes is built once, in ten minutes of two idle cores, into the user's cache.
# CLUSTER='-run TestCluster/reboot' runs one scenario.
CLUSTER ?=
test-cluster: packages bin/helm ## 8 min | tests in a real Kubernetes, built from its modules, in a machine of its own (root)
	$(PROGRESS) $(GO) vet -C test/cluster ./...
	$(MAKE) image ARCHES=$$($(GO) env GOARCH)
	$(PROGRESS) scripts/with-cluster $(GO) test -C test/cluster -count=1 -timeout 1h -v $(CLUSTER) .

test-manifests: bin/helm ## 1 min | the Helm chart and deploy/kustomize, rendered, decoded strictly and compared
	$(PROGRESS) $(GO) vet -C test/manifests ./...
	$(PROGRESS) $(GO) test -C test/manifests -count=1 ./...

FAULTS ?=
test-faults: packages ## 10 min | faults, kills, races, random walks, with figures; FAULTS=-faults.all: all of them, hours (root)
	$(PROGRESS) $(GO) test -count=1 -timeout 3h -v \
		-run 'TestFaults|TestWalks|TestRaces|TestRememberedFile' ./test/e2e $(FAULTS)

# KERNELS='6.1 -test.run TestX' runs one test on one kernel: see scripts/test-kernels.
KERNELS ?=
test-kernels: ## 15 min | tests on Debian's kernels 5.10, 6.1 and 6.12, in QEMU; KERNELS=--all: every test, hours
	@$(PROGRESS) scripts/install-packages guests
	$(PROGRESS) scripts/test-kernels $(KERNELS)

# Nothing runs beside a measurement: no progress is shown.
PAIRS ?= 200
bench: packages ## 5 min | what a run costs, beside sbr, tuning and the limits of the machine; PAIRS=20: a look (root)
	@$(PROGRESS) scripts/install-packages bench
	$(GO) test -count=1 -timeout 1h -v -run TestBench ./test/bench -bench.pairs=$(PAIRS)

demo: packages ## 10 s | a pod with two providers: broken, then symmetric, then clean (root)
	scripts/demo

lint: bin/golangci-lint ## 30 s | golangci-lint over all modules
	$(PROGRESS) bin/golangci-lint run ./...
	cd test/runtimes && ../../$(PROGRESS) ../../bin/golangci-lint run --config ../../.golangci.yml ./...
	cd test/cluster && ../../$(PROGRESS) ../../bin/golangci-lint run --config ../../.golangci.yml ./...
	cd test/manifests && ../../$(PROGRESS) ../../bin/golangci-lint run --config ../../.golangci.yml ./...
	cd scripts/release && ../../$(PROGRESS) ../../bin/golangci-lint run --config ../../.golangci.yml ./...

bin/golangci-lint: scripts/lint/go.mod ## 3 min | the linter, in the version of scripts/lint/go.mod
	CGO_ENABLED=0 $(PROGRESS) $(GO) build -C scripts/lint -o $(CURDIR)/$@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

# Its database is on the network: a step of the release, not of CI.
vulncheck: ## 1 min | known vulnerabilities in what the executable is made of
	$(PROGRESS) $(GO) run golang.org/x/vuln/cmd/govulncheck@v1.9.0 ./plugins/... ./cmd/...

# What is released. Two runs give the same bytes: all times in it are that of the commit, which SOURCE_DATE_EPOCH is
# (https://reproducible-builds.org/specs/source-date-epoch/).
ARCHES ?= amd64 arm64 ppc64le riscv64 s390x
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null)
REVISION ?= $(shell git rev-parse HEAD 2>/dev/null)
PACK := bin/release -version '$(RELEASE)' -revision '$(REVISION)' -created '$(or $(SOURCE_DATE_EPOCH),0)' -arches '$(ARCHES)'

# The executables of each architecture in bin/linux-ARCH, and what packs them.
executables:
	for arch in $(ARCHES); do GOARCH=$$arch $(PROGRESS) $(MAKE) build BIN=bin/linux-$$arch RELEASE='$(RELEASE)' || exit; done
	$(PROGRESS) $(GO) build -C scripts/release -o $(CURDIR)/bin/release .

image: executables ## 2 min | the OCI image: dist/image, dist/symroute-image.tar; ARCHES=amd64: for one architecture
	rm -f dist/SHA256SUMS* # of a release before
	$(PACK) archives image

# SIGN_KEY is an SSH key that signs SHA256SUMS: RELEASING.md.
SIGN_KEY ?=
release: executables ## 3 min | all that is released, in dist: archives, image, chart, SBOMs, checksums; SIGN_KEY=FILE: signed
	rm -rf dist
	$(if $(wildcard deploy/helm/symroute),$(MAKE) chart RELEASE='$(RELEASE)')
	$(PACK) archives image krew
	cd dist && export LC_ALL=C && sha256sum symroute* >SHA256SUMS
	$(if $(SIGN_KEY),ssh-keygen -Y sign -f '$(SIGN_KEY)' -n file dist/SHA256SUMS)

chart: bin/helm ## 10 s | the Helm chart of a release: dist/symroute-VERSION.tgz
	bin/helm lint --strict --quiet deploy/helm/symroute
	scripts/chart $(RELEASE) dist

manifests: bin/helm ## 10 s | deploy/kustomize, written anew from the Helm chart
	scripts/manifests

bin/helm: scripts/helm/go.mod ## 3 min | Helm, in the version of scripts/helm/go.mod
	CGO_ENABLED=0 $(PROGRESS) $(GO) build -C scripts/helm -trimpath -o $(CURDIR)/$@ helm.sh/helm/v4/cmd/helm

FUZZTIME ?= 5m
fuzz: ## 1 hour | each fuzz target for FUZZTIME=5m
	$(PROGRESS) scripts/fuzz $(FUZZTIME)

packages: ## 20 s | the Debian packages that tests and demo need, where they are missing (root)
	@$(PROGRESS) scripts/install-packages

clean: ## 1 s | removes bin and dist
	rm -rf bin dist
