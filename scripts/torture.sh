#!/usr/bin/env bash
# The long forms of what the tests prove in short: some hours on two cores. What goes wrong in a step is listed at the end, and does not keep the
# other steps from running.
#
#   scripts/torture.sh [STEP...]     default: all steps; for one of them: scripts/torture.sh fuzz
#
#   accounting   every request and answer accounted for while servers are killed, over each driver, over HTTP/1.1 and HTTP/2, in clear text and over TLS
#   events       requests that end in all the ways there are, amid reloads, orders and probes that turn, over each driver: afterwards nothing is in flight
#   soak         calls of gRPC of all kinds, over TLS and each driver, through Poise: none fails
#   fuzz         every fuzz target of the module; what is found is kept in the package's testdata/fuzz, where `make test` runs it from then on
#   pairs        the suite on the wire over each driver, with TLS and HTTP/2 at none, one, the other and both sides
#   floods       connections of HTTP/2 that flood Poise with what brings nothing, beside others, over each driver: they are closed, and nobody else notices
#   handshakes   how long kept connections wait beside 200 full handshakes a second, and a flood of half-open ones, over each driver
#   reloads      servers added, removed and re-weighted under load, some fifty times over each driver: no request fails, and the spread follows
#   failover     a server that is killed, frozen, resetting, half failing or black-holed, under the built binary's load, over each driver
#   churn        connections that end or stall anywhere, on both sides, over each driver; afterwards nothing is left of them
#   websocket    much over a WebSocket, both ways at once, over each driver: it comes whole
#
#   variable                 default     what
#   POISE_TEST_SETUPS        see below   drivers and numbers of loops; all but pairs and fuzz take the drivers. Default: testkit's, all of them
#   POISE_TEST_REQUESTS      1000000     accounting: requests for each driver
#   POISE_TEST_EVENTS        1000000     events: requests for each driver
#   POISE_TEST_CHURN         10m         churn: time for each driver
#   POISE_TEST_FLOODS        30s         floods: time for each kind of flood and driver
#   POISE_TEST_HANDSHAKES    2s          handshakes: time for each driver and kind of load, five times
#   POISE_TEST_RELOADS       1m          reloads: time for each driver
#   POISE_TEST_WEBSOCKET_BYTES 1073741824 websocket: bytes each way
#   POISE_TEST_SOAK          10m         soak: time for each driver
#   POISE_TORTURE_FUZZ       10m         fuzz: time for each target, or a number of executions such as 1000x
#   POISE_TORTURE_TARGETS    .           fuzz: the targets, as a regular expression over "package name"
#   POISE_TORTURE_WORKERS    2           fuzz: processes that look at one target
#   POISE_TORTURE_TIMEOUT    8h          how long each test of test/load may take
#
# It wants the machine for itself: Go takes a fuzzing process for hung that gets no processor for ten seconds, and then keeps an input that passes alone.
# An access log of the whole load lies in the temporary directory (TMPDIR) meanwhile: a gigabyte or two.
set -uo pipefail
cd "$(dirname "$0")/.."

: "${POISE_TEST_REQUESTS:=1000000}" "${POISE_TEST_EVENTS:=1000000}" "${POISE_TEST_CHURN:=10m}" "${POISE_TEST_HANDSHAKES:=2s}" "${POISE_TEST_RELOADS:=1m}" "${POISE_TORTURE_FUZZ:=10m}" "${POISE_TORTURE_TARGETS:=.}"
: "${POISE_TEST_FLOODS:=30s}" "${POISE_TEST_SOAK:=10m}" "${POISE_TEST_WEBSOCKET_BYTES:=1073741824}" "${POISE_TORTURE_WORKERS:=2}" "${POISE_TORTURE_TIMEOUT:=8h}"

findings=()

# finding notes what went wrong.
finding() {
	findings+=("$1")
	echo "-- $1: FAILED"
}

# load runs one test of test/load, which tells how far it is.
load() {
	go test ./test/load -count=1 -v -timeout="$POISE_TORTURE_TIMEOUT" -run="^$1\$" || finding "$1"
}

accounting() { POISE_TEST_REQUESTS=$POISE_TEST_REQUESTS load 'TestAccounting(OverTLS|OverHTTP2|OverHTTP2AndTLS)?'; }

reloads() { POISE_TEST_RELOADS=$POISE_TEST_RELOADS load TestReloadUnderLoad; }

events() { POISE_TEST_EVENTS=$POISE_TEST_EVENTS load TestAMillionEvents; }

