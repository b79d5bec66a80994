package wire

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"poise/internal/testkit"
)

// oneLoop runs f over a loop, where it has to share its time.
func oneLoop(t *testing.T, f func(t *testing.T, s testkit.Setup)) {
	t.Helper()
	s := testkit.Setups(t)[0]
	s.Loops = 1
	t.Run(s.String(), func(t *testing.T) { f(t, s) })
}

// helloOf is the first message of a client.
func helloOf(t *testing.T, config *tls.Config) []byte {
	t.Helper()
	a, b := net.Pipe()
	defer func() { _, _ = a.Close(), b.Close() }()
	go func() { _ = tls.Client(a, config).Handshake() }()
	var hello bytes.Buffer
	if _, err := io.CopyN(&hello, b, 5); err != nil {
		t.Fatal(err)
	}
	h := hello.Bytes()
	if _, err := io.CopyN(&hello, b, int64(h[3])<<8|int64(h[4])); err != nil {
		t.Fatal(err)
	}
	return hello.Bytes()
}

// during counts requests of a connection that are answered while f runs.
func during(t *testing.T, kept *testkit.Client, f func()) (answers int, longest time.Duration) {
	t.Helper()
	var over atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		defer over.Store(true) // also when f fails for good
		f()
	})
	for !over.Load() {
		begun := time.Now()
		kept.Send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
		wantResponse(t, "a GET beside handshakes", kept.Read("GET"), 200, "ok")
		longest = max(longest, time.Since(begun))
		answers++
	}
	wg.Wait()
	return answers, longest
}

// TestTQ13HalfHandshakes: of those that stop half-way only so many stay, others get in meanwhile, and who is connected notices nothing.
func TestTQ13HalfHandshakes(t *testing.T) {
	t.Parallel()
	someSetups(t, func(t *testing.T, s testkit.Setup) {
		socket, most, flood := t.TempDir()+"/admin", 16*s.Loops, 60*s.Loops
		p, cert := startTLS(t, s, echoing(t).Addr, fmt.Sprintf("limits: { handshakes: %d }\nadmin: { address: %q }", most, "unix:"+socket))
		kept, _ := testkit.DialTLS(t, p.Addr, cert.Client("localhost"))
		whole := helloOf(t, cert.Client("localhost"))
		var open []*testkit.Client
		answers, _ := during(t, kept, func() {
			for i := range flood {
				c := testkit.Dial(t, p.Addr)
				if i%2 == 0 {
					c.Send(string(whole))
				} else {
					c.Send(string(whole[:len(whole)/2]))
				}
				open = append(open, c)
				if i%(flood/3) == flood/3-1 {
					good, _ := testkit.DialTLS(t, p.Addr, cert.Client("localhost"))
					wantResponse(t, "a GET of one that comes meanwhile", good.Get("/"), 200, "ok")
				}
			}
		})
		count := func(result string) int {
			return metric(t, socket, fmt.Sprintf(`poise_listener_tls_handshakes_total{listener="web",result=%q}`, result))
		}
		testkit.Eventually(t, "all but so many are ended", func() bool { return count("displaced") >= flood-most })
		if d, f, ok := count("displaced"), count("failed"), count("ok"); d >= flood || f != 0 || ok != 4 || answers == 0 {
			t.Errorf("%d are displaced, %d fail and %d end well, want at most %d, 0 and 4; %d requests beside", d, f, ok, flood-1, answers)
		}
		ended := 0
		for _, c := range open {
			_ = c.SetReadDeadline(time.Now().Add(3 * time.Millisecond))
			if _, err := io.Copy(io.Discard, c.TCPConn); err == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
				ended++
			}
		}
		if d := count("displaced"); ended != d {
			t.Errorf("the connections of %d are closed, want those that are displaced, %d", ended, d)
		}
	})
}

