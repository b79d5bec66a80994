package wire

import (
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"

	"poise/internal/testkit"
)

// counting is a server that counts its connections: those that its kernel has and the other side has not closed.
type counting struct {
	*testkit.Server
	limit int
	mu    sync.Mutex // guards the fields below
	open  map[*testkit.Peer]syscall.RawConn
	most  int
}

// newCounting is to have so many connections at most. It answers each connection's requests by answer, until that says no more.
func newCounting(t *testing.T, limit int, answer func(p *testkit.Peer, n int) (more bool)) *counting {
	t.Helper()
	s := &counting{limit: limit, open: map[*testkit.Peer]syscall.RawConn{}}
	s.Server = testkit.Serve(t, func(p *testkit.Peer) {
		s.come(t, p)
		defer s.leave(p)
		for n := 1; ; n++ {
			if _, err := p.ReadHead(); err != nil || !answer(p, n) {
				return
			}
		}
	})
	return s
}

func (s *counting) come(t *testing.T, p *testkit.Peer) {
	raw, _ := p.Conn.(syscall.Conn).SyscallConn()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[p] = raw
	n := 0
	for _, raw := range s.open {
		if isOpen(raw) {
			n++
		}
	}
	if n > s.limit { // or an end of the other side is still on its way
		open := established(t)
		n = 0
		for p := range s.open {
			if open[ends{kernelText(p.RemoteAddr()), kernelText(p.LocalAddr())}] {
				n++
			}
		}
	}
	s.most = max(s.most, n)
}

func (s *counting) leave(p *testkit.Peer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, p) // before it is closed: the other side may make another one as soon as it is
}

// isOpen tells whether no end has come from the other side, be it that nobody has read up to it yet.
func isOpen(raw syscall.RawConn) bool {
	open := false
	_ = raw.Control(func(fd uintptr) {
		n, _, err := syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		open = n > 0 || err == syscall.EAGAIN
	})
	return open
}

// ends are a connection's addresses, as one of its sides sees them.
type ends struct{ local, remote string }

// established are the connections whose sides the kernel has as open. Poise's side is not, as soon as it is closed, though the end that follows may come
// to the server later than the next connection, on another processor. It takes its time.
func established(t *testing.T) map[ends]bool {
	t.Helper()
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		t.Error(err)
	}
	all := map[ends]bool{}
	for line := range strings.Lines(string(table)) {
		if f := strings.Fields(line); len(f) > 3 && f[3] == "01" {
			all[ends{f[1], f[2]}] = true
		}
	}
	return all
}

// kernelText is an address as the kernel's table has it.
func kernelText(a net.Addr) string {
	at := a.(*net.TCPAddr)
	ip := at.IP.To4()
	return fmt.Sprintf("%02X%02X%02X%02X:%04X", ip[3], ip[2], ip[1], ip[0], at.Port)
}

// twoLoops are the setups that have just so many.
func twoLoops(t *testing.T, f func(t *testing.T, s testkit.Setup)) {
	t.Helper()
	for _, d := range testkit.Drivers(t) {
		s := testkit.Setup{Driver: d, Loops: 2}
		t.Run(s.String(), func(t *testing.T) { f(t, s) })
	}
}

// answers are how a server may go on after an answer.
var answers = map[string]func(p *testkit.Peer, n int) (more bool){
	"keeps": func(p *testkit.Peer, _ int) bool { return p.Send(testkit.OK) == nil },
	"closes": func(p *testkit.Peer, _ int) bool {
		_ = p.Send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
		return false
	},
	"closes idle ones now and then": func(p *testkit.Peer, n int) bool { return p.Send(testkit.OK) == nil && n < 3 },
}

// TestMaxConnections has clients of both loops share fewer connections than they are.
func TestMaxConnections(t *testing.T) {
	t.Parallel()
	twoLoops(t, func(t *testing.T, s testkit.Setup) {
		for name, answer := range answers {
			for _, most := range []int{1, 2} {
				t.Run(fmt.Sprintf("%s/%d", name, most), func(t *testing.T) {
					server := newCounting(t, most, answer)
					p := testkit.Start(t, s, fmt.Sprintf("listen: 127.0.0.1:0\nservers: [{ address: %q, max_connections: %d }]\n", server.Addr, most))
					var clients sync.WaitGroup
					for range 10 {
						c := testkit.Dial(t, p.Addr)
						clients.Go(func() {
							for i := range 20 {
								c.Send(getOf(fmt.Sprintf("/%d", i)))
								if r, err := c.TryRead("GET"); err != nil || r.StatusCode != 200 {
									t.Errorf("an answer is %+v (%v), want 200", r, err)
									return
								}
							}
						})
					}
					clients.Wait()
					server.mu.Lock()
					defer server.mu.Unlock()
					if server.most != most {
						t.Errorf("the server had %d connections at once, want %d", server.most, most)
					}
				})
			}
		}
	})
}

// TestMaxConnectionsByReload sets a limit below what is open already.
func TestMaxConnectionsByReload(t *testing.T) {
	t.Parallel()
	twoLoops(t, func(t *testing.T, s testkit.Setup) {
		goOn := make(chan struct{})
		server := newCounting(t, 8, func(p *testkit.Peer, _ int) bool {
			<-goOn
			return p.Send(testkit.OK) == nil
		})
		open := func() int {
			server.mu.Lock()
			defer server.mu.Unlock()
			return len(server.open)
		}
		yaml := "listen: 127.0.0.1:0\nservers: [{ address: %q, max_connections: %d }]\n"
		p := testkit.Start(t, s, fmt.Sprintf(yaml, server.Addr, 0))
		var clients []*testkit.Client
		for range 8 {
			c := testkit.Dial(t, p.Addr)
			c.Send(getOf("/"))
			clients = append(clients, c)
		}
		testkit.Eventually(t, "connection for each request", func() bool { return open() == 8 })
		for range 7 {
			goOn <- struct{}{}
		}
		testkit.Eventually(t, "seven answers", func() bool { return p.App.Status().Pools[0].Servers[0].InFlight == 1 })
		p.Reload(t, fmt.Sprintf(yaml, server.Addr, 2))
		testkit.Eventually(t, "close of those that are too many", func() bool { return open() == 2 })
		close(goOn)
		for _, c := range clients {
			wantResponse(t, "a request of before", c.Read("GET"), 200, "ok")
			wantResponse(t, "another one", c.Get("/"), 200, "ok")
		}
		if n := open(); n > 2 {
			t.Errorf("%d connections are open, want 2 at most", n)
		}
		if want := "(max_connections 0 to 2)"; !strings.Contains(p.Log.String(), want) {
			t.Errorf("the log says nothing of %s", want)
		}
	})
}

// TestMaxConnectionsOfAClientThatHasSaidAll: its sending half is closed, and it waits for its answer over another loop's connection.
func TestMaxConnectionsOfAClientThatHasSaidAll(t *testing.T) {
	t.Parallel()
	twoLoops(t, func(t *testing.T, s testkit.Setup) {
		server := newCounting(t, 1, answers["keeps"])
		p := testkit.Start(t, s, fmt.Sprintf("listen: 127.0.0.1:0\nservers: [{ address: %q, max_connections: 1 }]\n", server.Addr))
		for range 10 { // on one loop or the other
			c := testkit.Dial(t, p.Addr)
			c.Send(getOf("/"))
			_ = c.CloseWrite()
			wantResponse(t, "a request", c.Read("GET"), 200, "ok")
			testkit.Eventually(t, "free slot", func() bool { return p.App.Status().Pools[0].Servers[0].InFlight == 0 }) // in the queue it would count as left
		}
	})
}