# pairs is without the setups that the variable names: it has its own.
pairs() {
	local setups="" driver tls h2
	for driver in io_uring epoll net; do
		for tls in "" /tls /tls-clients /tls-servers; do
			for h2 in "" /h2 /h2-clients /h2-servers; do
				setups+="${setups:+,}$driver/2$tls$h2"
			done
		done
	done
	POISE_TEST_SETUPS=$setups go test ./test/wire -count=1 -parallel=4 -timeout="$POISE_TORTURE_TIMEOUT" || finding pairs
}

handshakes() { POISE_TEST_HANDSHAKES=$POISE_TEST_HANDSHAKES load TestHandshakesBesideKept; }

floods() { POISE_TEST_FLOODS=$POISE_TEST_FLOODS load TestFloods; }

soak() {
	POISE_TEST_SOAK=$POISE_TEST_SOAK go test ./test/e2e -count=1 -v -timeout="$POISE_TORTURE_TIMEOUT" -run='^TestGRPC$' || finding soak
}

failover() { POISE_TEST_FAILOVER=all load TestFailover; }

websocket() {
	POISE_TEST_WEBSOCKET_BYTES=$POISE_TEST_WEBSOCKET_BYTES go test ./test/wire -count=1 -v -timeout="$POISE_TORTURE_TIMEOUT" -run='^TestWebSocketBulk$' || finding websocket
}

churn() { POISE_TEST_CHURN=$POISE_TEST_CHURN load TestChurn; }

# targets lists all fuzz targets, as "package name": go test prints the names of a package's, then its path.
targets() {
	go test -list='^Fuzz' ./... | awk '/^Fuzz/ { name[n++] = $1 } $1 == "ok" { for (i = 0; i < n; i++) print $2, name[i]; n = 0 }'
}

fuzz() {
	local list package name log
	if ! list=$(targets) || [ -z "$list" ]; then
		finding "list of fuzz targets"
		return
	fi
	log=$(mktemp)
	while read -r package name; do
		one_target "$package" "$name" "$log" </dev/null
	done < <(grep -E -- "$POISE_TORTURE_TARGETS" <<<"$list")
	rm -f "$log"
}

# one_target fuzzes one target. Go makes each new input smaller for up to a minute by default; one whose coverage is never the same twice held all
# workers up for that long.
one_target() {
	local package=$1 name=$2 log=$3 begin=$SECONDS
	if go test "$package" -run='^$' -fuzz="^$name\$" -fuzztime="$POISE_TORTURE_FUZZ" -fuzzminimizetime=500x -parallel="$POISE_TORTURE_WORKERS" >"$log" 2>&1; then
		echo "-- $package $name: fine ($((SECONDS - begin)) s; $(grep 'execs:' "$log" | tail -1 | sed -E 's/.*execs: ([0-9]+).*new interesting: (.*)/\1 executions, new inputs: \2/'))"
		return
	fi
	# Up to Go 1.26 the end of the time may show as a failure (golang.org/issue/75804). Nothing was found then.
	if grep -q '^    context deadline exceeded' "$log" && ! grep -q 'Failing input' "$log"; then
		echo "-- $package $name: fine ($((SECONDS - begin)) s; ended by the time being up)"
		return
	fi
	grep -v '^fuzz: elapsed' "$log"
	finding "$package $name"
}

main() {
	local steps=("$@") step begin known
	if [ ${#steps[@]} -eq 0 ]; then
		steps=(pairs accounting events failover floods handshakes reloads websocket soak fuzz churn)
	fi
	for step in "${steps[@]}"; do
		case $step in
		pairs | accounting | events | failover | floods | handshakes | reloads | websocket | soak | fuzz | churn) ;;
		*)
			echo "scripts/torture.sh: no step is called $step" >&2
			exit 2
			;;
		esac
	done
	for step in "${steps[@]}"; do
		echo "== $step"
		begin=$SECONDS known=${#findings[@]}
		"$step"
		if [ ${#findings[@]} -eq "$known" ]; then
			echo "== $step: fine ($((SECONDS - begin)) s)"
		else
			echo "== $step: FAILED ($((SECONDS - begin)) s)"
		fi
	done
	if [ ${#findings[@]} -gt 0 ]; then
		printf '\nfound:\n'
		printf '  %s\n' "${findings[@]}"
		exit 1
	fi
}

# Read to its end before it runs: the file may change in these hours.
main "$@"
exit
