package load

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"poise/internal/app"
	"poise/internal/testkit"
)

// binaryVar names the environment variable with the path of a built Poise; without it one is built.
const binaryVar = "POISE_TEST_BINARY"

// builtBinary is Poise as it is shipped. Short runs are without it: the race detector, which they are for, does not see into it.
func builtBinary(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("looks at a binary of its own")
	}
	if path := os.Getenv(binaryVar); path != "" {
		return path
	}
	path := filepath.Join(t.TempDir(), "poise")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, "poise/cmd/poise")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build Poise: %v\n%s", err, out)
	}
	return path
}

// built is Poise in a process of its own.
type built struct {
	*adminClient
	addr, accessLog string
	log             testkit.Buffer
	cmd             *exec.Cmd
	done            chan struct{}
}

// startBinary runs Poise with a configuration, to which the admin address and the log are added, and waits until it is ready.
func startBinary(t *testing.T, path, yaml string) *built {
	t.Helper()
	dir := t.TempDir()
	socket, file := filepath.Join(dir, "admin"), filepath.Join(dir, "poise.yaml")
	b := &built{accessLog: filepath.Join(dir, "access.log"), done: make(chan struct{})}
	yaml += fmt.Sprintf("admin: { address: \"unix:%s\" }\naccess_log: { path: %q }\n", socket, b.accessLog)
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	b.cmd = exec.Command(path, "run", "-c", file)
	b.cmd.Stderr = &b.log
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = b.cmd.Wait(); close(b.done) }()
	t.Cleanup(func() {
		_ = b.cmd.Process.Kill()
		<-b.done
	})
	b.adminClient = newAdminClient(t, socket)
	testkit.Eventually(t, "Poise that is ready", func() bool {
		select {
		case <-b.done:
			t.Fatalf("poise has ended:\n%s", b.log.String())
		default:
		}
		resp, err := b.http.Get("http://localhost/readyz")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	b.addr = b.status(t).Listeners[0].Addresses[0]
	return b
}

// stop has Poise drain, write its log and end.
func (b *built) stop(t *testing.T) {
	t.Helper()
	if err := b.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-b.done:
	case <-time.After(2 * testkit.Patience):
		t.Fatalf("poise does not end:\n%s", b.log.String())
	}
	if code := b.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("poise ended with %d:\n%s", code, b.log.String())
	}
}

// status is what Poise tells of itself.
func (a *adminClient) status(t testing.TB) (s app.Status) {
	t.Helper()
	resp, err := a.http.Get("http://localhost/v1/status")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&s); err != nil {
		t.Fatal(err)
	}
	return s
}

// server is what Poise tells of the first pool's server at an address.
func (a *adminClient) server(t testing.TB, addr string) app.ServerStatus {
	t.Helper()
	for _, s := range a.status(t).Pools[0].Servers {
		if s.Address == addr {
			return s
		}
	}
	t.Fatalf("Poise knows no server %s", addr)
	return app.ServerStatus{}
}
