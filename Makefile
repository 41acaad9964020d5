# Everything a developer does with this repository. `make` alone prints the list.
SHELL        := /bin/bash
.SHELLFLAGS  := -eu -o pipefail -c
.DEFAULT_GOAL := help

export CGO_ENABLED ?= 0
BIN      := $(CURDIR)/.bin
CACHE    := $(CURDIR)/.cache
LINT     := $(BIN)/golangci-lint
LINT_VERSION := v2.15.0
BUF_VERSION := v1.75.0
PROTOC_GEN_GO_VERSION := v1.36.12
PROTOC_GEN_GO_GRPC_VERSION := v1.6.2
CONTROLLER_GEN_VERSION := v0.23.0
HELM_VERSION := v3.22.0
CHART    := deploy/charts/sextant
CRDS     := $(CHART)/crds
PROTOC   := $(BIN)/buf $(BIN)/protoc-gen-go $(BIN)/protoc-gen-go-grpc
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT   ?= $(shell git rev-parse HEAD 2>/dev/null)
# The version that nodes say they have; without it that of their API.
SERVICE_VERSION ?=
LDFLAGS  := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT) $(if $(SERVICE_VERSION),-X main.serviceVersion=$(SERVICE_VERSION))
IMAGE    ?= sextantdb/sextant
FUZZTIME ?= 300000x
VENV     := $(CACHE)/venv
NODE     := $(CACHE)/node
CLIENTS  := $(CACHE)/clients.ok
SUITE    := $(CACHE)/upstream
PEERS    := $(CACHE)/peers
# A real API server and etcd for the operator's tests, built from a module of its own.
CONTROLPLANE        := $(CACHE)/controlplane
CONTROLPLANE_MODULE := tests/operator/controlplane

.PHONY: help
help: ## print this list
	@grep -hE '^[a-z][a-zA-Z0-9_-]*:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-16s %s\n", $$1, $$2}'

.PHONY: demo
demo: build ## build, start three nodes, load the Go documentation, search it, lose a node and take it back
	$(BIN)/sextant demo

.PHONY: build
build: ## build .bin/sextant
	go build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/sextant ./cmd/sextant

.PHONY: run
run: build ## run a node on ports 6333 and 6334 with its data in ./storage
	$(BIN)/sextant

# Packages whose tests draw random cases with rapid: they take its flags.
RAPID     = $(shell go list -f '{{.ImportPath}} {{.TestImports}} {{.XTestImports}}' $(1) | awk '/pgregory.net\/rapid/ {print $$1}')
NOT_RAPID = $(shell go list -f '{{.ImportPath}} {{.TestImports}} {{.XTestImports}}' $(1) | awk '!/pgregory.net\/rapid/ {print $$1}')
# SEED=n draws the same random cases again; without it every run draws others.
SEED     ?=
SEEDED    = $(if $(SEED),METAMORPHIC_SEED=$(SEED) METAMORPHIC_RUNS=25 ROBUSTNESS_SEED=$(SEED))
go-test   = $(SEEDED) go test $(1) $(call NOT_RAPID,$(2)) && $(SEEDED) go test $(1) $(call RAPID,$(2)) $(if $(SEED),-rapid.seed=$(SEED))

# These start many processes and wait for them most of the time: side by side, with nothing else beside them.
SLOW = github.com/sextantdb/sextant/tests/robustness github.com/sextantdb/sextant/tests/operator

.PHONY: test
test: build clients $(BIN)/helm controlplane ## all tests, with the official clients against the real binary, the operator against a real API server
	export SEXTANT_BINARY=$(BIN)/sextant SEXTANT_HELM=$(BIN)/helm SEXTANT_PYTHON=$(VENV)/bin/python SEXTANT_NODE_DIR=$(NODE); \
	$(call go-test,-count=1 -timeout 20m,$(filter-out $(SLOW),$(shell go list ./...))) && \
	$(SEEDED) go test -count=1 -timeout 30m -p 2 $(SLOW)

.PHONY: test-operator
test-operator: controlplane $(BIN)/helm ## the operator: what it plans, and all of it against a real API server (RUN=pattern)
	SEXTANT_HELM=$(BIN)/helm go test -count=1 -timeout 20m $(if $(RUN),-run '$(RUN)') ./operator/... ./tests/operator/...

