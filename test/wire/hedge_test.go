package wire

import (
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"poise/internal/testkit"
)

const hedgeDelay = 30 * time.Millisecond

// tries are two servers that answer all but one path at once. Requests for that one are tries, which the test answers.
type tries struct {
	p   *testkit.Poise
	c   *testkit.Client
	got [2]chan *try // by server
	// addrs are the servers' addresses.
	addrs []string
	// first is the number of the server whose turn it is: with round_robin, the one that did not serve the request before.
	first int
}

type try struct {
	*testkit.Peer
	end chan bool
}

func newTries(t *testing.T, s testkit.Setup, settings string) *tries {
	t.Helper()
	h, over := &tries{}, make(chan struct{})
	for i := range h.got {
		h.got[i] = make(chan *try, 10)
		h.addrs = append(h.addrs, testkit.Serve(t, testkit.Paths(scripts{
			"/try": func(p *testkit.Peer, _ string) bool {
				a := &try{p, make(chan bool, 1)}
				h.got[i] <- a
				select {
				case again := <-a.end:
					return again
				case <-over:
					return false
				}
			},
			"/quick": testkit.Reply(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d", i)),
		})).Addr)
	}
	t.Cleanup(func() { close(over) }) // before the servers wait for their connections' ends
	h.p = testkit.Start(t, s, fmt.Sprintf("listen: 127.0.0.1:0\nservers: [%q, %q]\npolicy: round_robin\nhedge: { min_delay: %v }\n%s\n", h.addrs[0], h.addrs[1], hedgeDelay, settings))
	// A loop must have seen answers of its own before it knows what takes long.
	h.c = testkit.Dial(t, h.p.Addr)
	for quick := 0; quick < 130; {
		begun := time.Now()
		r := h.c.Get("/quick")
		if r.StatusCode != 200 {
			t.Fatalf("a quick request = %d %q", r.StatusCode, r.Body)
		}
		if h.first = 1 - int(r.Body[0]-'0'); time.Since(begun) < hedgeDelay {
			quick++
		} else {
			quick = min(quick, 129) // there may have been a hedge, and then it is anybody's turn: ask once more
		}
	}
	return h
}

// tries are those of a request: that of the server whose turn it is, and the other server's.
func (h *tries) tries(t *testing.T) (first, second *try) {
	t.Helper()
	return h.next(t, h.first), h.next(t, 1-h.first)
}

func (h *tries) next(t *testing.T, server int) *try {
	t.Helper()
	select {
	case a := <-h.got[server]:
		return a
	case <-time.After(testkit.Patience):
		t.Fatalf("server %d was not asked", server)
		return nil
	}
}

// answer lets a try's server answer, as OK does but with what.
func (a *try) answer(t *testing.T, status, what string) {
	t.Helper()
	if err := a.Send(fmt.Sprintf("HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s", status, len(what), what)); err != nil {
		t.Errorf("a try cannot answer: %v", err)
	}
	a.end <- true
}

// fail ends a try with a reset.
func (a *try) fail() {
	a.Reset()
	a.end <- false
}

// wantDropped wants the connection of a try that nobody wants to be ended.
func (a *try) wantDropped(t *testing.T) {
	t.Helper()
	_ = a.SetReadDeadline(time.Now().Add(testkit.Patience))
	if n, err := a.Read(make([]byte, 1)); n > 0 || err == nil || strings.Contains(err.Error(), "timeout") {
		t.Errorf("read = %d, %v, want the end of the try's connection", n, err)
	}
	a.end <- false
}

func TestHedge(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		play   func(t *testing.T, h *tries, first, second *try)
		status int
		body   string
		hedge  string
	}{
		{"the second answers first", func(t *testing.T, _ *tries, first, second *try) {
			second.answer(t, "200 OK", "second")
			first.wantDropped(t)
		}, 200, "second", "won"},
		{"the first answers first", func(t *testing.T, _ *tries, first, second *try) {
			first.answer(t, "200 OK", "first")
			second.wantDropped(t)
		}, 200, "first", "lost"},
		{"the first fails", func(t *testing.T, _ *tries, first, second *try) {
			first.fail()
			time.Sleep(20 * time.Millisecond) // the first's end shall be seen first
			second.answer(t, "200 OK", "second")
		}, 200, "second", "won"},
		{"the second fails", func(t *testing.T, _ *tries, first, second *try) {
			second.fail()
			time.Sleep(20 * time.Millisecond)
			first.answer(t, "200 OK", "first")
		}, 200, "first", "lost"},
		{"both fail", func(_ *testing.T, _ *tries, first, second *try) {
			first.fail()
			second.fail()
		}, 502, "502 Bad Gateway: the server closed the connection before it answered\n", "*"},
		{"the second cannot serve", func(t *testing.T, _ *tries, first, second *try) {
			second.answer(t, "503 Service Unavailable", "no")
			time.Sleep(20 * time.Millisecond)
			first.answer(t, "200 OK", "first")
		}, 200, "first", "lost"},
		{"the second cannot serve, and says so in pieces", func(t *testing.T, _ *tries, first, second *try) {
			_ = second.Send("HTTP/1.1 5")
			time.Sleep(20 * time.Millisecond)
			_ = second.Send("03 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
			second.end <- true
			time.Sleep(20 * time.Millisecond)
			first.answer(t, "200 OK", "first")
		}, 200, "first", "lost"},
		{"the second sends what is no answer", func(t *testing.T, _ *tries, first, second *try) {
			_ = second.Send("HTTP/1.1 2x0 OK\r\n\r\n")
			second.wantDropped(t)
			first.answer(t, "200 OK", "first")
		}, 200, "first", "lost"},
		{"the second switches protocols", func(t *testing.T, _ *tries, first, second *try) {
			_ = second.Send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n")
			second.wantDropped(t)
			first.answer(t, "200 OK", "first")
		}, 200, "first", "lost"},
		{"the second begins an answer, and ends", func(t *testing.T, _ *tries, first, second *try) {
			_ = second.Send("HTTP/1.1 ")
			time.Sleep(20 * time.Millisecond)
			second.fail()
			time.Sleep(20 * time.Millisecond)
			first.answer(t, "200 OK", "first")
		}, 200, "first", "lost"},
		{"the first fails, and the second sends what is no answer", func(t *testing.T, _ *tries, first, second *try) {
			first.fail()
			time.Sleep(20 * time.Millisecond)
			_ = second.Send("HTTP/1.1 2x0 OK\r\n\r\n")
			second.wantDropped(t)
		}, 502, "502 Bad Gateway: the server's answer was malformed\n", "won"},
		{"the first fails, and the client leaves", func(t *testing.T, h *tries, first, second *try) {
			first.fail()
			time.Sleep(20 * time.Millisecond)
			h.c.ResetConn()
			second.wantDropped(t)
		}, 499, "", "won"},
		{"an interim answer wins too", func(t *testing.T, _ *tries, first, second *try) {
			_ = second.Send("HTTP/1.1 103 Early Hints\r\n\r\n")
			first.wantDropped(t)
			second.answer(t, "200 OK", "second")
		}, 200, "second", "won"},
		{"the client leaves", func(t *testing.T, h *tries, first, second *try) {
			h.c.ResetConn()
			first.wantDropped(t)
			second.wantDropped(t)
		}, 499, "", "lost"},
	} {
		t.Run(strings.ReplaceAll(test.name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			testkit.Each(t, func(t *testing.T, s testkit.Setup) {
				if strings.Contains(test.name, "switches protocols") {
					s.ServersHTTP1(t)
				}
				h := newTries(t, s, "")
				h.c.Send(getOf("/try"))
				first, second := h.tries(t)
				test.play(t, h, first, second)
				if test.status != 499 {
					r := h.c.Read("GET")
					for r.StatusCode == 103 {
						r = h.c.Read("GET")
					}
					wantResponse(t, "a hedged request", r, test.status, test.body)
					if r := h.c.Get("/quick"); r.StatusCode != 200 {
						t.Errorf("the next = %d %q, want 200", r.StatusCode, r.Body)
					}
				}
				r := h.p.Await(t, "/try")
				if r.Status != test.status || r.Attempts != 2 || (r.Hedge != test.hedge && test.hedge != "*") {
					t.Errorf("record %+v, want status %d, 2 attempts, hedge %q", r, test.status, test.hedge)
				}
				wantAtRest(t, h.p)
			})
		})
	}
}

// A reload that takes one of the racing servers away, and hedging with it, ends nothing: the first answer counts.
func TestHedgeOverAReload(t *testing.T) {
	t.Parallel()
	for name, leaves := range map[string]int{"the first leaves": 0, "the second leaves": 1} {
		for wins := range 2 {
			t.Run(fmt.Sprintf("%s/%d wins", name, wins+1), func(t *testing.T) {
				t.Parallel()
				testkit.Each(t, func(t *testing.T, s testkit.Setup) {
					h := newTries(t, s, "")
					h.c.Send(getOf("/try") + getOf("/quick")) // which waits on the connection
					var both [2]*try
					both[0], both[1] = h.tries(t)
					servers := []string{h.addrs[h.first], h.addrs[1-h.first]}
					h.p.Reload(t, fmt.Sprintf("listen: 127.0.0.1:0\nservers: [%q]\n", servers[1-leaves]))
					both[wins].answer(t, "200 OK", "an answer")
					both[1-wins].wantDropped(t)
					wantResponse(t, "a hedged request", h.c.Read("GET"), 200, "an answer")
					if r := h.c.Read("GET"); r.StatusCode != 200 || len(r.Body) != 1 {
						t.Errorf("the next = %d %q, want 200 and the server's number", r.StatusCode, r.Body)
					}
					wantAtRest(t, h.p)
				})
			})
		}
	}
}

// A body that came with its head goes to both servers; one that is passed on as it comes goes to one alone.
func TestHedgeWithBody(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		h := newTries(t, s, "")
		h.c.Send("GET /try HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
		first, second := h.tries(t)
		for _, a := range []*try{first, second} {
			b := make([]byte, 5)
			if _, err := io.ReadFull(a.R, b); err != nil || string(b) != "hello" {
				t.Errorf("a server got %q (%v), want the body", b, err)
			}
		}
		second.answer(t, "200 OK", "second")
		wantResponse(t, "a hedged request", h.c.Read("GET"), 200, "second")
		first.wantDropped(t)
	})
}

