package e2e

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"poise/internal/testkit"
)

// nodeServer1 serves HTTP/1.1: as many bytes as the path's last part says.
const nodeServer1 = `
const server = require('http').createServer((q, r) => r.end(Buffer.alloc(Number(q.url.split('/').pop()), 'x')))
server.listen(0, '127.0.0.1', () => console.log('127.0.0.1:' + server.address().port))
process.stdin.resume()
process.stdin.on('end', () => process.exit(0))`

// sized answers with as many bytes as the path's last part says.
func sized(w http.ResponseWriter, r *http.Request) {
	n, _ := strconv.Atoi(r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:])
	_, _ = w.Write(bytes.Repeat([]byte("x"), n))
}

// TestHTTP2Assets has nghttp load a page with a hundred assets, as urgent as their kinds are, over one connection. They come from servers of HTTP/1.1 and of
// HTTP/2, of four makes.
func TestHTTP2Assets(t *testing.T) {
	const byHAProxy = 1000
	dir := t.TempDir()
	links := []string{`<link rel="stylesheet" href="%s">`, `<script src="%s"></script>`, `<img src="%s">`}
	kinds := []string{"nginx", "node", "go1", "go2", "haproxy"}
	sizes := []int{0, 1000, 20_000, 70_000, 300_000}
	total, page := 0, "<!doctype html><html><head>"
	for i := range 100 {
		n, kind := sizes[i/len(kinds)%len(sizes)]+i, kinds[i%len(kinds)]
		path := fmt.Sprintf("/%s/%d", kind, n)
		switch kind {
		case "nginx":
			write(t, filepath.Join(dir, path), bytes.Repeat([]byte("x"), n))
		case "haproxy":
			n = byHAProxy
		}
		page += fmt.Sprintf(links[i%len(links)], path) + "\n"
		total += n
	}
	page = strings.ReplaceAll(page, "x", "&#120;") // so that what is x came of an asset
	write(t, filepath.Join(dir, "index.html"), []byte(page))
	nginx, haproxy := freeAddr(t), freeAddr(t)
	runNginx(t, nginx, dir, fmt.Sprintf("server { listen %s; root %s; types { text/html html; } }", nginx, dir))
	peer(t, haproxy, "haproxy", "-db", "-f", fileOf(t, "haproxy.cfg", fmt.Appendf(nil,
		"defaults\n mode http\n timeout client 10s\n timeout server 10s\n timeout connect 5s\nlisten l\n bind %s\n"+
			" http-request return status 200 content-type text/plain string %q\n", haproxy, strings.Repeat("x", byHAProxy))))
	cert := testkit.NewCertificate(t, "localhost")
	pools := fmt.Sprintf(`
pools:
  nginx: { servers: [%q] }
  haproxy: { servers: [%q] }
  node: { servers: [%q] }
  go1: { servers: [%q] }
  go2: { servers: [%q], http_version: 2 }
`, nginx, haproxy, startPeer(t, exec.Command("node", "-e", nodeServer1)), server(t, sized), server2(t, sized))
	for _, driver := range testkit.Drivers(t) {
		t.Run(driver, func(t *testing.T) {
			p := run(t, fmt.Sprintf(silent+`driver: %s
listeners:
  - name: clear
    address: 127.0.0.1:0
    pool: nginx
    routes: &routes
      - { match: { path: /haproxy/* }, pool: haproxy }
      - { match: { path: /node/* }, pool: node }
      - { match: { path: /go1/* }, pool: go1 }
      - { match: { path: /go2/* }, pool: go2 }
  - { name: tls, address: 127.0.0.1:0, tls: { certificates: [%s] }, pool: nginx, routes: *routes }
%s`, driver, cert.YAML(), pools))
			_, port, _ := strings.Cut(p.listeners(t, 2)[1], ":")
			for _, base := range []string{"http://" + p.listeners(t, 2)[0], "https://localhost:" + port} {
				out, err := exec.Command("nghttp", "-a", "--no-verify-peer", base+"/index.html").Output()
				if got := bytes.Count(out, []byte("x")); err != nil || got != total {
					t.Errorf("nghttp at %s: %v, %d bytes of assets, want %d", base, err, got, total)
				}
				out, err = exec.Command("nghttp", "-a", "-n", "-s", "--no-verify-peer", base+"/index.html").Output()
				if got := bytes.Count(out, []byte(" 200 ")); err != nil || got != 101 {
					t.Errorf("nghttp at %s: %v, %d answers of 101\n%s", base, err, got, out)
				}
			}
		})
	}
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}
