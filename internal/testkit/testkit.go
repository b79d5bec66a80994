// Package testkit holds what tests talk to Poise with: the program itself in this process, servers that follow a script, and clients that send
// exactly the bytes they are told.
//
// It is used by tests only, and never interprets HTTP more than it must: what a test expects, the test says. Start reading at Start, Server and
// Client.
package testkit

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"poise/internal/app"
	"poise/internal/config"
)

// Patience bounds every wait of a test for something that should come at once.
const Patience = 10 * time.Second

// Setup is what a suite is run over.
type Setup struct {
	Driver string
	Loops  int
	// TLS between clients and Poise, and between Poise and servers, where a test does not say anything of it.
	TLS, ServerTLS bool
}

func (s Setup) String() string { return fmt.Sprintf("%s/%d", s.Driver, s.Loops) + s.suffix() }

// Suffixes of a setup's name.
const (
	tlsSuffix        = "/tls"
	tlsClientsSuffix = "/tls-clients"
	tlsServersSuffix = "/tls-servers"
)

func (s Setup) suffix() string {
	switch {
	case s.TLS && s.ServerTLS:
		return tlsSuffix
	case s.TLS:
		return tlsClientsSuffix
	case s.ServerTLS:
		return tlsServersSuffix
	}
	return ""
}

// InClear skips a test that needs to see what is sent, or when, over a setup where TLS is in between.
func (s Setup) InClear(t testing.TB) {
	t.Helper()
	if s.TLS || s.ServerTLS {
		t.Skip("needs clear text")
	}
}

// ServersInClear skips a test whose servers cannot speak TLS over a setup in which they would have to.
func (s Setup) ServersInClear(t testing.TB) {
	t.Helper()
	if s.ServerTLS {
		t.Skip("needs servers in clear text")
	}
}

// SetupsVariable names the environment variable that lists the setups, such as "net/1,net/2/tls"; a suffix says who speaks TLS: /tls all, /tls-clients and
// /tls-servers only those.
const SetupsVariable = "POISE_TEST_SETUPS"

// Setups are those that the environment names; else every driver with 1 and 2 loops, and with 4 over TLS.
func Setups(t testing.TB) []Setup {
	t.Helper()
	list := os.Getenv(SetupsVariable)
	if list == "" {
		list = "io_uring/1,io_uring/2,io_uring/4/tls,epoll/1,epoll/2,epoll/4/tls,net/1,net/2,net/4/tls"
	}
	var setups []Setup
	for _, name := range strings.Split(list, ",") {
		var s Setup
		driver, rest, ok := strings.Cut(name, "/")
		loops, secured, _ := strings.Cut(rest, "/")
		switch "/" + secured {
		case "/":
		case tlsSuffix:
			s.TLS, s.ServerTLS = true, true
		case tlsClientsSuffix:
			s.TLS = true
		case tlsServersSuffix:
			s.ServerTLS = true
		default:
			ok = false
		}
		if _, err := fmt.Sscanf(loops, "%d", &s.Loops); !ok || err != nil {
			t.Fatalf("%s: %q is no driver/loops", SetupsVariable, name)
		}
		s.Driver = driver
		setups = append(setups, s)
	}
	return setups
}

// Drivers are those of the setups, each once.
func Drivers(t testing.TB) []string {
	t.Helper()
	var drivers []string
	for _, s := range Setups(t) {
		if !slices.Contains(drivers, s.Driver) {
			drivers = append(drivers, s.Driver)
		}
	}
	return drivers
}

// Each runs f once for every setup.
func Each(t *testing.T, f func(t *testing.T, s Setup)) {
	t.Helper()
	for _, s := range Setups(t) {
		t.Run(s.String(), func(t *testing.T) { f(t, s) })
	}
}

// Poise is the program, running in this process.
type Poise struct {
	App *app.App
	// Addr is the first listener's first address.
	Addr string
	// Log is the program's log; AccessLog the path of the access log's file.
	Log       *Buffer
	AccessLog string

	head string       // what Start adds to a configuration
	cert *Certificate // of the listeners that have none of their own; nil: they speak clear text
	back *Certificate // likewise of the servers
	text atomic.Pointer[string]
}

// overTLS has what a client needs for the addresses at which Dial speaks TLS.
var overTLS sync.Map

