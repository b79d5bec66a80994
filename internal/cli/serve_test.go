package cli

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"poise/internal/config"
)

// running is a call of poise that goes on until a signal comes.
type running struct {
	t       *testing.T
	signals chan os.Signal
	lines   chan string // what it prints to Err
	code    chan int
}

func launch(t *testing.T, args ...string) *running {
	t.Helper()
	r := &running{t: t, signals: make(chan os.Signal), lines: make(chan string, 1000), code: make(chan int, 1)}
	read, write := io.Pipe()
	go func() {
		defer close(r.lines)
		for s := bufio.NewScanner(read); s.Scan(); {
			r.lines <- s.Text()
		}
	}()
	p := &program{
		out: io.Discard, err: write,
		env:    func(string) (string, bool) { return "", false },
		notify: func() (<-chan os.Signal, func()) { return r.signals, func() {} },
	}
	go func() {
		code := p.main(args)
		_ = write.Close() // never fails
		r.code <- code
	}()
	return r
}

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

// line waits for a line that begins with prefix, and returns the rest of it.
func (r *running) line(prefix string) string {
	r.t.Helper()
	timeout := time.After(patience)
	var before []string
	for {
		select {
		case line, ok := <-r.lines:
			if !ok {
				r.t.Fatalf("it ended without a line %q, after %q", prefix, before)
			}
			if rest, ok := strings.CutPrefix(line, prefix); ok {
				return strings.TrimSpace(rest)
			}
			before = append(before, line)
		case <-timeout:
			r.t.Fatalf("no line %q after %q", prefix, before)
		}
	}
}

// ends waits for the exit code.
func (r *running) ends(want int) {
	r.t.Helper()
	select {
	case got := <-r.code:
		if got != want {
			r.t.Errorf("exit code = %d, want %d", got, want)
		}
	case <-time.After(patience):
		r.t.Fatal("it does not end")
	}
}

// server answers at once, except for /hang.
func server(t *testing.T) (address string, hangs <-chan struct{}) {
	t.Helper()
	hanging := make(chan struct{}, 10)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hang" {
			hanging <- struct{}{}
			<-r.Context().Done()
		}
		fmt.Fprint(w, "hello")
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String(), hanging
}

func get(t *testing.T, url string) string {
	t.Helper()
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	resp, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d %s", resp.StatusCode, b)
}

// hang sends a request that gets no answer, and returns once the server has it.
func hang(t *testing.T, address string, hangs <-chan struct{}) {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() }) // the other side has closed it
	fmt.Fprint(c, "GET /hang HTTP/1.1\r\nHost: a\r\n\r\n")
	<-hangs
}

func TestProxy(t *testing.T) {
	to, _ := server(t)
	saved := filepath.Join(t.TempDir(), "saved.yaml")
	socket := filepath.Join(t.TempDir(), "admin.sock")
	r := launch(t, "proxy", "--listen", "127.0.0.1:0", "--to", to, "--health-path", "/", "--access-log=false", "--admin", "unix:"+socket, "--save", saved)
	r.line("poise: saved; ")
	address := r.line("listener ")
	if got, want := r.line("look at "), "poise status --admin unix:"+socket+"; curl --unix-socket "+socket+" http://localhost/metrics"; got != want {
		t.Errorf("look at %q, want %q", got, want)
	}
	if got, want := r.line("pool "), "default, least_requests, 1 of 1 server up"; got != want {
		t.Errorf("pool %q, want %q", got, want)
	}
	if got, want := get(t, "http://"+address), "200 hello"; got != want {
		t.Errorf("GET / = %q, want %q", got, want)
	}
	s := call(nil, "status", "--admin", "unix:"+socket)
	if s.code != 0 || !strings.Contains(s.out, to) || !strings.Contains(s.out, "up") {
		t.Errorf("status = %d, %q, %q, want the server %s", s.code, s.out, s.err, to)
	}
	r.signals <- sigReload
	if got := r.line("time="); !strings.Contains(got, "there is no file to read again") {
		t.Errorf("HUP: %q, want word that there is no file", got)
	}
	r.signals <- os.Interrupt
	r.line("poise: stopped")
	r.ends(0)
	if s := call(nil, "check", "-c", saved); s.code != 0 || s.out != saved+": fine\n" {
		t.Errorf("check of the saved file = %d, %q, want it fine", s.code, s.out)
	}
	again := call(nil, "proxy", "--to", to, "--save", saved)
	if again.code != 1 || !strings.Contains(again.err, "is there already") {
		t.Errorf("saving again = %d, %q, want 1 as the file is there", again.code, again.err)
	}
}