// TestTQ13Flood: handshakes that come all at once get their turn one after the other, and who is connected is served in between.
func TestTQ13Flood(t *testing.T) {
	t.Parallel()
	oneLoop(t, func(t *testing.T, s testkit.Setup) {
		p, cert := startTLS(t, s, echoing(t).Addr)
		kept, _ := testkit.DialTLS(t, p.Addr, cert.Client("localhost"))
		hello := string(helloOf(t, cert.Client("localhost")))
		const flood = 600
		var open []*testkit.Client
		for range flood {
			open = append(open, testkit.Dial(t, p.Addr))
		}
		begun := time.Now()
		answers, longest := during(t, kept, func() {
			for i, c := range open {
				if c.Send(hello); i%3 == 2 {
					_ = c.TCPConn.Close() // and some go again
				}
			}
			for i, c := range open {
				if i%3 == 2 {
					continue
				}
				if _, err := io.ReadFull(c.TCPConn, make([]byte, 1)); err != nil {
					t.Errorf("hello %d got no answer: %v", i, err)
					return
				}
			}
		})
		t.Logf("%d requests beside %d handshakes in %v, the slowest in %v", answers, flood, time.Since(begun), longest)
		if answers < 6 {
			t.Errorf("%d requests were answered beside %d handshakes, want some in between", answers, flood)
		}
		good, _ := testkit.DialTLS(t, p.Addr, cert.Client("localhost"))
		wantResponse(t, "a GET of one that comes behind", good.Get("/"), 200, "ok")
	})
}

// TestTQ13StopInFlood: a stop waits for no handshake that has not begun.
func TestTQ13StopInFlood(t *testing.T) {
	t.Parallel()
	someSetups(t, func(t *testing.T, s testkit.Setup) {
		p, cert := startTLS(t, s, echoing(t).Addr)
		hello := string(helloOf(t, cert.Client("localhost")))
		var open []*testkit.Client
		for range 300 {
			open = append(open, testkit.Dial(t, p.Addr))
		}
		for _, c := range open {
			c.Send(hello)
		}
		begun := time.Now()
		p.App.Stop()
		if d := time.Since(begun); d > 3*time.Second {
			t.Errorf("the stop took %v", d)
		}
		for _, c := range open {
			_ = c.Rest() // ends
		}
	})
}

// stopper is a connection whose second write waits.
type stopper struct {
	net.Conn
	writes  int
	waiting *sync.WaitGroup
	goOn    chan struct{}
}

func (s *stopper) Write(p []byte) (int, error) {
	if s.writes++; s.writes == 2 {
		s.waiting.Done()
		<-s.goOn
	}
	return s.Conn.Write(p)
}

// TestTQ13SecondFlights: clients that hold back the second half of their handshakes, and then send it all at once, get their turn likewise.
func TestTQ13SecondFlights(t *testing.T) {
	t.Parallel()
	ca := testkit.NewAuthority(t, "ca", nil)
	file := testkit.WriteFile(t, "ca.pem", ca.PEM())
	client := ca.Below(t, "1", nil).Below(t, "2", nil).Client(t, "x", nil)
	oneLoop(t, func(t *testing.T, s testkit.Setup) {
		server, cert := testkit.Serve(t, testkit.Answer(testkit.OK)), testkit.NewCertificate(t, "localhost")
		p := testkit.Start(t, s, mutual(server.Addr, cert, fmt.Sprintf("ca: %q", file)))
		kept, _ := testkit.DialTLS(t, p.Addr, as(cert, client))
		const flood = 300
		var waiting, ready sync.WaitGroup
		goOn := make(chan struct{})
		for range flood {
			c := testkit.Dial(t, p.Addr)
			waiting.Add(1)
			ready.Go(func() {
				conn := tls.Client(&stopper{Conn: c.TCPConn, waiting: &waiting, goOn: goOn}, as(cert, client))
				_, err := conn.Write([]byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"))
				if err == nil {
					_, err = io.ReadFull(conn, make([]byte, 1))
				}
				if err != nil {
					t.Errorf("a client that was slow: %v", err)
				}
			})
		}
		waiting.Wait()
		begun := time.Now()
		answers, longest := during(t, kept, func() {
			close(goOn)
			ready.Wait()
		})
		t.Logf("%d requests beside %d handshakes in %v, the slowest in %v", answers, flood, time.Since(begun), longest)
		if answers < 6 {
			t.Errorf("%d requests were answered beside %d handshakes, want some in between", answers, flood)
		}
	})
}
