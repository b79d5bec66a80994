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
	// http2 is spoken to servers of this package.
	http2 bool
	text  atomic.Pointer[string]
}

// overTLS has what a client needs for the addresses at which Dial speaks TLS.
var overTLS sync.Map

// overHTTP2 are the addresses at which Dial speaks HTTP/2.
var overHTTP2 sync.Map

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
	p.http2 = s.ServerHTTP2
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
	p.listen(t, s, c)
	return p
}

// listen has Dial speak at the listeners' addresses what the setup says, where the test's configuration says nothing of it.
func (p *Poise) listen(t testing.TB, s Setup, c *config.Config) {
	for i, l := range c.Listeners {
		for _, addr := range p.App.Status().Listeners[i].Addresses { // it may have been that of a test that has stopped Poise before its end
			overTLS.Delete(addr)
			overHTTP2.Delete(addr)
		}
		_, unix := l.Addresses[0].Unix()
		ours := l.TLS == nil && !unix
		if p.cert != nil {
			ours = l.TLS != nil && l.TLS.Certificates[0].Cert == p.cert.CertFile
		}
		if !ours {
			continue
		}
		for _, addr := range p.App.Status().Listeners[i].Addresses {
			speaks := s.HTTP2 && l.HTTP2
			if speaks {
				overHTTP2.Store(addr, p)
			}
			var client *tls.Config
			if p.cert != nil {
				client = p.cert.Client("poise.test")
				if speaks {
					client.NextProtos = []string{"h2"}
				}
				overTLS.Store(addr, client)
			}
			t.Cleanup(func() { // unless it is another test's by then
				overTLS.CompareAndDelete(addr, client)
				overHTTP2.CompareAndDelete(addr, p)
			})
		}
	}
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
	if c != nil && (p.back != nil || p.http2) {
		p.setServers(c)
	}
	return c, problems
}

// setServers has TLS and HTTP/2 spoken to the pools that only have servers of this package.
func (p *Poise) setServers(c *config.Config) {
	for _, pool := range c.Pools {
		ours := pool.ServerTLS == nil
		for _, s := range pool.Servers {
			_, known := servers.Load(string(s.Address))
			ours = ours && known
		}
		if !ours {
			continue
		}
		if p.back != nil {
			pool.ServerTLS = &config.ServerTLS{ServerName: "server.test", CA: p.back.CertFile, MinVersion: "1.2"}
		}
		itself := pool.HTTPVersion == "2" // the test's servers speak it frame by frame
		if p.http2 {
			pool.HTTPVersion = "2"
		}
		for _, s := range pool.Servers {
			server, _ := servers.Load(string(s.Address))
			server.(*Server).speak(p.back, p.http2 && !itself, pool.HTTPVersion == "2")
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
