package e2e

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"poise/internal/testkit"
)

// Clients and a server of HTTP/2 of other makes. Each client gets PATH and prints the version and a hash of what came.
const (
	nodeClient2 = `
const http2 = require('http2'), fs = require('fs'), crypto = require('crypto')
const [base, ca, file, ...paths] = process.argv.slice(1)
const session = http2.connect(base, ca ? { ca: fs.readFileSync(ca) } : {})
const ask = (path, body) => new Promise((done, failed) => {
  const r = session.request({ ':path': path, ':method': body ? 'POST' : 'GET' }, { endStream: !body })
  const hash = crypto.createHash('sha256')
  r.on('data', (b) => hash.update(b))
  r.on('end', () => done(hash.digest('hex')))
  r.on('error', failed)
  if (body) r.end(body)
})
Promise.all([...paths.map((p) => ask(p)), ask('/node/hash', fs.readFileSync(file))]).then((all) => { console.log(all.join('\n')); session.close() })`

	pythonClient2 = `
import hashlib, socket, ssl, sys, h2.connection, h2.events
host, port, ca, paths = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4:]
s = socket.create_connection((host, port), 10)
if ca:
    context = ssl.create_default_context(cafile=ca)
    context.set_alpn_protocols(['h2'])
    s = context.wrap_socket(s, server_hostname=host)
    assert s.selected_alpn_protocol() == 'h2'
c = h2.connection.H2Connection()
c.initiate_connection()
hashes = {}
for p in paths:
    n = c.get_next_available_stream_id()
    hashes[n] = hashlib.sha256()
    c.send_headers(n, [(':method', 'GET'), (':authority', host), (':scheme', 'https' if ca else 'http'), (':path', p)], end_stream=True)
s.sendall(c.data_to_send())
left = len(paths)
while left:
    data = s.recv(65536)
    assert data, 'the connection has ended'
    for e in c.receive_data(data):
        if isinstance(e, h2.events.DataReceived):
            hashes[e.stream_id].update(e.data)
            c.acknowledge_received_data(e.flow_controlled_length, e.stream_id)
        elif isinstance(e, h2.events.StreamEnded):
            left -= 1
        elif isinstance(e, h2.events.StreamReset):
            raise SystemExit('stream %d was reset' % e.stream_id)
    s.sendall(c.data_to_send())
for n in hashes:
    print(hashes[n].hexdigest())`

	nodeServer2 = `
const http2 = require('http2'), fs = require('fs'), crypto = require('crypto')
const [file] = process.argv.slice(1)
const server = http2.createServer((q, r) => {
  if (q.url !== '/node/hash') return r.end(fs.readFileSync(file))
  const hash = crypto.createHash('sha256')
  q.on('data', (b) => hash.update(b))
  q.on('end', () => r.end(hash.digest('hex')))
})
server.listen(0, '127.0.0.1', () => console.log('127.0.0.1:' + server.address().port))
process.stdin.resume()
process.stdin.on('end', () => process.exit(0))`
)

// haproxy2 answers over HTTP/2 alone.
func haproxy2(t *testing.T, secured string) string {
	t.Helper()
	addr := freeAddr(t)
	text := fmt.Sprintf("defaults\n mode http\n timeout client 10s\n timeout server 10s\n timeout connect 5s\nlisten l\n bind %s %s\n"+
		" http-request return status 200 content-type text/plain string \"by haproxy\"\n", addr, secured)
	peer(t, addr, "haproxy", "-db", "-f", fileOf(t, "haproxy.cfg", []byte(text)))
	return addr
}

