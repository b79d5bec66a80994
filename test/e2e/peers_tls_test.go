package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"poise/internal/testkit"
)

// Clients of other makes. Each gets /big twice over one connection, puts it to /upload/NAME, and prints what came as hashes.
const (
	nodeClient = `
const https = require('https'), fs = require('fs'), crypto = require('crypto')
const [host, port, ca, file, name] = process.argv.slice(1)
const agent = new https.Agent({ keepAlive: true, maxSockets: 1, ca: fs.readFileSync(ca) })
const ask = (method, path, body) => new Promise((done, failed) => {
  const r = https.request({ host, port, method, path, agent }, (res) => {
    const hash = crypto.createHash('sha256')
    res.on('data', (b) => hash.update(b))
    res.on('end', () => done([res.statusCode, hash.digest('hex'), r.reusedSocket]))
  })
  r.on('error', failed)
  r.end(body)
})
;(async () => {
  const all = [await ask('GET', '/big'), await ask('GET', '/big'), await ask('PUT', '/upload/' + name, fs.readFileSync(file))]
  console.log(all[0][1], all[1][1], all[2][0], all[1][2] && all[2][2] ? 'kept' : 'new')
  agent.destroy()
})()`
	pythonClient = `
import hashlib, http.client, ssl, sys
host, port, ca, file, name = sys.argv[1:]
c = http.client.HTTPSConnection(host, int(port), context=ssl.create_default_context(cafile=ca))
out, sock = [], None
for i in range(2):
    c.request('GET', '/big')
    sock = sock or c.sock
    out.append(hashlib.sha256(c.getresponse().read()).hexdigest())
c.request('PUT', '/upload/' + name, open(file, 'rb'), {'Transfer-Encoding': 'chunked'}, encode_chunked=True)
kept = c.sock is sock
r = c.getresponse()
r.read()
print(out[0], out[1], r.status, 'kept' if kept else 'new')`
)

// silent is what a Poise needs that writes neither access log nor metrics.
const silent = "admin: { enabled: false }\naccess_log: { enabled: false }\n"

// TestTLSPeers sends other people's clients over TLS to other people's servers over TLS, also through other people's balancers before Poise.
func TestTLSPeers(t *testing.T) {
	cert := testkit.NewCertificate(t, "localhost")
	dir := t.TempDir()
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	file := filepath.Join(dir, "big")
	if err := os.WriteFile(file, big, 0o644); err != nil {
		t.Fatal(err)
	}
	servers := map[string]string{"nginx": tlsNginx(t, dir, cert), "haproxy": tlsHAProxy(t, cert)}
	for _, driver := range testkit.Drivers(t) {
		t.Run(driver, func(t *testing.T) {
			p := run(t, fmt.Sprintf(silent+`driver: %s
listeners:
  - address: 127.0.0.1:0
    pool: nginx
    tls: { certificates: [%s] }
    routes: [{ match: { path: /haproxy }, pool: haproxy }]
pools:
  nginx: { servers: [%q], server_tls: { ca: %q, server_name: localhost }, health: { http: { path: /big } } }
  haproxy: { servers: [%q], server_tls: { ca: %[4]q, server_name: localhost }, health: { tcp: {} } }
`, driver, cert.YAML(), servers["nginx"], cert.CertFile, servers["haproxy"]))
			c := tlsClients{cert: cert, file: file, big: big, uploads: filepath.Join(dir, "upload"), prefix: driver}
			c.check(t, p.Addr)
			for name, at := range map[string]string{"nginx": frontNginx(t, p.Addr, cert), "haproxy": frontHAProxy(t, p.Addr, cert)} {
				t.Run("behind "+name, func(t *testing.T) {
					c.prefix = driver + name
					c.check(t, at)
				})
			}
		})
	}
}

// tlsClients are what is sent, and where it must arrive.
type tlsClients struct {
	cert                  *testkit.Certificate
	file, uploads, prefix string
	big                   []byte
}

