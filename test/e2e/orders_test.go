package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"poise/internal/testkit"
)

// command runs a command of the binary to its end.
func command(t *testing.T, args ...string) (out string, code int) {
	t.Helper()
	cmd := exec.Command(binary, args...)
	var b bytes.Buffer
	cmd.Stdout, cmd.Stderr = &b, &b
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return b.String(), cmd.ProcessState.ExitCode()
}

// TestOrders gives orders over a Unix socket and over loopback with the token's file, and sees that requests follow at once.
func TestOrders(t *testing.T) {
	for _, over := range []string{"unix", "tcp", "tcp, default file"} {
		t.Run(over, func(t *testing.T) {
			a := server(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "a") })
			b := server(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "b") })
			dir := t.TempDir()
			t.Setenv("XDG_RUNTIME_DIR", dir) // for all but root
			admin, token := "unix:"+filepath.Join(dir, "admin.sock"), filepath.Join(dir, "own", "token")
			settings := fmt.Sprintf("admin: { address: %q }\n", admin)
			switch over {
			case "tcp, default file":
				admin = testkit.Unusable(t) // free, until Poise takes it
				settings = fmt.Sprintf("admin: { address: %q }\n", admin)
			case "tcp":
				admin = testkit.Unusable(t)
				settings = fmt.Sprintf("admin: { address: %q, token_file: %q }\n", admin, token)
			}
			file := filepath.Join(dir, "poise.yaml")
			text := "listen: 127.0.0.1:0\npolicy: round_robin\naccess_log: { enabled: false }\n" + settings + "servers: [" + a + ", " + b + "]\n"
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			p := start(t, "run", "-c", file)
			order := func(want string, code int, args ...string) {
				t.Helper()
				args = append(args, "--admin", admin)
				if over == "tcp" && args[0] != "status" {
					args = append(args, "--token-file", token)
				}
				if out, got := command(t, args...); got != code || !strings.Contains(out, want) {
					t.Errorf("poise %s = %d, %q; want %d, and %q", strings.Join(args, " "), got, out, code, want)
				}
			}
			answers := func(want map[string]int) {
				t.Helper()
				got := map[string]int{}
				for range 12 {
					resp, err := http.Get("http://" + p.Addr + "/")
					if err != nil {
						t.Fatal(err)
					}
					body, _ := io.ReadAll(resp.Body)
					_ = resp.Body.Close()
					got[string(body)]++
				}
				for _, name := range []string{"a", "b"} {
					if (got[name] > 0) != (want[name] > 0) {
						t.Errorf("answers are from %v, want them from %v", got, want)
					}
				}
			}
			answers(map[string]int{"a": 1, "b": 1})
			order("default/"+a+" is draining, then maint in 1h0m0s", 0, "drain", "default/"+a, "--for", "1h")
			answers(map[string]int{"b": 1})
			order("draining", 0, "status")
			order("is draining, then maint in 1s", 0, "drain", "default/"+a, "--for", "1s")
			order("reloaded", 0, "reload") // its time goes on over it
			testkit.Eventually(t, "end of the time to drain", func() bool {
				out, _ := command(t, "status", "--admin", admin)
				return strings.Contains(out, "maint")
			})
			order("is ready", 0, "ready", "default/"+a)
			answers(map[string]int{"a": 1, "b": 1})
			order("is maint", 0, "maint", "default/"+b)
			order("reloaded", 0, "reload") // orders last over it
			answers(map[string]int{"a": 1})
			order("is ready", 0, "ready", "default/"+b)
			order("has the weight 0", 0, "weight", "default/"+a, "0")
			answers(map[string]int{"b": 1})
			order(`there is no pool "other"; there are: default`, 1, "maint", "other/"+a)
			order(`pool default has no server "x"; it has: `+a+" "+b, 1, "maint", "default/x")
			order("is not POOL/SERVER", 2, "maint", "x")
			if err := os.WriteFile(file, []byte(text+"nonsense: 1\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			order(file+":6:1: ", 1, "reload")
			answers(map[string]int{"b": 1})
			if over == "tcp" {
				if out, code := command(t, "reload", "--admin", admin, "--token-file", token+"2"); code != 1 || !strings.Contains(out, "no such file") {
					t.Errorf("reload without the token's file = %d, %q; want 1", code, out)
				}
			}
			p.signal(t, syscall.SIGTERM)
			if code := p.exit(t); code != 0 {
				t.Errorf("exit code %d, want 0\n%s", code, p.out.String())
			}
			if _, err := os.Stat(token); err == nil {
				t.Error("the token's file is still there after the end")
			}
		})
	}
}
