package e2e

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"poise/internal/testkit"
)

// soakVariable names the environment variable that says for how long calls of all kinds are made over each driver.
const soakVariable = "POISE_TEST_SOAK"

// peers builds a program of the module of other people's code, once for all tests.
var peers = sync.OnceValues(func() (string, error) {
	path := filepath.Join(filepath.Dir(binary), "grpc")
	if out, err := exec.Command("go", "build", "-C", "../peers", "-o", path, "./grpc").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return path, nil
})

// grpcPeer runs gRPC's own client, and returns what it says.
func grpcPeer(t *testing.T, ca string, args ...string) string {
	t.Helper()
	path, err := peers()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), "CA="+ca)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("grpc %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// grpcServer runs gRPC's own server; a certificate has it speak TLS.
func grpcServer(t *testing.T, name string, cert *testkit.Certificate) (addr string) {
	t.Helper()
	path, err := peers()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "serve", name)
	if cert != nil {
		cmd.Env = append(os.Environ(), "CERT="+cert.CertFile, "KEY="+cert.KeyFile)
	}
	return startPeer(t, cmd)
}

// startPeer runs a server that prints its address first, and ends with its standard input.
func startPeer(t *testing.T, cmd *exec.Cmd) (addr string) {
	t.Helper()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	line := bufio.NewScanner(out)
	if !line.Scan() {
		t.Fatalf("%v has not started: %v", cmd, line.Err())
	}
	return line.Text()
}

// TestGRPCJavaScript has gRPC's JavaScript implementation as the client of its Go servers, and the other way round.
func TestGRPCJavaScript(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../peers/node")); err != nil {
		t.Fatal(err)
	}
	install := exec.Command("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("npm: %v\n%s", err, out)
	}
	script := filepath.Join(dir, "grpc.js")
	ofGo, ofNode := grpcServer(t, "go", nil), startPeer(t, exec.Command("node", script, "serve"))
	for _, driver := range testkit.Drivers(t) {
		t.Run(driver, func(t *testing.T) {
			p := run(t, fmt.Sprintf(silent+`driver: %s
listeners: [{ address: 127.0.0.1:0, pool: go }, { address: 127.0.0.1:0, pool: node }]
pools: { go: { servers: [%s], http_version: 2 }, node: { servers: [%s], http_version: 2 } }
`, driver, ofGo, ofNode))
			const want = "empty\nunary 100000\nupload 500000\ndownload 1,100000,2\nboth 1,100000,2\nstatus 12\n"
			for _, addr := range p.listeners() {
				if out, err := exec.Command("node", script, "call", addr).CombinedOutput(); err != nil || string(out) != want {
					t.Errorf("%v:\n%s", err, out)
				}
			}
			grpcPeer(t, "", "call", p.listeners()[1], "empty_unary", "large_unary", "client_streaming", "server_streaming", "ping_pong", "empty_stream",
				"cancel_after_begin", "cancel_after_first_response", "timeout_on_sleeping_server", "unimplemented_method", "unimplemented_service")
		})
	}
}

// TestGRPC has gRPC's own clients do its cases of interoperability with its own servers behind Poise, in clear text and over TLS on either side. Calls
// of one connection spread over all servers.
func TestGRPC(t *testing.T) {
	cert := testkit.NewCertificate(t, "poise.test")
	soak := os.Getenv(soakVariable)
	if soak == "" {
		soak = "1s"
	}
	behind := map[bool][]string{}
	for _, overTLS := range []bool{false, true} {
		for i := range 4 {
			c := cert
			if !overTLS {
				c = nil
			}
			behind[overTLS] = append(behind[overTLS], grpcServer(t, fmt.Sprintf("server%d", i), c))
		}
	}
	for _, driver := range testkit.Drivers(t) {
		t.Run(driver, func(t *testing.T) {
			p := run(t, fmt.Sprintf(silent+`driver: %s
listeners:
  - { address: 127.0.0.1:0, pool: clear }
  - { address: 127.0.0.1:0, pool: clear, tls: { certificates: [%[2]s] } }
  - { address: 127.0.0.1:0, pool: tls }
  - { address: 127.0.0.1:0, pool: tls, tls: { certificates: [%[2]s] } }
pools:
  clear: { servers: [%[3]s], http_version: 2, health: { grpc: {}, interval: 200ms } }
  tls:
    servers: [%[4]s]
    http_version: auto
    health: { grpc: { tls: { server_name: poise.test, ca: %[5]q } }, interval: 200ms }
    server_tls: { server_name: poise.test, ca: %[5]q }
`, driver, fmt.Sprintf("{ cert: %s, key: %s }", cert.CertFile, cert.KeyFile), strings.Join(behind[false], ", "), strings.Join(behind[true], ", "), cert.CertFile))
			for i, addr := range p.listeners() {
				ca := ""
				if i%2 == 1 {
					ca = cert.CertFile
				}
				t.Run([]string{"clear-clear", "tls-clear", "clear-tls", "tls-tls"}[i], func(t *testing.T) {
					if out := grpcPeer(t, ca, "call", addr, "all"); strings.Count(out, "\n") < 14 {
						t.Errorf("of the cases only these were done:\n%s", out)
					}
					out := grpcPeer(t, ca, "spread", addr, "100")
					for s := range 4 {
						if !strings.Contains(out, fmt.Sprintf("server%d ", s)) {
							t.Errorf("server %d has none of 100 calls: %s", s, out)
						}
					}
				})
			}
			t.Log(grpcPeer(t, cert.CertFile, "soak", p.listeners()[3], soak))
		})
	}
}
