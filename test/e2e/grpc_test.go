package e2e

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
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

// grpcClient is gRPC's own client.
func grpcClient(t *testing.T, ca string, args ...string) *exec.Cmd {
	t.Helper()
	path, err := peers()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), "CA="+ca)
	return cmd
}

// grpcPeer runs gRPC's own client, and returns what it says.
func grpcPeer(t *testing.T, ca string, args ...string) string {
	t.Helper()
	out, err := grpcClient(t, ca, args...).CombinedOutput()
	if err != nil {
		t.Errorf("grpc %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// grpcServer runs gRPC's own server; a certificate has it speak TLS.
func grpcServer(t *testing.T, name string, cert *testkit.Certificate) *program {
	t.Helper()
	path, err := peers()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "serve", name)
	if cert != nil {
		cmd.Env = append(os.Environ(), "CERT="+cert.CertFile, "KEY="+cert.KeyFile)
	}
	return startProgram(t, cmd)
}

// startPeer runs a server that prints its address first, and ends with its standard input.
func startPeer(t *testing.T, cmd *exec.Cmd) (addr string) {
	t.Helper()
	return startProgram(t, cmd).first
}

// program is one that says something in its first line, and that can be told something.
type program struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines *bufio.Scanner
	first string
}

// startProgram runs one that ends with its standard input.
func startProgram(t *testing.T, cmd *exec.Cmd) *program {
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
	p := &program{cmd: cmd, in: in, lines: bufio.NewScanner(out)}
	p.first = p.line(t)
	return p
}

// line is the next one that it prints.
func (p *program) line(t *testing.T) string {
	t.Helper()
	if !p.lines.Scan() {
		t.Fatalf("%v has ended: %v", p.cmd, p.lines.Err())
	}
	return p.lines.Text()
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
	ofGo, ofNode := grpcServer(t, "go", nil).first, startPeer(t, exec.Command("node", script, "serve"))
	for _, driver := range testkit.Drivers(t) {
		t.Run(driver, func(t *testing.T) {
			p := run(t, fmt.Sprintf(silent+`driver: %s
listeners: [{ address: 127.0.0.1:0, pool: go }, { address: 127.0.0.1:0, pool: node }]
pools: { go: { servers: [%s], http_version: 2 }, node: { servers: [%s], http_version: 2 } }
`, driver, ofGo, ofNode))
			const want = "empty\nunary 100000\nupload 500000\ndownload 1,100000,2\nboth 1,100000,2\nstatus 12\n"
			for _, addr := range p.listeners(t, 2) {
				if out, err := exec.Command("node", script, "call", addr).CombinedOutput(); err != nil || string(out) != want {
					t.Errorf("%v:\n%s", err, out)
				}
			}
			grpcPeer(t, "", "call", p.listeners(t, 2)[1], "empty_unary", "large_unary", "client_streaming", "server_streaming", "ping_pong", "empty_stream",
				"cancel_after_begin", "cancel_after_first_response", "timeout_on_sleeping_server", "unimplemented_method", "unimplemented_service")
		})
	}
}

// spread makes n calls over one connection, and tells how many of them each server has had.
func spread(t *testing.T, ca, addr string, n int) map[string]int {
	t.Helper()
	counts := map[string]int{}
	for line := range strings.Lines(grpcPeer(t, ca, "spread", addr, fmt.Sprint(n))) {
		var name string
		var count int
		_, _ = fmt.Sscan(line, &name, &count)
		counts[name] = count
	}
	return counts
}

// caseName is a line that names a case which has begun.
var caseName = regexp.MustCompile(`(?m)^[a-z_]+$`)

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
			behind[overTLS] = append(behind[overTLS], grpcServer(t, fmt.Sprintf("server%d", i), c).first)
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
  clear: { servers: [%[3]s], http_version: 2, policy: round_robin, health: { grpc: {}, interval: 200ms } }
  tls:
    servers: [%[4]s]
    http_version: auto
    health: { grpc: { tls: { server_name: poise.test, ca: %[5]q } }, interval: 200ms }
    server_tls: { server_name: poise.test, ca: %[5]q }
`, driver, fmt.Sprintf("{ cert: %s, key: %s }", cert.CertFile, cert.KeyFile), strings.Join(behind[false], ", "), strings.Join(behind[true], ", "), cert.CertFile))
			for i, addr := range p.listeners(t, 4) {
				ca := ""
				if i%2 == 1 {
					ca = cert.CertFile
				}
				t.Run([]string{"clear-clear", "tls-clear", "clear-tls", "tls-tls"}[i], func(t *testing.T) {
					if out := grpcPeer(t, ca, "call", addr, "all"); len(caseName.FindAllString(out, -1)) != 17 {
						t.Errorf("of the cases only these were done:\n%s", out)
					}
					counts := spread(t, ca, addr, 100)
					for s := range 4 { // which least_requests gives one of by chance, while no other call is under way
						if n := counts[fmt.Sprintf("server%d", s)]; (i < 2 && n != 25) || n < 5 {
							t.Errorf("server %d has %d of 100 calls: %v", s, n, counts)
						}
					}
				})
			}
			t.Log(grpcPeer(t, cert.CertFile, "soak", p.listeners(t, 4)[3], soak))
		})
	}
}
