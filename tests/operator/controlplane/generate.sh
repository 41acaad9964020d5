#!/usr/bin/env bash
# Writes go.mod and go.sum of the control plane for a release of Kubernetes: generate.sh 1.36.3
#
# The module k8s.io/kubernetes can't be built by naming it: its go.mod replaces the libraries
# that are published beside it (k8s.io/api and so on) with folders of its repository, and
# replacements don't count for whoever requires a module. So they are written here again,
# with the published versions, which have the same numbers after v0.
set -euo pipefail
cd "$(dirname "$0")"
release=${1:?say which release of Kubernetes, such as 1.36.3}
libraries=v0.${release#1.}

export GOWORK=off
# go mod download wants to be in a module, and the one that is here may be of no use yet.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
theirs=$(cd "$scratch" && go mod download -json "k8s.io/kubernetes@v$release" | sed -n 's/^\t"GoMod": "\(.*\)",*$/\1/p')
{
	echo "// Written by generate.sh $release."
	echo 'module github.com/sextantdb/sextant/tests/operator/controlplane'
	echo
	grep -m 1 '^go ' "$theirs"
	echo
	echo "require k8s.io/kubernetes v$release"
	echo
	echo 'replace ('
	sed -n "s|^\t\(k8s.io/[a-z0-9-]*\) => ./staging/.*|\t\1 => \1 $libraries|p" "$theirs"
	echo ')'
	echo
	echo 'tool ('
	printf '\t%s\n' go.etcd.io/etcd/server/v3 k8s.io/kubernetes/cmd/kube-apiserver
	echo ')'
} > go.mod
rm -f go.sum
go mod tidy
