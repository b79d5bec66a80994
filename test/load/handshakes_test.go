package load

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"poise/internal/testkit"
)

const (
	// handshakesVariable names the environment variable that says how long a driver is measured in each round.
	handshakesVariable = "POISE_TEST_HANDSHAKES"
	handshakesASecond  = 200
	halfOpenASecond    = 1000
	keptClients        = 16
	keptEvery          = 8 * time.Millisecond // of each client
	heldUpFor          = 100 * time.Millisecond

	// shakerVariable tells a process in the role of shaker what it makes, where, and whom to trust.
	shakerVariable           = "POISE_TEST_SHAKER"
	fullHandshakes, halfOpen = "full", "half-open"
)

// TestHandshakesBesideKept: who has a connection waits at most twice as long, at the 99th percentile, while others make full handshakes, or begin many
// that they do not end.
func TestHandshakesBesideKept(t *testing.T) {
	length, rounds, strict := 300*time.Millisecond, 2, false
	if s := os.Getenv(handshakesVariable); s != "" {
		var err error
		if length, err = time.ParseDuration(s); err != nil {
			t.Fatal(err)
		}
		rounds, strict = 5, true
	}
	binary := builtBinary(t)
	eachDriver(t, 1, func(t *testing.T, s testkit.Setup) {
		cert := testkit.NewCertificate(t, "localhost")
		server := startNamed(t, "a")
		p := startBinary(t, binary, fmt.Sprintf( // in a process of its own: clients in Go must not hold up its loop, nor it them
			"driver: %s\nloops: 1\nlisteners: [{ address: \"127.0.0.1:0\", pool: app, tls: { certificates: [%s] } }]\npools: { app: { servers: [%q] } }\n",
			s.Driver, cert.YAML(), server.addr))
		k := &keptLoad{addr: p.addr, cert: cert}
		k.connect(t)
		alone, full, half := []time.Duration{}, []time.Duration{}, []time.Duration{}
		for range rounds { // in turn, since machines are busy in waves
			alone = append(alone, p99(k.run(t, length, "")))
			full = append(full, p99(k.run(t, length, fullHandshakes)))
			half = append(half, p99(k.run(t, length, halfOpen)))
		}
		middle := func(d []time.Duration) time.Duration { slices.Sort(d); return d[len(d)/2].Round(time.Microsecond) }
		base, f, h := middle(alone), middle(full), middle(half)
		t.Logf("p99 of kept connections: alone %v; beside %d handshakes a second %v (%.2f); beside %d half-open ones besides %v (%.2f)",
			base, handshakesASecond, f, float64(f)/float64(base), halfOpenASecond, h, float64(h)/float64(base))
		most := 2 * base
		if s.Driver == "net" { // goroutines move its bytes, at two switches each
			most = 5 * base / 2
		}
		if !strict { // short, and beside other tests' work: what then shows is a loop that is held up
			most = max(most, heldUpFor)
		}
		if f > most || h > most {
			t.Errorf("p99 = %v and %v, alone %v; want %v at most", f, h, base, most)
		}
	})
}

// keptLoad is requests over kept connections.
type keptLoad struct {
	addr  string
	cert  *testkit.Certificate
	conns []*testkit.Client
}

func (k *keptLoad) connect(t *testing.T) {
	t.Helper()
	for range keptClients {
		c, _ := testkit.DialTLS(t, k.addr, k.cert.Client("localhost"))
		k.conns = append(k.conns, c)
	}
}

// run sends requests at fixed times for a while, and returns how long each took. beside is what a process in the role of shaker does meanwhile, or empty.
func (k *keptLoad) run(t *testing.T, length time.Duration, beside string) (times []time.Duration) {
	t.Helper()
	if beside != "" {
		defer spawn(t, "shaker", 0, shakerVariable+"="+beside+" "+k.addr+" "+k.cert.CertFile).kill()
		time.Sleep(100 * time.Millisecond) // until it is at its pace
	}
	var clients sync.WaitGroup
	var mu sync.Mutex // guards times
	begun := time.Now()
	for i, c := range k.conns {
		clients.Go(func() {
			var own []time.Duration
			for due := begun.Add(keptEvery * time.Duration(i) / keptClients); due.Sub(begun) < length; due = due.Add(keptEvery) {
				time.Sleep(time.Until(due))
				began := time.Now() // a sleep may be late itself, by more than an answer takes
				_ = c.SetDeadline(began.Add(testkit.Patience))
				if r := c.Get("/"); r.StatusCode != 200 {
					t.Errorf("answer %d", r.StatusCode)
				}
				own = append(own, time.Since(began))
			}
			mu.Lock()
			defer mu.Unlock()
			times = append(times, own...)
		})
	}
	clients.Wait()
	return times
}

// shakerRole makes handshakes until its process ends. It gets a processor where nobody else wants it: what its own part of a handshake takes is not Poise's.
func shakerRole() (addr string, err error) {
	if out, err := exec.Command("chrt", "-a", "-i", "-p", "0", strconv.Itoa(os.Getpid())).CombinedOutput(); err != nil {
		return "", fmt.Errorf("chrt: %w: %s", err, out)
	}
	what := strings.Fields(os.Getenv(shakerVariable))
	pem, err := os.ReadFile(what[2])
	if err != nil {
		return "", err
	}
	client := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "localhost"}
	client.RootCAs.AppendCertsFromPEM(pem)
	s := shaker{addr: what[1], client: client}
	go paced(handshakesASecond, s.full)
	if what[0] == halfOpen {
		if s.hello, err = firstRecord(client); err != nil {
			return "", err
		}
		go paced(halfOpenASecond, s.half)
	}
	return "shaking", nil
}

// shaker makes handshakes.
type shaker struct {
	addr   string
	client *tls.Config
	hello  []byte
	conns  []net.Conn // half-open ones, until the process ends
}

func (s *shaker) full() {
	c, err := tls.Dial("tcp", s.addr, s.client)
	if err != nil {
		fmt.Fprintln(os.Stderr, "handshake:", err)
		return
	}
	_ = c.Close()
}

// half begins a handshake that does not go on: mostly in the middle of the first message, each twentieth behind it, when Poise has done its part.
func (s *shaker) half() {
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "connect:", err)
		return
	}
	said := s.hello[:8]
	if len(s.conns)%20 == 0 {
		said = s.hello
	}
	_, _ = c.Write(said)
	s.conns = append(s.conns, c)
}

// firstRecord is what a client begins with.
func firstRecord(client *tls.Config) ([]byte, error) {
	near, far := net.Pipe()
	defer near.Close()
	go func() { _ = tls.Client(far, client).Handshake() }()
	b := make([]byte, 16<<10)
	n, err := near.Read(b)
	return b[:n], err
}

// paced calls f so often a second.
func paced(times int, f func()) {
	begun := time.Now()
	for n := 0; ; n++ {
		time.Sleep(time.Until(begun.Add(time.Duration(n) * time.Second / time.Duration(times))))
		f()
	}
}
