package admin

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func mustListen(t *testing.T, address string) net.Listener {
	t.Helper()
	l, err := Listen(address)
	if err != nil {
		t.Fatalf("Listen(%q): %v", address, err)
	}
	t.Cleanup(func() { _ = l.Close() }) // most are closed before
	return l
}

// get asks for /livez on a connection of its own.
func get(t *testing.T, network, address string) string {
	t.Helper()
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}}
	defer tr.CloseIdleConnections()
	resp, err := (&http.Client{Transport: tr}).Get("http://localhost/livez")
	if err != nil {
		t.Fatalf("GET /livez: %v", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("GET /livez: %v", err)
	}
	return string(body)
}

func TestServeTCP(t *testing.T) {
	l := mustListen(t, "127.0.0.1:0")
	s := Serve(l, New(source()), slog.New(slog.DiscardHandler))
	if got, want := get(t, "tcp", l.Addr().String()), "ok\n"; got != want {
		t.Errorf("GET /livez = %q, want %q", got, want)
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close() = %v, want nil", err)
	}
	if _, err := net.Dial("tcp", l.Addr().String()); err == nil {
		t.Error("the address answers after Close")
	}
}

func TestServeUnix(t *testing.T) {
	path := filepath.Join(t.TempDir(), "poise.sock")
	l := mustListen(t, "unix:"+path)
	if got := l.Addr().String(); got != path {
		t.Errorf("Addr() = %q, want %q", got, path)
	}
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o600 {
		t.Errorf("the socket's rights = %o, want 600", got)
	}
	s := Serve(l, New(source()), slog.New(slog.DiscardHandler))
	if got, want := get(t, "unix", path), "ok\n"; got != want {
		t.Errorf("GET /livez = %q, want %q", got, want)
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close() = %v, want nil", err)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 0 {
		t.Errorf("after Close there are %v (%v), want nothing", entries, err)
	}
}

// TestCloseCutsWhatHangs has an answer that only ends once its request is cancelled.
func TestCloseCutsWhatHangs(t *testing.T) {
	started := make(chan struct{})
	l := mustListen(t, "127.0.0.1:0")
	s := Serve(l, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(started)
		<-r.Context().Done()
	}), slog.New(slog.DiscardHandler))
	asked := make(chan error, 1)
	go func() {
		resp, err := http.Get("http://" + l.Addr().String())
		if err == nil {
			_ = resp.Body.Close() // nothing was read
		}
		asked <- err
	}()
	<-started
	if err := s.Close(); err != nil {
		t.Errorf("Close() = %v, want nil", err)
	}
	if err := <-asked; err == nil {
		t.Error("the hanging request got an answer, want it cut")
	}
}

func TestListenUnixReplacesStale(t *testing.T) {
	path := filepath.Join(t.TempDir(), "poise.sock")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	if err := stale.Close(); err != nil {
		t.Fatal(err)
	}
	l := mustListen(t, "unix:"+path)
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatalf("dial the new socket: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if err := l.Close(); err != nil {
		t.Errorf("Close() = %v, want nil", err)
	}
}

func TestListenUnixKeepsSuccessor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "poise.sock")
	old := mustListen(t, "unix:"+path)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	mustListen(t, "unix:"+path)
	if err := old.Close(); err != nil {
		t.Errorf("Close() = %v, want nil", err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the successor's socket is gone: %v", err)
	}
}

func TestListenErrors(t *testing.T) {
	dir := t.TempDir()
	live := mustListen(t, "unix:"+filepath.Join(dir, "live.sock"))
	taken := mustListen(t, "127.0.0.1:0")
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, address, want string }{
		{"a live socket", "unix:" + live.Addr().String(), "is Poise running already"},
		{"a file", "unix:" + file, "something that is not a socket"},
		{"no directory", "unix:" + filepath.Join(dir, "none", "poise.sock"), "no such file"},
		{"too long", "unix:" + filepath.Join(dir, strings.Repeat("x", 200)), "bytes too long"},
		{"a taken port", taken.Addr().String(), "in use by another process"},
		{"no port", "127.0.0.1", "missing port"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, err := Listen(tt.address)
			if err == nil {
				_ = l.Close() // the failure is told below
				t.Fatalf("Listen(%q) = nil error, want %q", tt.address, tt.want)
			}
			if !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "listen on the admin ") {
				t.Errorf("Listen(%q) = %q, want %q", tt.address, err, tt.want)
			}
		})
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "precious" {
		t.Errorf("the file is %q (%v), want it as it was", b, err)
	}
}
