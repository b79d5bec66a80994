// Package e2e runs the real binary, as a user would: commands, signals, files, other people's clients and servers.
package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"poise/internal/testkit"
)

var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "poise-e2e")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "poise")
	build := exec.Command("go", "build", "-o", binary, "poise/cmd/poise")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// poise is a running binary.
type poise struct {
	cmd  *exec.Cmd
	out  testkit.Buffer // standard error
	done chan struct{}
	Addr string
}

// run starts `poise run` with a configuration, and waits until it listens.
func run(t *testing.T, yaml string) *poise {
	t.Helper()
	file := filepath.Join(t.TempDir(), "poise.yaml")
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	return start(t, "run", "-c", file)
}

func start(t *testing.T, args ...string) *poise {
	t.Helper()
	p := &poise{cmd: exec.Command(binary, args...), done: make(chan struct{})}
	p.cmd.Stderr = &p.out
	p.cmd.Stdout = io.Discard
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = p.cmd.Wait(); close(p.done) }()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.done
	})
	testkit.Eventually(t, "line that names the listener", func() bool {
		select {
		case <-p.done:
			t.Fatalf("poise has ended:\n%s", p.out.String())
		default:
		}
		if all := p.listening(); len(all) > 0 {
			p.Addr = all[0]
		}
		return p.Addr != ""
	})
	return p
}

// listeners waits until it has said of so many addresses that it listens there.
func (p *poise) listeners(t *testing.T, n int) (all []string) {
	t.Helper()
	testkit.Eventually(t, fmt.Sprintf("%d listeners", n), func() bool {
		all = p.listening()
		return len(all) >= n
	})
	return all
}

func (p *poise) listening() (all []string) {
	for s := bufio.NewScanner(strings.NewReader(p.out.String())); s.Scan(); {
		if f := strings.Fields(s.Text()); len(f) >= 2 && f[0] == "listener" {
			all = append(all, strings.TrimPrefix(strings.TrimSuffix(f[1], ","), "https://"))
		}
	}
	return all
}

// exit waits for the end and returns the exit code.
func (p *poise) exit(t *testing.T) int {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(3 * testkit.Patience):
		t.Fatalf("poise does not end:\n%s", p.out.String())
	}
	return p.cmd.ProcessState.ExitCode()
}

func (p *poise) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

func server(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

const quiet = "listen: 127.0.0.1:0\nadmin: { enabled: false }\naccess_log: { enabled: false }\n"

// TestDrainLosesNothing stops the program under load, with a connection per request and with kept ones: whoever was accepted is answered.
func TestDrainLosesNothing(t *testing.T) {
	for _, driver := range testkit.Drivers(t) {
		t.Run(driver, func(t *testing.T) {
			addr := server(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })
			p := run(t, quiet+"driver: "+driver+"\nloops: 2\nservers: ["+addr+"]\n")
			var answered, failed atomic.Int64
			var first atomic.Value
			stop := make(chan struct{})
			var wg sync.WaitGroup
			for i := range 16 {
				wg.Go(func() {
					client := &http.Client{Transport: &http.Transport{DisableKeepAlives: i%2 == 0}, Timeout: testkit.Patience}
					for {
						select {
						case <-stop:
							return
						default:
						}
						resp, err := client.Get("http://" + p.Addr + "/")
						if err != nil {
							if strings.Contains(err.Error(), "refused") { // after the drain: nobody listens
								return
							}
							failed.Add(1)
							first.CompareAndSwap(nil, err.Error())
							return
						}
						b, err := io.ReadAll(resp.Body)
						_ = resp.Body.Close()
						if err != nil || string(b) != "ok" {
							failed.Add(1)
							first.CompareAndSwap(nil, fmt.Sprintf("%d %q %v", resp.StatusCode, b, err))
						}
						answered.Add(1)
					}
				})
			}
			testkit.Eventually(t, "500 answers", func() bool { return answered.Load() > 500 })
			p.signal(t, syscall.SIGTERM)
			code := p.exit(t)
			close(stop)
			wg.Wait()
			if failed.Load() != 0 || code != 0 {
				t.Errorf("%d of %d requests failed (%v), exit code %d; want none and 0\n%s", failed.Load(), answered.Load(), first.Load(), code, p.out.String())
			}
		})
	}
}

// TestDrainTakesWhatIsQueued fills the queue of a stopped process: the connections in it are answered although the signal comes first.
func TestDrainTakesWhatIsQueued(t *testing.T) {
	addr := server(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })
	p := run(t, quiet+"loops: 2\nservers: ["+addr+"]\n")
	p.signal(t, syscall.SIGSTOP)
	var conns []net.Conn
	for range 40 {
		c, err := net.Dial("tcp", p.Addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		conns = append(conns, c)
	}
	p.signal(t, syscall.SIGTERM)
	p.signal(t, syscall.SIGCONT)
	for i, c := range conns {
		_ = c.SetDeadline(time.Now().Add(testkit.Patience))
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatalf("connection %d of the queue: %v", i, err)
		}
		if b, err := io.ReadAll(resp.Body); string(b) != "ok" || err != nil {
			t.Errorf("connection %d: %q, %v; want ok", i, b, err)
		}
	}
	if code := p.exit(t); code != 0 {
		t.Errorf("exit code %d, want 0\n%s", code, p.out.String())
	}
}

