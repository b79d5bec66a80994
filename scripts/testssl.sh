#!/usr/bin/env bash
# What testssl.sh (Debian package testssl.sh; 3.0 or later) finds at a listener of Poise, with a certificate of a CA that is made for it. Takes a minute or two.
# Findings above LOW are an error, but for those that only a public CA could mend.
#
#   scripts/testssl.sh
set -euo pipefail
cd "$(dirname "$0")/.."

dir=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null; rm -rf "$dir"' EXIT

CGO_ENABLED=0 go build -o "$dir/poise" ./cmd/poise
(
	cd "$dir"
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 90 -subj "/CN=Test CA" \
		-addext keyUsage=critical,keyCertSign,cRLSign 2>/dev/null
	printf '%s\n' 'subjectAltName=DNS:localhost' 'keyUsage=critical,digitalSignature' 'extendedKeyUsage=serverAuth' 'basicConstraints=critical,CA:FALSE' >ext
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ecdsa.key -out ecdsa.csr -subj "/CN=localhost" 2>/dev/null
	openssl req -newkey rsa:2048 -nodes -keyout rsa.key -out rsa.csr -subj "/CN=localhost" 2>/dev/null
	for kind in ecdsa rsa; do
		openssl x509 -req -in $kind.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 90 -extfile ext -out $kind.pem 2>/dev/null
	done
	cat >poise.yaml <<EOF
listeners:
  - address: 127.0.0.1:18443
    pool: app
    tls: { hsts: {}, certificates: [{ cert: $dir/ecdsa.pem, key: $dir/ecdsa.key }, { cert: $dir/rsa.pem, key: $dir/rsa.key }] }
pools: { app: { servers: [127.0.0.1:18081] } }
admin: { enabled: false }
access_log: { enabled: false }
EOF
	# An application that says what browsers may do with its pages: what it does not say is found as well, and is not Poise's to say.
	cat >app.py <<'EOF'
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class App(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_GET(self):
        self.send_response(200)
        for name, value in (('Content-Security-Policy', "default-src 'self'"), ('X-Content-Type-Options', 'nosniff'), ('X-Frame-Options', 'DENY'),
                            ('Referrer-Policy', 'no-referrer'), ('Content-Length', '2')):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(b'ok')
    do_HEAD = do_GET
    def log_message(self, *args): pass
ThreadingHTTPServer(('127.0.0.1', 18081), App).serve_forever()
EOF
)
python3 "$dir/app.py" &
pids+=($!)
"$dir/poise" run -c "$dir/poise.yaml" 2>"$dir/log" &
pids+=($!)
until grep -q '1 of 1 server up' "$dir/log"; do sleep 0.1; done

testssl --add-ca "$dir/ca.pem" --warnings batch --color 0 --jsonfile "$dir/found.json" --ip 127.0.0.1 https://localhost:18443 >"$dir/out" || true
python3 - "$dir/found.json" <<'EOF'
import json, sys
public = {'cert_revocation', 'DNS_CAArecord'} # a CRL or OCSP responder, and a record in DNS
found = [f for f in json.load(open(sys.argv[1])) if f['severity'] not in ('OK', 'INFO', 'DEBUG')]
if not any(f['id'] == 'cert_revocation <cert#1>' for f in found):
    sys.exit('testssl.sh did not come to its end')
wrong = [f for f in found if f['severity'] not in ('LOW', 'WARN') and f['id'].split()[0] not in public]
for f in found:
    print(f'{f["severity"]:9} {f["id"]}: {f["finding"]}')
if wrong:
    sys.exit(f'{len(wrong)} findings above LOW')
EOF
