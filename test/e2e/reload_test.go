package e2e

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"poise/internal/testkit"
)

// TestReload changes the file of a running program: a good one takes effect, with a bad one all stays and the log shows the mistake, and the next good one
// takes effect again.
func TestReload(t *testing.T) {
	a := server(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "a") })
	b := server(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "b") })
	file := filepath.Join(t.TempDir(), "poise.yaml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(quiet+text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("servers: [" + a + "]\n")
	p := start(t, "run", "-c", file)
	reload := func(text string, logged ...string) {
		t.Helper()
		before := len(p.out.String())
		write(text)
		p.signal(t, syscall.SIGHUP)
		testkit.Eventually(t, "word of the reload", func() bool {
			for _, want := range logged {
				if !strings.Contains(p.out.String()[before:], want) {
					return false
				}
			}
			return true
		})
	}
	answers := func(want string) {
		t.Helper()
		resp, err := http.Get("http://" + p.Addr + "/")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if got, err := io.ReadAll(resp.Body); string(got) != want || err != nil {
			t.Errorf("GET / = %q, %v; want %q", got, err, want)
		}
	}
	answers("a")
	reload("servers: ["+b+"]\n", "the configuration was reloaded", "+default/"+b, "-default/"+a)
	answers("b")
	reload("servres: ["+a+"]\n", file+":4:1: ", "servers", "not reloaded")
	answers("b")
	reload("loops: 7\nservers: ["+a+"]\n", file+":4:8: warning: loops was changed: it takes effect at the next start", "the configuration was reloaded")
	answers("a")
	p.signal(t, syscall.SIGTERM)
	if code := p.exit(t); code != 0 {
		t.Errorf("exit code %d, want 0\n%s", code, p.out.String())
	}
}

func TestReloadWithoutAFile(t *testing.T) {
	a := server(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "a") })
	p := start(t, "proxy", "--listen", "127.0.0.1:0", "--to", a, "--admin", "off")
	p.signal(t, syscall.SIGHUP)
	testkit.Eventually(t, "word that there is no file", func() bool { return strings.Contains(p.out.String(), "there is no file to read again") })
}