# What is installed on Kubernetes: two images of this program that say two versions, and what the chart makes of them.
# They keep their names when they are built anew, so an annotation of the operator's pod says which they are.
KUBE      := $(CACHE)/kubernetes
# A name that means the same to all who shorten or complete names of images, and that nobody can pull.
KUBE_IMAGE := sextant.test/sextant
KUBE_VERSIONS := 1.10.0 1.14.0
# A lab is a folder with scripts of a cluster whose machines can be treated badly (docs/kubernetes.md); without
# one KUBECONFIG says where, and KUBE_LOAD and KUBE_RUN may say how images get there and tests reach it.
LAB       ?=
KUBE_LOAD ?= $(if $(LAB),$(LAB)/image-load.sh)
KUBE_RUN  ?= $(if $(LAB),$(LAB)/run-in-cluster.sh)
KUBE_TIMEOUT ?= 3h

.PHONY: test-kubernetes
test-kubernetes: kubernetes-images $(BIN)/helm ## the operator on real Kubernetes, which it changes: LAB=<folder>, or KUBECONFIG and KUBE_LOAD; RUN=pattern
	$(if $(KUBE_LOAD),$(KUBE_LOAD) $(KUBE)/*.tar)
	$(BIN)/helm template sextant $(CHART) --namespace kb-system --include-crds --kube-version $(KUBERNETES) \
		--set image.repository=$(KUBE_IMAGE),image.tag=$(lastword $(KUBE_VERSIONS)) --set operator.nodeLostAfter=30s \
		--set-string operator.podAnnotations.image=$$(cat $(KUBE)/*.tar | sha256sum | cut -c -12) \
		$(foreach v,$(KUBE_VERSIONS),--set 'images.versions.$(subst .,\.,$(v))=$(KUBE_IMAGE):$(v)') > $(KUBE)/manifests.yaml
	go test -c -o $(KUBE)/kubernetes.test ./tests/kubernetes
	SEXTANT_KUBERNETES_TESTS=1 SEXTANT_ROOT=$(CURDIR) SEXTANT_MANIFESTS=$(KUBE)/manifests.yaml LAB_DIR=$(LAB) \
		$(KUBE_RUN) $(KUBE)/kubernetes.test -test.v -test.timeout $(KUBE_TIMEOUT) $(if $(RUN),-test.run '$(RUN)')

.PHONY: chaos-kubernetes
chaos-kubernetes: ## a cluster on real Kubernetes, operated and treated badly in random ways under load: LAB=<folder> DURATION=1h SEED=n
	test -n "$(LAB)" || { echo 'say where: make chaos-kubernetes LAB=<folder>' >&2; exit 2; }
	CHAOS_DURATION=$(or $(DURATION),10m) $(if $(SEED),CHAOS_SEED=$(SEED)) $(MAKE) --no-print-directory test-kubernetes RUN='^TestChaos' KUBE_TIMEOUT=0

# Where a lab may stand. SMOKE are the checks that a change has to pass there.
LAB_BESIDE ?= $(firstword $(wildcard $(CURDIR)/../*/kube-lab))
SMOKE      := Test01|Test05|Test08PodsDeleted|Test14StopAndStart/patch

.PHONY: kubernetes-smoke
kubernetes-smoke: ## some of it on a Kubernetes made for it, where a lab stands beside the checkout, as root: LAB_BESIDE=<folder>
	tests/kubernetes/lab.sh '$(LAB_BESIDE)' $(CACHE)/kube-lab '$(SMOKE)'

.PHONY: kubernetes-images
kubernetes-images:
	mkdir -p $(KUBE)
	for v in $(KUBE_VERSIONS); do \
		$(MAKE) --no-print-directory image VERSION=$$v SERVICE_VERSION=$$v IMAGE=$(KUBE_IMAGE); \
		mv dist/sextant-$$v.tar $(KUBE)/; \
	done

.PHONY: controlplane
controlplane: $(CONTROLPLANE)/ok ## build the API server and etcd that the operator's tests run against (minutes, once)

