#!/usr/bin/env bash
# Everything that a change has to pass, in the order of how fast it fails. CI runs this and nothing else.
#
#   scripts/test.sh [STEP...]        default: all steps; for one of them: scripts/test.sh lint
#
# POISE_TEST_SETUPS names the drivers and numbers of loops that the suites on the wire run over, such as "epoll/2,net/2" where the system
# refuses io_uring. Default: every driver with 1 and 2 loops, with 4 and TLS, and with HTTP/2.
set -euo pipefail
cd "$(dirname "$0")/.."

tool() { go tool -modfile=tools/go.mod "$@"; }

format() {
	local bad
	bad=$(tool gofumpt -l .)
	if [ -n "$bad" ]; then
		printf 'not formatted (make fmt does it):\n%s\n' "$bad"
		return 1
	fi
}

vet() { go vet ./...; }

lint() { tool golangci-lint run ./...; }

# The modules of the program, and those of the tools as they were downloaded.
modules() {
	go mod tidy -diff
	go mod verify
}

# Seeds of all fuzz tests are among the tests. Four run at a time, on however few cores, for most of them wait most of the time.
tests() {
	go test -shuffle=on -timeout=10m -parallel 4 ./cmd/... ./internal/...
	whole ./test/... ./bench -parallel 4
}

# whole runs tests that use the whole program, one package after the other: they look at times, and two cores are few.
whole() { go test -shuffle=on -timeout=20m -p 1 "$@"; }

# The race detector does not see what the kernel writes to a ring's buffers, so the suites on the wire run over package net here; what io_uring
# does to memory is found by the poisoned buffers of the ordinary tests. Suites that only start programs have nothing for it to see.
race() {
	local -x POISE_TEST_SETUPS=net/1,net/2/tls CGO_ENABLED=1
	go test -shuffle=on -timeout=10m -race -short ./internal/...
	whole -race -short ./test/wire ./test/load
}

# The binary as it is shipped.
binary() { make --no-print-directory build && ./bin/poise version; }

vulnerabilities() {
	local out status=0
	out=$(tool govulncheck ./... 2>&1) || status=$?
	if [ "$status" -eq 1 ] && grep -q 'fetching vulnerabilities' <<<"$out"; then
		echo "skipped: the database of known vulnerabilities cannot be reached from here"
		return 0
	fi
	printf '%s\n' "$out"
	return "$status"
}

steps=("$@")
if [ ${#steps[@]} -eq 0 ]; then
	steps=(format vet lint modules tests race binary vulnerabilities)
fi
for step in "${steps[@]}"; do
	case $step in
	format | vet | lint | modules | tests | race | binary | vulnerabilities) ;;
	*)
		echo "scripts/test.sh: no step is called $step" >&2
		exit 2
		;;
	esac
	echo "== $step"
	begin=$SECONDS
	# Called plainly, so that set -e holds inside the step too: the first failure ends the run.
	"$step"
	echo "== $step: fine ($((SECONDS - begin)) s)"
done