func (c *tlsClients) check(t *testing.T, addr string) {
	t.Helper()
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	base := "https://localhost:" + port
	if out, code := curl(t, "--cacert", c.cert.CertFile, base+"/big", "--next", "-sS", "--cacert", c.cert.CertFile, base+"/big"); code != 0 || out != string(c.big)+string(c.big) {
		t.Errorf("curl of twice 1 MiB: exit code %d, %d bytes", code, len(out))
	}
	if out, code := curl(t, "--cacert", c.cert.CertFile, base+"/haproxy"); code != 0 || out != "by haproxy" {
		t.Errorf("curl of HAProxy's = %q, exit code %d", out, code)
	}
	client := exec.Command("openssl", "s_client", "-quiet", "-verify_return_error", "-CAfile", c.cert.CertFile, "-verify_hostname", "localhost",
		"-servername", "localhost", "-connect", addr)
	client.Stdin = strings.NewReader("GET /big HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
	if out, err := client.Output(); err != nil || !bytes.HasPrefix(out, []byte("HTTP/1.1 200 ")) || !bytes.HasSuffix(out, append([]byte("\r\n\r\n"), c.big...)) {
		t.Errorf("openssl s_client: %v, %d bytes: %.100q", err, len(out), out)
	}
	sum := fmt.Sprintf("%x", sha256.Sum256(c.big))
	for name, args := range map[string][]string{"node": {"node", "-e", nodeClient}, "python": {"python3", "-c", pythonClient}} {
		upload := c.prefix + name
		cmd := exec.Command(args[0], append(args[1:], "localhost", port, c.cert.CertFile, c.file, upload)...)
		var complaint bytes.Buffer
		cmd.Stderr = &complaint
		out, err := cmd.Output()
		if want := sum + " " + sum + " 201 kept\n"; err != nil || string(out) != want {
			t.Errorf("%s prints %q (%v), want %q\n%s", name, out, err, want, complaint.String())
		}
		if got, err := os.ReadFile(filepath.Join(c.uploads, upload)); err != nil || !bytes.Equal(got, c.big) {
			t.Errorf("of what %s puts, %d bytes arrive (%v), want %d", name, len(got), err, len(c.big))
		}
	}
}

// freeAddr is an address that nobody listens on.
func freeAddr(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// peer runs a server of another make until the test ends, and waits until it listens.
func peer(t *testing.T, addr string, args ...string) {
	t.Helper()
	var out testkit.Buffer
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", args[0], err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s said:\n%s", args[0], out.String())
		}
	})
	testkit.Eventually(t, args[0], func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
}

