#!/usr/bin/env bash
# Runs some checks on a Kubernetes that is made for them and removed again, from the scripts of a lab (docs/kubernetes.md says what a
# lab is). A machine without a lab, or on which it can't be brought up, is told so and is no failure: the lab isn't what is tested.
#
# usage: lab.sh LAB SCRATCH PATTERN
#   LAB      the folder with the lab's scripts, which stays as it is; may be empty
#   SCRATCH  where it is built and run
#   PATTERN  the checks, as for `make test-kubernetes RUN=`
set -euo pipefail
lab=$1 scratch=$2 pattern=$3

without() {
	echo "no checks on Kubernetes: $*" >&2
	exit 0
}

[[ -x $lab/setup.sh ]] || without "there is no lab beside the checkout"
[[ $(id -u) == 0 ]] || without "a lab needs root"
# Its machines have the same names whoever makes them.
! ip link show kfab0 >/dev/null 2>&1 && ! ip netns list 2>/dev/null | grep -qw kfab || without "another lab runs on this machine"

mkdir -p "$scratch"
cp -r "$lab/." "$scratch"
"$scratch/setup.sh" || without "the lab can't be built"
trap '"$scratch/cluster-down.sh"' EXIT
"$scratch/cluster-up.sh" 3 || without "the lab doesn't come up"
make test-kubernetes LAB="$scratch" RUN="$pattern"