# What an API server says it is decides which features it has, so it is set as in a release.
KUBERNETES = $(shell sed -n 's|^.*k8s.io/kubernetes v\([0-9.]*\).*|\1|p' $(CONTROLPLANE_MODULE)/go.mod)
$(CONTROLPLANE)/ok: $(CONTROLPLANE_MODULE)/go.mod
	mkdir -p $(CONTROLPLANE)
	cd $(CONTROLPLANE_MODULE) && GOWORK=off go build -buildvcs=false -trimpath -o $(CONTROLPLANE)/etcd -ldflags '-s -w' go.etcd.io/etcd/server/v3
	cd $(CONTROLPLANE_MODULE) && GOWORK=off go build -buildvcs=false -trimpath -o $(CONTROLPLANE)/kube-apiserver -ldflags "-s -w \
		-X k8s.io/component-base/version.gitVersion=v$(KUBERNETES) \
		-X k8s.io/component-base/version.gitMajor=$(word 1,$(subst ., ,$(KUBERNETES))) \
		-X k8s.io/component-base/version.gitMinor=$(word 2,$(subst ., ,$(KUBERNETES)))" k8s.io/kubernetes/cmd/kube-apiserver
	touch $@

.PHONY: test-race
test-race: ## the engine, the cluster and the doors under the race detector
	export CGO_ENABLED=1; \
	$(call go-test,-race -short -timeout 20m,./internal/... ./engine/... ./cluster/... ./server/...)

.PHONY: check
check: verify-tidy verify-generated lint ## everything that must hold before a change lands; always with the same random cases
	$(MAKE) test test-race SEED=$(or $(SEED),1)
	$(MAKE) fuzz-smoke demo-smoke

.PHONY: verify-tidy
verify-tidy: ## go.mod and go.sum are tidy, the tree is formatted
	go mod tidy -diff
	test -z "$$(gofmt -l $$(git ls-files '*.go'))"

# The API types are what deepcopy code and definitions are made from; both are compared
# file by file, so a change that isn't committed yet doesn't matter.
.PHONY: verify-generated
verify-generated: $(BIN)/controller-gen ## what is generated from the operator's API types is up to date
	rm -rf $(CACHE)/generated
	mkdir -p $(CACHE)/generated
	cp -r operator/api $(CACHE)/generated/api
	$(MAKE) --no-print-directory generate-operator CRDS=$(CACHE)/generated/finished
	diff -r $(CRDS) $(CACHE)/generated/finished || { echo 'run make generate-operator' >&2; exit 1; }
	diff -r operator/api $(CACHE)/generated/api || { echo 'the deepcopy code was out of date; it has been generated again' >&2; exit 1; }

.PHONY: demo-smoke
demo-smoke: build ## the demo from start to end, without staying up
	$(BIN)/sextant demo --exit

.PHONY: lint
lint: $(LINT) ## go vet and golangci-lint
	go vet ./...
	$(LINT) run ./...

.PHONY: fmt
fmt: $(LINT) ## format the tree
	$(LINT) fmt ./...

# A number of inputs and not a time: until Go 1.27 a target that runs out of its time now and
# then fails with "context deadline exceeded" without any input that does (go.dev/issue/75804).
.PHONY: fuzz
fuzz: ## every fuzz target FUZZTIME long (300000x: so many inputs)
	@grep -rE '^func Fuzz' --include='*_test.go' . | sed -E 's|^(.*)/[^/]*:func (Fuzz[A-Za-z0-9_]*).*|\1 \2|' | sort -u | \
	while read -r dir target; do \
		echo "fuzz $$dir $$target"; \
		go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 200x "$$dir" < /dev/null; \
	done

.PHONY: fuzz-smoke
fuzz-smoke: ## every fuzz target for a few seconds
	$(MAKE) fuzz FUZZTIME=10000x

.PHONY: compat-fuzz
compat-fuzz: build $(CLIENTS) ## a node against the local mode of the Python client, asked the same at random: SEEDS=50, from seed FIRST=1 on
	SEXTANT_BINARY=$(BIN)/sextant SEXTANT_PYTHON=$(VENV)/bin/python SEXTANT_SEEDS=$(or $(SEEDS),50) SEXTANT_FIRST_SEED=$(or $(FIRST),1) \
	go test -count=1 -timeout 0 -v -run LocalMode ./tests/compat

.PHONY: bench
bench: ## Go benchmarks of the engine (see docs/benchmarks.md for the comparisons)
	go test -run '^$$' -bench . -benchmem ./engine/... ./internal/...