// runNginx runs it with a server block.
func runNginx(t *testing.T, addr, dir, server string) {
	t.Helper()
	for _, d := range []string{"upload", "tmp"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	text := fmt.Sprintf(`worker_processes 1; pid %[1]s/pid; error_log stderr; daemon off; user root;
events { worker_connections 512; }
http { access_log off; client_body_temp_path %[1]s/tmp; proxy_temp_path %[1]s/tmp; client_max_body_size 10m;
%s }
`, dir, server)
	peer(t, addr, "nginx", "-c", fileOf(t, "nginx.conf", []byte(text)))
}

// tlsNginx serves dir.
func tlsNginx(t *testing.T, dir string, cert *testkit.Certificate) string {
	t.Helper()
	addr := freeAddr(t)
	runNginx(t, addr, dir, fmt.Sprintf(`server { listen %s ssl; ssl_certificate %s; ssl_certificate_key %s; root %s; location /upload/ { dav_methods PUT; } }`,
		addr, cert.CertFile, cert.KeyFile, dir))
	return addr
}

// frontNginx stands before Poise.
func frontNginx(t *testing.T, to string, cert *testkit.Certificate) string {
	t.Helper()
	addr := freeAddr(t)
	runNginx(t, addr, t.TempDir(), fmt.Sprintf(`upstream poise { server %s; keepalive 8; }
server { listen %s ssl; ssl_certificate %s; ssl_certificate_key %s; location / { proxy_pass https://poise; proxy_http_version 1.1; proxy_set_header Connection "";
 proxy_ssl_verify on; proxy_ssl_trusted_certificate %[3]s; proxy_ssl_name localhost; proxy_ssl_server_name on; } }`,
		to, addr, cert.CertFile, cert.KeyFile))
	return addr
}

// runHAProxy runs it with a proxy that listens over TLS.
func runHAProxy(t *testing.T, cert *testkit.Certificate, proxy string) string {
	t.Helper()
	addr := freeAddr(t)
	var both []byte
	for _, f := range []string{cert.CertFile, cert.KeyFile} {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		both = append(both, b...)
	}
	text := fmt.Sprintf("defaults\n mode http\n timeout client 10s\n timeout server 10s\n timeout connect 5s\nlisten tls\n bind %s ssl crt %s\n%s\n",
		addr, fileOf(t, "both.pem", both), proxy)
	peer(t, addr, "haproxy", "-db", "-f", fileOf(t, "haproxy.cfg", []byte(text)))
	return addr
}

func tlsHAProxy(t *testing.T, cert *testkit.Certificate) string {
	t.Helper()
	return runHAProxy(t, cert, ` http-request return status 200 content-type text/plain string "by haproxy"`)
}

func frontHAProxy(t *testing.T, to string, cert *testkit.Certificate) string {
	t.Helper()
	return runHAProxy(t, cert, fmt.Sprintf(" server poise %s ssl verify required ca-file %s sni str(localhost) verifyhost localhost", to, cert.CertFile))
}

// A page whose script gets, posts, has a WebSocket echo, gets much at once, and tells the result.
const chromiumPage = `<!doctype html><script>
(async () => {
  const big = await (await fetch('/big')).arrayBuffer()
  const hash = async (b) => [...new Uint8Array(await crypto.subtle.digest('SHA-256', b))].map((x) => x.toString(16).padStart(2, '0')).join('')
  const put = await (await fetch('/echo', { method: 'POST', body: big })).arrayBuffer()
  const socket = new WebSocket('wss://' + location.host + '/ws')
  socket.binaryType = 'arraybuffer'
  await new Promise((done, failed) => { socket.onopen = done; socket.onerror = () => failed('the WebSocket failed') })
  socket.send(big)
  const echo = await new Promise((done) => { socket.onmessage = (m) => done(m.data) })
  socket.send('bye')
  const code = await new Promise((done) => { socket.onclose = (c) => done(c.code + ' ' + c.reason) })
  const parts = await Promise.all([...Array(100).keys()].map(async (i) => (await (await fetch('/part/' + i)).text()) === 'part ' + i))
  performance.setResourceTimingBufferSize(1000)
  const versions = new Set(performance.getEntriesByType('resource').map((e) => e.nextHopProtocol))
  const all = [await hash(big), await hash(put), await hash(echo), code, location.protocol, isSecureContext, parts.every((p) => p), [...versions]]
  await fetch('/result', { method: 'POST', body: all.join(' ') })
})().catch((e) => fetch('/result', { method: 'POST', body: String(e) }))
</script>`

// echoOnce sends a message back over a WebSocket, and goodbye after the next one.
func echoOnce(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer func() { _ = c.CloseNow() }()
	c.SetReadLimit(2 << 20)
	kind, message, err := c.Read(r.Context())
	if err != nil || c.Write(r.Context(), kind, message) != nil {
		return
	}
	if _, bye, err := c.Read(r.Context()); err == nil && string(bye) == "bye" {
		_ = c.Close(4001, "that is all")
	}
}

// TestChromium has a browser open a page through Poise over TLS, whose script then moves a mebibyte both ways, also by a WebSocket, and gets a hundred small
// resources: all over HTTP/2.
func TestChromium(t *testing.T) {
	cert := testkit.NewCertificate(t, "localhost")
	big := testkit.Pattern(3, 1<<20)
	result := make(chan string, 1)
	to := server(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/":
			_, _ = io.WriteString(w, chromiumPage)
		case "/big":
			_, _ = w.Write(big)
		case "/echo":
			_, _ = io.Copy(w, r.Body)
		case "/ws":
			echoOnce(w, r)
		case "/result":
			b, _ := io.ReadAll(r.Body)
			select {
			case result <- string(b):
			default:
			}
		default:
			if n, ok := strings.CutPrefix(r.URL.Path, "/part/"); ok {
				_, _ = io.WriteString(w, "part "+n)
				return
			}
			http.NotFound(w, r)
		}
	})
	log := filepath.Join(t.TempDir(), "log")
	p := run(t, fmt.Sprintf(`
admin: { enabled: false }
access_log: { path: %s }
listeners: [{ address: "127.0.0.1:0", pool: app, tls: { certificates: [%s] } }]
pools: { app: { servers: [%q] } }
`, log, cert.YAML(), to))
	_, port, _ := net.SplitHostPort(p.Addr)
	key := sha256.Sum256(cert.Leaf.RawSubjectPublicKeyInfo)
	var out testkit.Buffer
	browser := exec.Command("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
		"--user-data-dir="+t.TempDir(), "--ignore-certificate-errors-spki-list="+base64.StdEncoding.EncodeToString(key[:]), "https://localhost:"+port+"/")
	browser.Stdout, browser.Stderr = &out, &out
	browser.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that its children end with it
	if err := browser.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = syscall.Kill(-browser.Process.Pid, syscall.SIGKILL)
		_ = browser.Wait()
	}()
	sum := fmt.Sprintf("%x", sha256.Sum256(big))
	select {
	case got := <-result:
		if want := sum + " " + sum + " " + sum + " 4001 that is all https: true true h2"; got != want {
			t.Errorf("the page's script tells %q, want %q", got, want)
		}
		p.signal(t, syscall.SIGTERM)
		p.exit(t)
		for line := range strings.Lines(read(t, log)) {
			if !strings.Contains(line, `"protocol":"HTTP/2.0"`) || (strings.Contains(line, `"path":"/ws"`) && !strings.Contains(line, `"status":200`)) {
				t.Errorf("not over HTTP/2: %s", line)
			}
		}
	case <-time.After(60 * time.Second):
		t.Errorf("the page's script told nothing within a minute; Chromium said:\n%s", out.String())
	}
}