func TestNoHedgeWithBodyThatComesLater(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		h := newTries(t, s, "")
		h.c.Send("GET /try HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n")
		first := h.next(t, h.first)
		h.c.Send("hello")
		if _, err := io.ReadFull(first.R, make([]byte, 5)); err != nil {
			t.Errorf("the body: %v", err)
		}
		select {
		case <-h.got[1-h.first]:
			t.Error("a second server was asked")
		case <-time.After(100 * time.Millisecond):
		}
		first.answer(t, "200 OK", "first")
		wantResponse(t, "the request", h.c.Read("GET"), 200, "first")
	})
}

// A client that has only closed its sending half waits for the answer, also when it is another server's.
func TestHedgeOfAClientThatHasSaidAll(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		h := newTries(t, s, "")
		h.c.Send(getOf("/try"))
		_ = h.c.CloseWrite()
		first, second := h.tries(t)
		first.fail()
		time.Sleep(20 * time.Millisecond)
		second.answer(t, "200 OK", "second")
		wantResponse(t, "a hedged request", h.c.Read("GET"), 200, "second")
		wantAtRest(t, h.p)
	})
}

// An answer of the first server with a status that is named for another try is left for the second's, which is that try.
func TestHedgeInsteadOfARepeat(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		second func(t *testing.T, second *try)
		status int
		body   string
	}{
		{"it answers", func(t *testing.T, second *try) { second.answer(t, "200 OK", "second") }, 200, "second"},
		{"it answers so too", func(t *testing.T, second *try) { second.answer(t, "503 No", "second") }, 503, "second"},
		{"it fails", func(_ *testing.T, second *try) { second.fail() }, 502, "502 Bad Gateway: the server closed the connection before it answered\n"},
	} {
		t.Run(strings.ReplaceAll(test.name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			testkit.Each(t, func(t *testing.T, s testkit.Setup) {
				h := newTries(t, s, "retry: { on: [connect, reset, 503] }")
				h.c.Send(getOf("/try"))
				first, second := h.tries(t)
				first.answer(t, "503 Service Unavailable", "first")
				time.Sleep(20 * time.Millisecond)
				test.second(t, second)
				wantResponse(t, "a hedged request", h.c.Read("GET"), test.status, test.body)
				if r := h.p.Await(t, "/try"); r.Attempts != 2 || r.Hedge != "won" {
					t.Errorf("record %+v, want 2 attempts, and the second's try", r)
				}
				wantAtRest(t, h.p)
			})
		})
	}
}

