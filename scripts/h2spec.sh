#!/usr/bin/env bash
# What h2spec 2.2.1 finds with all its strict cases at Poise, HAProxy and nginx (Debian packages) as servers, in clear text and over TLS, and what its h2specd
# finds at Poise and HAProxy as clients: how many cases pass, and the names of the others. Takes a minute or two. It is an error if Poise fails others than
# docs/http2.md has, which `make test` looks at too.
#
#   scripts/h2spec.sh
set -euo pipefail
cd "$(dirname "$0")/.."

dir=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null; wait; rm -rf "$dir"' EXIT

CGO_ENABLED=0 go build -o "$dir/poise" ./cmd/poise
for name in h2spec h2specd; do
	go build -C test/peers -o "$dir/$name" github.com/summerwind/h2spec/cmd/$name
done
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$dir/key" -out "$dir/cert" -days 9 -subj "/CN=localhost" \
	-addext subjectAltName=DNS:localhost 2>/dev/null
cat "$dir/cert" "$dir/key" >"$dir/both"

# h2specd listens at a port of its own for each case, from this one on: below those that the system gives out.
from=13000 cases=60
mkdir "$dir/tmp"
body=$(printf 'hello %.0s' {1..100})
{
	echo "listeners:"
	echo "  - { address: 127.0.0.1:18601, pool: app }"
	echo "  - { address: 127.0.0.1:18602, pool: app, tls: { certificates: [{ cert: $dir/cert, key: $dir/key }] } }"
	echo "  - address: 127.0.0.1:18603"
	echo "    routes:"
	for ((p = from; p < from + cases; p++)); do
		echo "      - { match: { host: p$p.test }, pool: p$p }"
	done
	echo "pools:"
	echo "  app: { servers: [127.0.0.1:18600] }"
	for ((p = from; p < from + cases; p++)); do
		echo "  p$p: { servers: [127.0.0.1:$p], http_version: 2, retry: { attempts: 1 } }"
	done
	printf 'admin: { enabled: false }\naccess_log: { enabled: false }\n'
} >"$dir/poise.yaml"
{
	printf 'defaults\n mode http\n timeout client 10s\n timeout server 10s\n timeout connect 5s\n retries 0\n'
	printf 'frontend app\n bind 127.0.0.1:18611\n bind 127.0.0.1:18612 ssl crt %s alpn h2,http/1.1\n default_backend app\n' "$dir/both"
	printf 'backend app\n server app 127.0.0.1:18600\n'
	printf 'frontend ports\n bind 127.0.0.1:18613\n use_backend %%[req.hdr(host),field(1,.)]\n'
	for ((p = from; p < from + cases; p++)); do
		printf 'backend p%d\n server s 127.0.0.1:%d proto h2\n' "$p" "$p"
	done
} >"$dir/haproxy.cfg"
cat >"$dir/nginx.conf" <<EOF
worker_processes 1; pid $dir/nginx.pid; error_log $dir/nginx.log; daemon off; user root;
events { worker_connections 512; }
http {
	access_log off; client_body_temp_path $dir/tmp; proxy_temp_path $dir/tmp;
	server { listen 127.0.0.1:18600; location / { return 200 "$body"; } }
	server {
		listen 127.0.0.1:18621 http2;
		listen 127.0.0.1:18622 ssl http2;
		ssl_certificate $dir/cert; ssl_certificate_key $dir/key;
		location / { proxy_pass http://127.0.0.1:18600; }
	}
}
EOF
nginx -e "$dir/nginx.log" -c "$dir/nginx.conf" &
pids+=($!)
"$dir/poise" run -c "$dir/poise.yaml" 2>"$dir/poise.log" &
pids+=($!)
haproxy -db -f "$dir/haproxy.cfg" >"$dir/haproxy.log" 2>&1 &
pids+=($!)
for port in 18600 18601 18611 18621; do
	until curl -s -o /dev/null --http2-prior-knowledge "http://127.0.0.1:$port/" || curl -s -o /dev/null "http://127.0.0.1:$port/"; do sleep 0.1; done
done

# found prints how many cases have passed, and the sections and names of those that have not.
found() {
	local what=$1 out=$2
	echo "$what: $(grep -E '^[0-9]+ tests' "$out")"
	sed -n '/^Failures:/,$p' "$out" | grep -E '^ +([0-9]+(\.[0-9]+)*\. |× )' | sed 's/^/ /' || true
}

# spec has h2spec try a server.
spec() {
	local what=$1 port=$2
	shift 2
	"$dir/h2spec" -S -h 127.0.0.1 -p "$port" "$@" >"$dir/out" 2>&1 || true
	found "$what" "$dir/out" | tee -a "$dir/found"
}

# specd has h2specd try a client. Whom it starts for each case asks that one, which asks h2specd.
specd() {
	local what=$1 port=$2
	cat >"$dir/ask" <<EOF
#!/bin/sh
port=\${1##*:}
exec curl -s -m 5 -o /dev/null -H "Host: p\${port%%/*}.test" http://127.0.0.1:$port/
EOF
	chmod +x "$dir/ask"
	"$dir/h2specd" -S -f $from -e "$dir/ask" >"$dir/out" 2>&1 || true
	found "$what as a client" "$dir/out" | tee -a "$dir/found"
	echo "  of these, so many because its connection was reset: $(sed -n '/^Failures:/,$p' "$dir/out" | grep -c 'reset by peer')"
}

spec "Poise in clear text" 18601
spec "Poise over TLS" 18602 -t -k
spec "HAProxy in clear text" 18611
spec "HAProxy over TLS" 18612 -t -k
spec "nginx in clear text" 18621
spec "nginx over TLS" 18622 -t -k
specd Poise 18603
specd HAProxy 18613

for want in "Poise in clear text: 146 tests, 145 passed" "Poise over TLS: 146 tests, 146 passed" "Poise as a client: 57 tests, 56 passed"; do
	if ! grep -q "^$want" "$dir/found"; then
		echo "not so: $want" >&2
		exit 1
	fi
done
