package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"poise/internal/testkit"
)

// spec builds a program of h2spec's.
func spec(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if out, err := exec.Command("go", "build", "-C", "../peers", "-o", path, "github.com/summerwind/h2spec/cmd/"+name).CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return path
}

// wantSpec wants all cases to have passed, but for those of these names.
func wantSpec(t *testing.T, what string, out []byte, tests int, but ...string) {
	t.Helper()
	want := fmt.Sprintf("%d tests, %d passed, 0 skipped, %d failed", tests, tests-len(but), len(but))
	_, failures, _ := strings.Cut(string(out), "Failures:")
	if !strings.Contains(string(out), want) {
		t.Errorf("%s: want %s:\n%s", what, want, failures)
	}
	for _, name := range but {
		if !strings.Contains(failures, name) {
			t.Errorf("%s: %s was to fail, as docs/http2.md explains:\n%s", what, name, failures)
		}
	}
}

// TestH2spec has h2spec try all that HTTP/2 says of servers, and h2specd what it says of clients. docs/http2.md explains what does not pass.
func TestH2spec(t *testing.T) {
	h2spec, h2specd := spec(t, "h2spec"), spec(t, "h2specd")
	addr := server(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, strings.Repeat("hello ", 100))
	})
	for _, driver := range testkit.Drivers(t) {
		t.Run(driver, func(t *testing.T) {
			p := run(t, fmt.Sprintf(silent+`driver: %s
listeners:
  - { address: 127.0.0.1:0, pool: app }
  - { address: 127.0.0.1:0, pool: app, tls: { self_signed: true } }
pools: { app: { servers: [%s] } }
`, driver, addr))
			for i, addr := range p.listeners(t, 2) {
				host, port, _ := strings.Cut(addr, ":")
				args := []string{"-S", "-h", host, "-p", port}
				if i == 1 {
					out, _ := exec.Command(h2spec, append(args, "-t", "-k")...).CombinedOutput()
					wantSpec(t, "over TLS", out, 146)
				} else {
					out, _ := exec.Command(h2spec, args...).CombinedOutput()
					wantSpec(t, "in clear text", out, 146, "Sends invalid connection preface")
				}
			}
		})
	}
	t.Run("client", func(t *testing.T) { testSpecd(t, testkit.Drivers(t)[0], h2specd) })
}

// specPorts are where h2specd listens, one for each case: below those that the system gives out.
const specPorts, specCases = 12000, 100

// testSpecd has Poise as the client. h2specd starts a program for each case, which asks Poise, which asks h2specd.
func testSpecd(t *testing.T, driver, h2specd string) {
	var routes, pools strings.Builder
	for port := specPorts; port < specPorts+specCases; port++ {
		fmt.Fprintf(&routes, "      - { match: { host: p%d.test }, pool: p%d }\n", port, port)
		fmt.Fprintf(&pools, "  p%d: { servers: [127.0.0.1:%d], http_version: 2, retry: { attempts: 1 } }\n", port, port)
	}
	p := run(t, fmt.Sprintf(silent+"driver: %s\nlisteners:\n  - address: 127.0.0.1:0\n    routes:\n%spools:\n%s", driver, &routes, &pools))
	script := filepath.Join(t.TempDir(), "ask")
	text := fmt.Sprintf("#!/bin/sh\nport=${1##*:}\nexec curl -s -m 5 -o /dev/null -H \"Host: p${port%%%%/*}.test\" http://%s/\n", p.Addr)
	if err := os.WriteFile(script, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	out, _ := exec.Command(h2specd, "-S", "-f", fmt.Sprint(specPorts), "-e", script).CombinedOutput()
	out = regexp.MustCompile(`(?m)^accept tcp.*\n`).ReplaceAll(out, nil)
	wantSpec(t, "as a client", out, 57, "closed: Sends a DATA frame")
}