// wantAtRest wants no request to be in flight, anywhere.
func wantAtRest(t *testing.T, p *testkit.Poise) {
	t.Helper()
	testkit.Eventually(t, "no request in flight", func() bool {
		for _, s := range p.App.Status().Pools[0].Servers {
			if s.InFlight != 0 {
				return false
			}
		}
		return true
	})
}

// What may change something at the server, and what a repeat may not follow, is asked for once.
func TestNoHedge(t *testing.T) {
	t.Parallel()
	for name, settings := range map[string]string{"PUT": "", "GET": "retry: { repeats: 0 }", "HEAD": "retry: { budget: 0%, budget_floor: 0 }"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testkit.Each(t, func(t *testing.T, s testkit.Setup) {
				h := newTries(t, s, settings)
				h.c.Send(name + " /try HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
				first := h.next(t, h.first)
				select {
				case <-h.got[1-h.first]:
					t.Error("a second server was asked")
				case <-time.After(100 * time.Millisecond):
				}
				_ = first.Send("HTTP/1.1 204 No Content\r\n\r\n")
				first.end <- true
				wantResponse(t, name, h.c.Read(name), 204, "")
				if r := h.p.Await(t, "/try"); r.Hedge != "" || r.Attempts != 1 {
					t.Errorf("record %+v, want one attempt and no hedge", r)
				}
			})
		})
	}
}