func TestDrainClosesIdleConnections(t *testing.T) {
	addr := server(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })
	p := run(t, quiet+"servers: ["+addr+"]\n")
	idle, late := testkit.Dial(t, p.Addr), testkit.Dial(t, p.Addr)
	idle.Get("/")
	late.Get("/")
	p.signal(t, syscall.SIGTERM)
	testkit.Eventually(t, "word of the drain", func() bool { return strings.Contains(p.out.String(), "draining") })
	if r := late.Get("/"); r.StatusCode != 200 || !r.Close {
		t.Errorf("a request within the second = %d, close %v; want 200 and Connection: close", r.StatusCode, r.Close)
	}
	for name, c := range map[string]*testkit.Client{"idle": idle, "late": late} {
		if rest, clean := c.Closed(); rest != "" || !clean {
			t.Errorf("the %s connection ended with %q, clean %v; want a FIN alone", name, rest, clean)
		}
	}
	if code := p.exit(t); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}

func TestDrainDeadlineCutsAndExits3(t *testing.T) {
	hang := make(chan struct{})
	addr := server(t, func(http.ResponseWriter, *http.Request) { <-hang })
	defer close(hang)
	p := run(t, quiet+"timeouts: { drain: 300ms }\nservers: ["+addr+"]\n")
	c := testkit.Dial(t, p.Addr)
	c.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	p.signal(t, syscall.SIGINT)
	if code := p.exit(t); code != 3 {
		t.Errorf("exit code %d, want 3\n%s", code, p.out.String())
	}
}

func TestSecondSignalStopsAtOnce(t *testing.T) {
	hang := make(chan struct{})
	addr := server(t, func(http.ResponseWriter, *http.Request) { <-hang })
	defer close(hang)
	p := run(t, quiet+"servers: ["+addr+"]\n")
	c := testkit.Dial(t, p.Addr)
	c.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	p.signal(t, syscall.SIGTERM)
	testkit.Eventually(t, "word of the drain", func() bool { return strings.Contains(p.out.String(), "draining") })
	p.signal(t, syscall.SIGTERM)
	if code := p.exit(t); code != 2 {
		t.Errorf("exit code %d, want 2\n%s", code, p.out.String())
	}
}

func TestPortInUse(t *testing.T) {
	addr := server(t, func(http.ResponseWriter, *http.Request) {})
	p := run(t, quiet+"servers: ["+addr+"]\n")
	for _, taken := range []string{addr, p.Addr} { // another program's, and another Poise's: its sockets could be shared
		out, err := exec.Command(binary, "proxy", "--listen", taken, "--to", "127.0.0.1:1").CombinedOutput()
		if err == nil || !bytes.Contains(out, []byte(taken+": the address is in use")) {
			t.Errorf("proxy --listen %s = %v, %q; want exit 1 and the address named", taken, err, out)
		}
	}
}

// TestRealPeers sends other people's clients to other people's servers.
func TestRealPeers(t *testing.T) {
	dir := t.TempDir()
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	if err := os.WriteFile(filepath.Join(dir, "big"), big, 0o644); err != nil {
		t.Fatal(err)
	}
	nginx := startNginx(t, dir)
	for _, driver := range testkit.Drivers(t) {
		t.Run(driver, func(t *testing.T) {
			p := run(t, quiet+"driver: "+driver+"\nservers: ["+nginx+"]\n")
			out, err := exec.Command("curl", "-sS", "--fail", "http://"+p.Addr+"/big", "--next", "-sS", "--http1.0", "http://"+p.Addr+"/big").Output()
			if err != nil || !bytes.Equal(out, append(append([]byte(nil), big...), big...)) {
				t.Errorf("curl of twice 1 MiB: %v, %d bytes", err, len(out))
			}
			up := filepath.Join(dir, "big")
			code, err := exec.Command("curl", "-sS", "-o", os.DevNull, "-w", "%{http_code}", "-T", up, "-H", "Transfer-Encoding: chunked", "http://"+p.Addr+"/upload/"+driver).Output()
			if err != nil || (string(code) != "201" && string(code) != "204") {
				t.Errorf("curl -T = %s, %v; want 201", code, err)
			}
			if got, err := os.ReadFile(filepath.Join(dir, "upload", driver)); err != nil || !bytes.Equal(got, big) {
				t.Errorf("nginx stored %d bytes, %v; want %d", len(got), err, len(big))
			}
			out, err = exec.Command("h2load", "--h1", "-n", "400", "-c", "20", "http://"+p.Addr+"/big").CombinedOutput()
			if err != nil || !bytes.Contains(out, []byte("400 succeeded, 0 failed")) {
				t.Errorf("h2load: %v\n%s", err, out)
			}
		})
	}
}

func startNginx(t *testing.T, root string) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	_ = ln.Close()
	for _, d := range []string{"upload", "tmp"} {
		if err := os.Mkdir(filepath.Join(root, d), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	conf := filepath.Join(root, "nginx.conf")
	text := fmt.Sprintf(`worker_processes 1; pid %[1]s/pid; error_log %[1]s/error.log; daemon off; user root;
events { worker_connections 512; }
http { access_log off; client_body_temp_path %[1]s/tmp; client_max_body_size 10m;
 server { listen %[2]s; root %[1]s; location /upload/ { dav_methods PUT; } } }
`, root, addr)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(root, 0o777); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("nginx", "-c", conf)
	if err := cmd.Start(); err != nil {
		t.Fatalf("start nginx (Debian package nginx): %v", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	testkit.Eventually(t, "nginx", func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	return addr
}