# DATA is lsa (the vectors of the demonstration) or a file of vectors; without it
# they are generated. ARGS may choose the metric, the libraries and more.
peers-data = $(if $(filter lsa,$(DATA)),-base $(PEERS)/lsa.fvecs -metric cosine,$(if $(DATA),-base $(DATA)))

.PHONY: bench-peers
bench-peers: $(PEERS)/ok $(if $(filter lsa,$(DATA)),$(PEERS)/lsa.fvecs) ## the dense index against hnswlib, faiss, usearch: DATA=lsa|<file> ARGS="-rounds 5"
	go run ./bench/peers -python $(PEERS)/bin/python -cache $(PEERS)/indexes $(peers-data) $(ARGS)

$(PEERS)/ok: bench/peers/requirements.txt
	python3 -m venv $(PEERS)
	$(PEERS)/bin/pip install -q --disable-pip-version-check -r bench/peers/requirements.txt
	touch $@

$(PEERS)/lsa.fvecs: | $(PEERS)/ok
	go run ./cmd/sextant demo --vectors $@

.PHONY: metamorphic
metamorphic: ## many random histories with crashes: RUNS=1000
	METAMORPHIC_RUNS=$(or $(RUNS),1000) go test -count=1 -timeout 0 -run Metamorphic ./engine/shard/...

.PHONY: chaos
chaos: build ## clusters of real processes treated badly in random ways, the links as well when root: DURATION=1h SEED=n
	SEXTANT_BINARY=$(BIN)/sextant ROBUSTNESS_ALL=1 CHAOS_DURATION=$(or $(DURATION),10m) $(if $(SEED),ROBUSTNESS_SEED=$(SEED)) \
	go test -count=1 -timeout 0 -v -run 'Chaos|Cluster' ./tests/robustness

.PHONY: bench-failover
bench-failover: build ## what failures and copies cost three processes: MEASURE="kill pause cut" ARGS="-trials 20"
	go run ./bench/failover -binary $(BIN)/sextant $(ARGS) $(or $(MEASURE),kill pause cut restart)

.PHONY: model
model: ## every state of the replication protocol within bounds, and every rule broken once (minutes)
	SEXTANT_MODEL=full go test -count=1 -timeout 0 -v -run Full ./cluster/model

.PHONY: sim
sim: ## whole clusters with bad luck: SEEDS=20000 lives, from seed FIRST=1 on; SEED=n lives one and tells all of it
	go test -count=1 -timeout 0 -v -run Lives ./cluster/simulation $(if $(SEED),-seed $(SEED),-seeds $(or $(SEEDS),20000) -first $(or $(FIRST),1))

.PHONY: recall
recall: ## recall on hard data at full size: 60k rows, 5k queries, 5 seeds (an hour)
	SEXTANT_RECALL=full go test -count=1 -timeout 0 -v -run Recall ./engine/vectorindex

.PHONY: upstream-openapi
upstream-openapi: build $(SUITE)/ok ## Qdrant's own REST suite against our node: UPSTREAM=<checkout of qdrant/qdrant> ARGS=...
	test -n "$(UPSTREAM)" || { echo 'say where: make upstream-openapi UPSTREAM=../qdrant' >&2; exit 2; }
	$(SUITE)/bin/python tests/upstream/openapi.py --binary $(BIN)/sextant "$(UPSTREAM)" $(ARGS)

.PHONY: upstream-consensus
upstream-consensus: build $(SUITE)/ok ## Qdrant's own cluster suite against our binary: UPSTREAM=<checkout of qdrant/qdrant> ARGS=...
	test -n "$(UPSTREAM)" || { echo 'say where: make upstream-consensus UPSTREAM=../qdrant' >&2; exit 2; }
	$(SUITE)/bin/python tests/upstream/consensus.py --binary $(BIN)/sextant --scratch $(CACHE)/consensus "$(UPSTREAM)" $(ARGS)

$(SUITE)/ok: tests/upstream/requirements.txt
	python3 -m venv $(SUITE)
	$(SUITE)/bin/pip install -q --disable-pip-version-check -r tests/upstream/requirements.txt
	touch $@