// run starts a balancer before a server that can hang, and lets one request hang.
func run(t *testing.T, drain string) (r *running) {
	t.Helper()
	to, hangs := server(t)
	r = launch(t, "run", "-c", write(t, fmt.Sprintf("driver: net\nloops: 1\nlisten: 127.0.0.1:0\nservers: [%q]\ntimeouts: { drain: %s }\n"+
		"access_log: { enabled: false }\nadmin: { enabled: false }\n", to, drain)))
	hang(t, r.line("listener "), hangs)
	return r
}

func TestSecondSignalStopsAtOnce(t *testing.T) {
	r := run(t, "1h")
	r.signals <- sigTerm
	r.line("poise: draining until ")
	r.signals <- sigReload // means nothing here either
	r.signals <- sigQuit
	r.line("poise: stopped at once")
	r.ends(exitForced)
}

func TestDrainCutsAtItsEnd(t *testing.T) {
	r := run(t, "50ms")
	r.signals <- sigTerm
	r.line("poise: stopped; 1 connection was cut after 50ms")
	r.ends(exitCut)
}

func TestReopenLogs(t *testing.T) {
	to, _ := server(t)
	dir := t.TempDir()
	log := filepath.Join(dir, "access.log")
	r := launch(t, "run", "-c", write(t, fmt.Sprintf("loops: 1\nlisten: 127.0.0.1:0\nservers: [%q]\naccess_log: { path: %q }\nadmin: { enabled: false }\n", to, log)))
	address := r.line("listener ")
	if err := os.Rename(log, log+".1"); err != nil {
		t.Fatal(err)
	}
	r.signals <- sigReopen
	get(t, "http://"+address)
	r.signals <- sigTerm
	r.ends(0)
	if b, err := os.ReadFile(log); err != nil || strings.Count(string(b), "\n") != 1 {
		t.Errorf("the new file has %q, %v, want one record", b, err)
	}
}

func TestStartErrors(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := l.Addr().String()
	r := call(nil, "proxy", "--listen", taken, "--to", "127.0.0.1:1", "--admin", "off")
	if want := "poise: listen on " + taken + ": the address is in use"; r.code != 1 || !strings.Contains(r.err, want) {
		t.Errorf("proxy on a taken address = %d, %q, want 1, %q", r.code, r.err, want)
	}
}

func TestDemo(t *testing.T) {
	r := launch(t, "demo", "--for", "1500ms", "--listen", "127.0.0.1:0", "--admin", "unix:"+filepath.Join(t.TempDir(), "admin.sock"))
	if got, want := r.line("try "), "curl -i http://127.0.0.1:"; !strings.HasPrefix(got, want) {
		t.Errorf("try %q, want %q", got, want)
	}
	if got := r.line("pool "); !strings.Contains(got, "3 of 3 servers up") {
		t.Errorf("pool %q, want 3 of 3 servers up", got)
	}
	var summary string
	for !strings.Contains(summary, "x 200 OK") {
		summary = r.line("")
	}
	for _, name := range []string{"quick ", "slow ", "flaky "} {
		if !strings.Contains(summary, name) {
			t.Errorf("summary %q, want %q in it", summary, name)
		}
	}
	r.ends(0)
}

func TestFreePort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	taken := l.Addr().String()
	var said strings.Builder
	p := &program{err: &said}
	address := taken
	if err := p.freePort(&address); err != nil || address == taken || !strings.Contains(said.String(), taken+" is taken") {
		t.Errorf("freePort(%s) = %s, %v, %q, want another one", taken, address, err, said.String())
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	address = taken
	if err := p.freePort(&address); err != nil || address != taken {
		t.Errorf("freePort(%s) = %s, %v, want the same", taken, address, err)
	}
}

func TestFirstRound(t *testing.T) {
	tests := []struct {
		timeout, want time.Duration
	}{{time.Second, 1100 * time.Millisecond}, {time.Minute, 5 * time.Second}}
	for _, tt := range tests {
		c := &config.Config{}
		c.Pools = config.Pools{{}, {Health: &config.Health{Timeout: tt.timeout}}}
		if got := firstRound(c); got != tt.want {
			t.Errorf("firstRound(timeout %v) = %v, want %v", tt.timeout, got, tt.want)
		}
	}
}