// Start runs Poise with a configuration until the test ends. What yaml does not say is set here: driver, loops, no admin address, the access
// log into a file of the test's own. Listeners in yaml use port 0.
func Start(t testing.TB, s Setup, yaml string) *Poise {
	t.Helper()
	p := &Poise{Log: &Buffer{}, AccessLog: t.TempDir() + "/access.log"}
	head := fmt.Sprintf("driver: %s\nloops: %d\n", s.Driver, s.Loops)
	if !strings.Contains(yaml, "admin:") {
		head += "admin: { enabled: false }\n"
	}
	if !strings.Contains(yaml, "access_log:") {
		head += fmt.Sprintf("access_log: { path: %q }\n", p.AccessLog)
	}
	p.head = head
	if s.TLS {
		p.cert = NewCertificate(t, "poise.test")
	}
	if s.ServerTLS {
		p.back = serverCertificate(t)
	}
	p.write(yaml)
	c, problems := p.load()
	if problems.HasErrors() {
		var b bytes.Buffer
		_ = problems.Format(&b, false)
		t.Fatalf("the test's configuration:\n%s", b.String())
	}
	a, err := app.Start(app.Options{Config: c, Log: slog.New(slog.NewTextHandler(p.Log, nil)), Version: "test", Load: p.load, Poison: true})
	if err != nil {
		t.Fatalf("start: %v", err)
	}
	t.Cleanup(a.Stop)
	p.App = a
	p.Addr = a.Status().Listeners[0].Addresses[0]
	for i, l := range c.Listeners {
		for _, addr := range a.Status().Listeners[i].Addresses {
			overTLS.Delete(addr) // of a test that has stopped Poise before its end
		}
		if p.cert == nil || l.TLS == nil || l.TLS.Certificates[0].Cert != p.cert.CertFile {
			continue
		}
		for _, addr := range a.Status().Listeners[i].Addresses {
			config := p.cert.Client("poise.test")
			overTLS.Store(addr, config)
			t.Cleanup(func() { overTLS.CompareAndDelete(addr, config) }) // it may be another test's by then
		}
	}
	return p
}

// ClientTLS is what a client needs at Addr; nil: clear text.
func (p *Poise) ClientTLS() *tls.Config {
	if config, ok := overTLS.Load(p.Addr); ok {
		return config.(*tls.Config)
	}
	return nil
}

func (p *Poise) write(yaml string) {
	text := p.head + yaml
	p.text.Store(&text)
}

func (p *Poise) load() (*config.Config, config.Problems) {
	c, problems := config.Parse("test.yaml", []byte(*p.text.Load()), os.LookupEnv)
	if c != nil && p.cert != nil {
		for _, l := range p.clear(c) {
			l.TLS = &config.ListenerTLS{MinVersion: "1.2", Certificates: []*config.Certificate{{Cert: p.cert.CertFile, Key: p.cert.KeyFile}}}
		}
	}
	if c != nil && p.back != nil {
		p.secureServers(c)
	}
	return c, problems
}

// secureServers has TLS spoken to the pools that only have servers of this package.
func (p *Poise) secureServers(c *config.Config) {
	for _, pool := range c.Pools {
		ours := pool.ServerTLS == nil
		for _, s := range pool.Servers {
			_, known := servers.Load(string(s.Address))
			ours = ours && known
		}
		if !ours {
			continue
		}
		pool.ServerTLS = &config.ServerTLS{ServerName: "server.test", CA: p.back.CertFile, MinVersion: "1.2"}
		var protocols []string
		if pool.HTTPVersion == "2" {
			protocols = []string{"h2"}
		}
		for _, s := range pool.Servers {
			server, _ := servers.Load(string(s.Address))
			server.(*Server).secure.Store(&tls.Config{Certificates: []tls.Certificate{p.back.Certificate}, NextProtos: protocols})
		}
	}
}

// clear are the listeners that speak clear text and need not.
func (*Poise) clear(c *config.Config) []*config.Listener {
	return slices.DeleteFunc(slices.Clone(c.Listeners), func(l *config.Listener) bool {
		_, unix := l.Addresses[0].Unix()
		return unix || l.TLS != nil
	})
}

// Reload has Poise go on with another configuration, to which the same is added as by Start.
func (p *Poise) Reload(t testing.TB, yaml string) {
	t.Helper()
	p.write(yaml)
	if problems, err := p.App.Reload(); err != nil {
		t.Fatalf("reload: %v: %v", err, problems)
	}
}

// Records waits until the access log has at least n lines, and returns all.
func (p *Poise) Records(t testing.TB, n int) []string {
	t.Helper()
	var lines []string
	Eventually(t, fmt.Sprintf("%d access log records", n), func() bool {
		b, _ := os.ReadFile(p.AccessLog)
		lines = strings.SplitAfter(string(b), "\n")
		lines = lines[:len(lines)-1] // after the last line end
		return len(lines) >= n
	})
	return lines
}

// Eventually waits until ok, and fails the test when it takes longer than Patience.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(Patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("in %v there came no %s", Patience, what)
		}
		<-tick.C
	}
}

// Buffer is a bytes.Buffer for several goroutines.
type Buffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