.PHONY: generate-operator
generate-operator: $(BIN)/controller-gen ## deepcopy code and custom resource definitions from the operator's API types
	rm -rf $(CACHE)/crds
	$(BIN)/controller-gen object paths=./operator/api/...
	$(BIN)/controller-gen crd:generateEmbeddedObjectMeta=true paths=./operator/api/... output:crd:dir=$(CACHE)/crds
	go run ./cmd/sextant-crds $(CACHE)/crds $(CRDS)

.PHONY: generate
generate: $(PROTOC) generate-operator ## regenerate what is generated
	go generate ./...
	for dir in $$(git ls-files '*.proto' | xargs -n 1 dirname | sort -u); do \
		$(BIN)/buf generate --template buf.gen.yaml -o "$$dir" "$$dir"; \
	done

# The age of what is in the image is that of the commit, so the same commit gives the same image. With ARCH it has the
# architecture in its name.
image-of = $(VERSION)$(if $(ARCH),-$(ARCH))
.PHONY: image
image: ## dist/sextant-VERSION.tar: an image without Docker, on Debian or Ubuntu: VERSION=1.19.0 SERVICE_VERSION=1.14.0 IMAGE=registry/name ARCH=arm64
	CGO_ENABLED=0 GOOS=linux $(if $(ARCH),GOARCH=$(ARCH)) go build -trimpath -ldflags '$(LDFLAGS)' -o dist/$(image-of)/sextant ./cmd/sextant
	go run ./cmd/sextant-image -binary dist/$(image-of)/sextant -o dist/sextant-$(image-of).tar -packages $(CACHE)/debian \
		-name $(IMAGE):$(image-of) -version $(VERSION) -revision "$(COMMIT)" -created $(or $(SOURCE_DATE_EPOCH),$(shell git log -1 --format=%ct 2>/dev/null),0) \
		$(if $(ARCH),-arch $(ARCH)) $(if $(UNPACK),-unpack $(UNPACK))

.PHONY: image-check
image-check: ## make the image and run what is in it, as root
	rm -rf $(CACHE)/image
	$(MAKE) --no-print-directory image UNPACK=$(CACHE)/image
	chroot --userspec=1001:1001 $(CACHE)/image /usr/local/bin/sextant --version
	chroot --userspec=1001:1001 $(CACHE)/image /usr/bin/curl --version

.PHONY: chart
chart: $(BIN)/helm ## check the Helm chart and pack it into dist/
	$(BIN)/helm lint --strict $(CHART)
	$(BIN)/helm package -d dist $(CHART)

.PHONY: clients
clients: $(CLIENTS) ## install the official clients that the tests use

$(CLIENTS): tests/compat/python/requirements.txt tests/compat/node/package.json
	mkdir -p $(CACHE) $(NODE)
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install -q --disable-pip-version-check -r tests/compat/python/requirements.txt
	cp tests/compat/node/package.json $(NODE)/
	cd $(NODE) && npm install --silent --no-audit --no-fund
	touch $@

$(BIN)/buf:
	mkdir -p $(BIN)
	GOBIN=$(BIN) go install github.com/bufbuild/buf/cmd/buf@$(BUF_VERSION)

$(BIN)/controller-gen:
	mkdir -p $(BIN)
	GOBIN=$(BIN) go install sigs.k8s.io/controller-tools/cmd/controller-gen@$(CONTROLLER_GEN_VERSION)

# What a chart may ask of Kubernetes without asking one.
$(BIN)/helm:
	mkdir -p $(BIN)
	GOBIN=$(BIN) go install -ldflags '-X helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor=1 -X helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor=36' \
		helm.sh/helm/v3/cmd/helm@$(HELM_VERSION)

$(BIN)/protoc-gen-go:
	mkdir -p $(BIN)
	GOBIN=$(BIN) go install google.golang.org/protobuf/cmd/protoc-gen-go@$(PROTOC_GEN_GO_VERSION)

$(BIN)/protoc-gen-go-grpc:
	mkdir -p $(BIN)
	GOBIN=$(BIN) go install google.golang.org/grpc/cmd/protoc-gen-go-grpc@$(PROTOC_GEN_GO_GRPC_VERSION)

$(LINT):
	mkdir -p $(BIN)
	GOBIN=$(BIN) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)

.PHONY: clean
clean: ## remove what was built (keeps ./storage)
	rm -rf $(BIN) $(CACHE)
