package wire

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"poise/internal/testkit"
)

// Unix sockets on both sides, and a server that is given by name.
func TestUnixSocketsAndNames(t *testing.T) {
	t.Parallel()
	tcp, err := net.Listen("tcp", "127.0.0.1:0") // where localhost leads
	if err != nil {
		t.Fatal(err)
	}
	named := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })}
	go func() { _ = named.Serve(tcp) }()
	t.Cleanup(func() { _ = named.Close() })
	_, port, _ := net.SplitHostPort(tcp.Addr().String())
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		dir := t.TempDir()
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, r.Header.Get("X-Forwarded-For"))
		})}
		ln, err := net.Listen("unix", filepath.Join(dir, "server"))
		if err != nil {
			t.Fatal(err)
		}
		go func() { _ = server.Serve(ln) }()
		t.Cleanup(func() { _ = server.Close() })
		p := testkit.Start(t, s, `
listeners:
  - address: unix:`+dir+`/listener
    trusted_proxies: [0.0.0.0/0, "::/0"]
    pool: local
    routes:
      - { match: { path: /name }, pool: named }
pools:
  local: { servers: ["unix:`+dir+`/server"] }
  named: { servers: ["localhost:`+port+`"] }
`)
		c, err := net.Dial("unix", strings.TrimPrefix(p.Addr, "unix:"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		r := bufio.NewReader(c)
		for path, want := range map[string]string{"/": "unknown", "/name": "ok"} {
			_, _ = io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.9\r\n\r\n")
			resp, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			if b, err := io.ReadAll(resp.Body); string(b) != want || err != nil {
				t.Errorf("%s = %q, %v; want %q", path, b, err, want)
			}
		}
	})
}