// Servers that are slow by chance, close kept connections, reset, refuse and answer 503: every request has its own answer, or a failure.
func TestHedgeUnderChance(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		server := func(seed uint64) *testkit.Server {
			var mu sync.Mutex
			random := rand.New(rand.NewPCG(seed, 1))
			return testkit.Serve(t, func(p *testkit.Peer) {
				for {
					head, err := p.ReadHead()
					if err != nil {
						return
					}
					mu.Lock()
					n, late := random.IntN(100), time.Duration(random.IntN(4000))*time.Microsecond
					mu.Unlock()
					if n < 30 {
						time.Sleep(late) // a server that is slow by chance
					}
					path := testkit.PathOf(head)
					answer := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(path), path)
					switch {
					case n%20 == 1:
						p.Reset()
						return
					case n%20 == 2:
						answer = "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"
					}
					if p.Send(answer) != nil || n%20 == 3 {
						return
					}
				}
			})
		}
		p := testkit.Start(t, s, fmt.Sprintf("listen: 127.0.0.1:0\nservers: [%q, %q, %q]\nhedge: { quantile: 60%%, min_delay: 1ms }\nretry: { budget: 100%% }\neject: { enabled: false }\n",
			server(1).Addr, server(2).Addr, server(3).Addr))
		var wg sync.WaitGroup
		const clients, each = 8, 250
		for c := range clients {
			wg.Go(func() {
				client := testkit.Dial(t, p.Addr)
				for i := range each {
					path := fmt.Sprintf("/%d/%d", c, i)
					client.Send(getOf(path))
					r, err := client.TryRead("GET")
					if err != nil || r.StatusCode == 200 && r.Body != path || r.StatusCode != 200 && r.StatusCode != 502 && r.StatusCode != 503 {
						t.Errorf("%s: %+v, %v, want its own answer", path, r, err)
						return
					}
				}
			})
		}
		wg.Wait()
		won, lost := 0, 0
		for _, list := range p.Parsed(t, clients*each) {
			for _, r := range list {
				switch r.Hedge {
				case "won":
					won++
				case "lost":
					lost++
				}
			}
		}
		if won == 0 || lost == 0 {
			t.Errorf("%d hedges won, %d lost, want both to happen", won, lost)
		}
		wantAtRest(t, p)
	})
}