// TestHTTP2Peers has other people's clients of HTTP/2 before Poise, and other people's servers of HTTP/2 behind it.
func TestHTTP2Peers(t *testing.T) {
	cert := testkit.NewCertificate(t, "localhost")
	dir := t.TempDir()
	big := testkit.Pattern(5, 1<<20)
	file := filepath.Join(dir, "big")
	for _, name := range []string{file, filepath.Join(dir, "nginx", "big"), filepath.Join(dir, "nginx-tls", "big")} {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, big, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	both := fileOf(t, "both.pem", []byte(read(t, cert.CertFile)+read(t, cert.KeyFile)))
	clearNginx, tlsNginx := freeAddr(t), freeAddr(t)
	runNginx(t, clearNginx, dir, fmt.Sprintf(`server { listen %s http2; listen %s ssl http2; ssl_certificate %s; ssl_certificate_key %s; root %s; }`,
		clearNginx, tlsNginx, cert.CertFile, cert.KeyFile, dir))
	servers := map[string]string{
		"nginx": clearNginx, "haproxy": haproxy2(t, "proto h2"), "nginx-tls": tlsNginx, "haproxy-tls": haproxy2(t, "ssl crt "+both+" alpn h2"),
		"node": startPeer(t, exec.Command("node", "-e", nodeServer2, file)),
	}
	var pools, routes strings.Builder
	for name, addr := range servers {
		secured := ""
		if strings.HasSuffix(name, "-tls") {
			secured = fmt.Sprintf(", server_tls: { ca: %q, server_name: localhost }", cert.CertFile)
		}
		fmt.Fprintf(&pools, "  %s: { servers: [%q], http_version: 2%s }\n", name, addr, secured)
		fmt.Fprintf(&routes, "      - { match: { path: /%s/* }, pool: %s }\n", name, name)
	}
	sum := fmt.Sprintf("%x", sha256.Sum256(big))
	small := fmt.Sprintf("%x", sha256.Sum256([]byte("by haproxy")))
	hashed := fmt.Sprintf("%x", sha256.Sum256([]byte(sum)))
	paths := []string{"/nginx/big", "/nginx-tls/big", "/node/big", "/haproxy/x", "/haproxy-tls/x"}
	want := strings.Join([]string{sum, sum, sum, small, small}, "\n") + "\n"
	for _, driver := range testkit.Drivers(t) {
		t.Run(driver, func(t *testing.T) {
			p := run(t, fmt.Sprintf(silent+"driver: %s\nlisteners:\n  - name: clear\n    address: 127.0.0.1:0\n    routes:\n%s  - name: tls\n    address: 127.0.0.1:0\n    tls: { certificates: [%s] }\n    routes:\n%[2]spools:\n%[4]s",
				driver, &routes, cert.YAML(), &pools))
			for i, ca := range []string{"", cert.CertFile} {
				host, port, _ := strings.Cut(p.listeners(t, 2)[i], ":")
				base, flags := "http://"+host+":"+port, []string{"--http2-prior-knowledge"}
				if ca != "" {
					host = "localhost"
					base, flags = "https://localhost:"+port, []string{"--http2", "--cacert", ca}
				}
				for n, path := range paths {
					out, code := curl(t, append(flags, "-w", "%{http_version}", base+path)...)
					body, ok := strings.CutSuffix(out, "2")
					if got := fmt.Sprintf("%x", sha256.Sum256([]byte(body))); code != 0 || !ok || got != strings.Split(want, "\n")[n] {
						t.Errorf("curl %s%s: exit code %d, %d bytes", base, path, code, len(out))
					}
				}
				out, err := exec.Command("node", append([]string{"-e", nodeClient2, base, ca, file}, paths...)...).CombinedOutput()
				if err != nil || string(out) != want+hashed+"\n" {
					t.Errorf("node at %s: %v\n%s", base, err, out)
				}
				out, err = exec.Command("/usr/bin/python3", append([]string{"-c", pythonClient2, host, port, ca}, paths...)...).CombinedOutput()
				if err != nil || string(out) != want {
					t.Errorf("python at %s: %v\n%s", base, err, out)
				}
				var urls []string
				for _, path := range paths {
					urls = append(urls, base+path)
				}
				out, err = exec.Command("nghttp", append([]string{"-n", "-s", "--no-verify-peer"}, urls...)...).CombinedOutput()
				if n := strings.Count(string(out), " 200 "); err != nil || n != len(paths) {
					t.Errorf("nghttp at %s: %v, %d answers\n%s", base, err, n, out)
				}
				out, err = exec.Command("h2load", "-n", "60", "-c", "2", "-m", "3", base+"/node/big").CombinedOutput()
				if done := regexp.MustCompile(`60 succeeded, 0 failed`).Match(out); err != nil || !done {
					t.Errorf("h2load at %s: %v\n%s", base, err, out)
				}
			}
		})
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
