package e2e

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"poise/internal/testkit"
)

const websocketScript = "../peers/node/websocket.js"

// wantSockets is what node's client prints of each path.
const wantSockets = `text grüße
echoes 0,1,125,126,65535,65536,1048576
page beside it 200
closed by us 4000 done true
closed by the server 4001 that is all true
at once 50
another protocol 501
`

// echoAll sends messages back over a WebSocket until one is "bye", and tells how each has ended: the code of a close, or -1. To others it is a page.
func echoAll(ends chan<- int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" {
			return
		}
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer func() { _ = c.CloseNow() }()
		c.SetReadLimit(2 << 20)
		for {
			kind, message, err := c.Read(r.Context())
			if e := (websocket.CloseError{}); errors.As(err, &e) {
				ends <- int(e.Code)
				return
			}
			if err != nil {
				ends <- -1
				return
			}
			if string(message) == "bye" {
				_ = c.Close(4001, "that is all")
				return
			}
			if c.Write(r.Context(), kind, message) != nil {
				return
			}
		}
	}
}

// TestWebSocketOverHTTP2 has node open WebSockets over HTTP/2 to servers of HTTP/1.1, to servers that could speak HTTP/2 beside it, and to one of HTTP/2
// that takes them.
func TestWebSocketOverHTTP2(t *testing.T) {
	cert := testkit.NewCertificate(t, "localhost")
	ends := make(chan int, 1000)
	plain := server(t, echoAll(ends))
	secured := httptest.NewUnstartedServer(echoAll(ends))
	secured.EnableHTTP2, secured.TLS = true, &tls.Config{Certificates: []tls.Certificate{cert.Certificate}}
	secured.StartTLS()
	t.Cleanup(secured.Close)
	node := startPeer(t, exec.Command("node", websocketScript, "serve"))
	for _, driver := range testkit.Drivers(t) {
		t.Run(driver, func(t *testing.T) {
			p := run(t, fmt.Sprintf(silent+`driver: %s
listeners:
  - { name: clear, address: 127.0.0.1:0, routes: &routes [{ match: { path: /plain }, pool: plain }, { match: { path: /auto }, pool: auto }, { match: { path: /node }, pool: node }] }
  - { name: tls, address: 127.0.0.1:0, tls: { certificates: [%s] }, routes: *routes }
pools:
  plain: { servers: [%q] }
  auto: { servers: [%q], http_version: auto, server_tls: { ca: %q, server_name: localhost } }
  node: { servers: [%q], http_version: 2 }
`, driver, cert.YAML(), plain, strings.TrimPrefix(secured.URL, "https://"), cert.CertFile, node))
			_, port, _ := strings.Cut(p.listeners(t, 2)[1], ":")
			for url, ca := range map[string]string{"http://" + p.listeners(t, 2)[0]: "", "https://localhost:" + port: cert.CertFile} {
				out, err := exec.Command("node", websocketScript, "call", url, ca, "/plain", "/auto", "/node").CombinedOutput()
				if want := "offered true\n" + strings.Repeat(wantSockets, 3); err != nil || string(out) != want {
					t.Errorf("%s: %v\n%s", url, err, out)
				}
				// How the servers of HTTP/1.1 saw it: one closed by us, one that has vanished, and fifty at once.
				got := map[int]int{}
				for range 2 * 52 {
					select {
					case code := <-ends:
						got[code]++
					case <-time.After(testkit.Patience):
						t.Fatalf("the servers have seen only these ends: %v", got)
					}
				}
				if want := map[int]int{4000: 2, -1: 2, 1000: 100}; fmt.Sprint(got) != fmt.Sprint(want) {
					t.Errorf("the servers have seen these codes: %v, want %v", got, want)
				}
			}
		})
	}
}
