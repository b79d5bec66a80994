#!/usr/bin/env bash
# Compares Poise with HAProxy and nginx: CPU microseconds of the balancer's process per request, in interleaved runs on equal terms.
#
#   scripts/measure.sh [RUNS] [SECONDS]        default: 5 runs of 4 s
#
# Needs wrk, haproxy and nginx. One worker each; keep-alive on both sides; logs off; the same nginx behind all of them. HAPROXY= and NGINX= name other binaries. The load
# generator, the balancer and the server share the machine, so only the ratios of one run mean anything.
set -euo pipefail
cd "$(dirname "$0")/.."
runs=${1:-5} seconds=${2:-4}
haproxy=${HAPROXY:-haproxy} nginx=${NGINX:-nginx}
dir=$(mktemp -d)
chmod 755 "$dir" # nginx reads its files as another user
pids=()
finish() {
	for p in "${pids[@]}"; do kill "$p" 2>/dev/null || true; done
	wait 2>/dev/null || true
	rm -rf "$dir"
}
trap finish EXIT

CGO_ENABLED=0 go build -o "$dir/poise" ./cmd/poise
mkdir "$dir/files"
head -c 65536 /dev/zero >"$dir/files/64k"
head -c 1048576 /dev/zero >"$dir/files/1m"
body=$(printf '%0100d' 1)

cat >"$dir/server.conf" <<END
worker_processes 1; pid $dir/server.pid; error_log $dir/server.log; daemon off;
events { worker_connections 8000; }
http {
	access_log off; keepalive_requests 1000000000;
	server {
		listen 127.0.0.1:19101 backlog=4096;
		location / { return 200 "$body"; }
		location /files/ { alias $dir/files/; }
	}
}
END
cat >"$dir/nginx.conf" <<END
worker_processes 1; pid $dir/nginx.pid; error_log $dir/nginx.log; daemon off;
events { worker_connections 8000; }
http {
	access_log off; keepalive_requests 1000000000;
	upstream u { server 127.0.0.1:19101; keepalive 256; keepalive_requests 1000000000; }
	server {
		listen 127.0.0.1:19112 backlog=4096;
		location / {
			proxy_pass http://u; proxy_http_version 1.1; proxy_set_header Connection "";
			proxy_set_header Host \$http_host; proxy_set_header X-Forwarded-For \$remote_addr;
		}
	}
}
END
cat >"$dir/haproxy.cfg" <<END
global
	nbthread 1
	maxconn 8000
defaults
	mode http
	timeout connect 5s
	timeout client 75s
	timeout server 60s
	option forwardfor
	http-reuse always
frontend f
	bind 127.0.0.1:19111
	default_backend b
backend b
	server s1 127.0.0.1:19101 pool-max-conn 256
END
declare -A port=([io_uring]=19110 [net]=19113 [epoll]=19114)
for driver in "${!port[@]}"; do
	cat >"$dir/$driver.yaml" <<END
loops: 1
driver: $driver
listen: 127.0.0.1:${port[$driver]}
servers: [127.0.0.1:19101]
access_log: { enabled: false }
admin: { enabled: false }
END
done

"$nginx" -c "$dir/server.conf" & pids+=($!)
"$nginx" -c "$dir/nginx.conf" & pids+=($!); nginx_pid=$!
"$haproxy" -f "$dir/haproxy.cfg" >/dev/null 2>&1 & pids+=($!); haproxy_pid=$!
"$dir/poise" run -c "$dir/io_uring.yaml" 2>"$dir/poise.log" & pids+=($!); poise_pid=$!
"$dir/poise" run -c "$dir/epoll.yaml" 2>"$dir/poise-epoll.log" & pids+=($!); epoll_pid=$!
"$dir/poise" run -c "$dir/net.yaml" 2>"$dir/poise-net.log" & pids+=($!); net_pid=$!
for p in 19110 19111 19112 19113 19114; do
	curl -sf --retry 20 --retry-connrefused --retry-delay 1 -o /dev/null "http://127.0.0.1:$p/"
done
nginx_worker=$(pgrep -P "$nginx_pid")

"$haproxy" -v | head -1
"$nginx" -v 2>&1
"$dir/poise" version | head -1
uname -sr

ticks() { awk '{print $14, $15}' "/proc/$1/stat"; }
one() { # name pid port path connections
	local user sys user2 sys2 out n
	read -r user sys < <(ticks "$2")
	out=$(wrk -t1 -c"$5" -d"${seconds}s" "http://127.0.0.1:$3$4")
	read -r user2 sys2 < <(ticks "$2")
	n=$(awk '/requests in/{print $1}' <<<"$out")
	if grep -q -e 'Non-2xx' -e 'Socket errors' <<<"$out"; then echo "errors from $1: $out" >&2; exit 1; fi
	awk -v n="$n" -v u=$((user2 - user)) -v s=$((sys2 - sys)) -v d="$seconds" 'BEGIN{printf "%.2f %.2f %.0f\n", (u+s)*10000/n, u*10000/n, n/d}' >>"$dir/result.$1"
}
median() { sort -n | awk '{a[NR]=$1} END{print a[int((NR+1)/2)]}'; }

scenario() { # title path connections
	rm -f "$dir"/result.*
	for _ in $(seq "$runs"); do
		one poise "$poise_pid" 19110 "$2" "$3"
		one haproxy "$haproxy_pid" 19111 "$2" "$3"
		one nginx "$nginx_worker" 19112 "$2" "$3"
		one poise-epoll "$epoll_pid" 19114 "$2" "$3"
		one poise-net "$net_pid" 19113 "$2" "$3"
	done
	printf '\n%s (median of %d runs of %d s)\n%-12s %12s %12s %12s\n' "$1" "$runs" "$seconds" "" "CPU us/req" "user us/req" "req/s"
	for name in poise haproxy nginx poise-epoll poise-net; do
		printf '%-12s %12s %12s %12s\n' "$name" "$(cut -d' ' -f1 "$dir/result.$name" | median)" "$(cut -d' ' -f2 "$dir/result.$name" | median)" "$(cut -d' ' -f3 "$dir/result.$name" | median)"
	done
}
scenario "100 bytes, 64 keep-alive connections" / 64
scenario "64 KiB, 32 keep-alive connections" /files/64k 32
scenario "1 MiB, 16 keep-alive connections" /files/1m 16
