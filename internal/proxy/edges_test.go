package proxy_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"poise/internal/affinity"
	"poise/internal/balance"
	"poise/internal/clock"
	"poise/internal/exchange"
	"poise/internal/msg"
	"poise/internal/pool"
	"poise/internal/route"
	"poise/internal/testkit"
)

// When the time for the whole exchange is up in a connect, no other server is tried: it would have no time, and be counted as failed.
func TestRequestTimeEndsInAConnect(t *testing.T) {
	one(t, func(t *testing.T, s testkit.Setup) {
		servers := []string{testkit.Deaf(t), testkit.Deaf(t), testkit.Deaf(t)}
		p := testkit.Start(t, s, "listen: 127.0.0.1:0\nservers: ["+strings.Join(servers, ", ")+"]\npolicy: round_robin\ntimeouts: { request: 300ms }\n")
		testkit.Dial(t, p.Addr).Get("/late")
		if r := p.Await(t, "/late"); r.Attempts != 1 {
			t.Errorf("attempts = %d, want 1", r.Attempts)
		}
	})
}

// A server that leaves its pool while it answers has no cookie any more: the answer sets none, not an empty one.
func TestNoCookieForAServerThatLeft(t *testing.T) {
	specs := []pool.ServerSpec{{Address: "10.0.0.1:80", Weight: 1}}
	pl := pool.New(clock.Now(), pool.Spec{Name: "p", Policy: balance.RoundRobin(), Servers: specs})
	cookie, err := affinity.NewCookie(affinity.CookieSettings{Secret: make([]byte, 32)}, pl)
	if err != nil {
		t.Fatal(err)
	}
	table, _, err := route.Build([]route.Listener{{Routes: []route.Spec{{Route: route.Route{Name: "r", Pool: pl, Affinity: cookie}}}}})
	if err != nil {
		t.Fatal(err)
	}
	var x exchange.Exchange
	x.Begin(&exchange.Client{}, &msg.Request{Method: []byte("GET"), Path: []byte("/")}, exchange.Times{})
	if step := x.Start(clock.Now(), table); step.Kind != exchange.Forward {
		t.Fatalf("Start = %v, want Forward", step.Kind)
	}
	pl.Update(clock.Now(), []pool.ServerSpec{{Address: "10.0.0.2:80", Weight: 1}})
	for _, f := range x.ResponseFields(nil, &msg.Response{Status: 200}, false) {
		if f.ID == msg.SetCookie {
			t.Errorf("the answer has Set-Cookie: %q, want none", f.Value)
		}
	}
	if end, _ := x.End(); string(end[2:]) != "NN" {
		t.Errorf("end = %s, want --NN: no cookie was set", end)
	}
}

// The time for an answer's head bounds nothing of its body: also not where the request's body ends only after that head.
func TestUploadThatEndsWithinTheAnswer(t *testing.T) {
	one(t, func(t *testing.T, s testkit.Setup) {
		const size = 100_000
		server := testkit.Serve(t, func(p *testkit.Peer) {
			head, err := p.ReadHead()
			if err != nil || p.Send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na") != nil {
				return
			}
			if _, err := p.BodyOf(head); err != nil {
				return
			}
			<-time.After(600 * time.Millisecond) // longer than timeouts.response
			_ = p.Send("b")
		})
		p := testkit.Start(t, s, "listen: 127.0.0.1:0\nservers: ["+server.Addr+"]\ntimeouts: { response: 200ms, body_idle: 5s }\n")
		c := testkit.Dial(t, p.Addr)
		c.Send(fmt.Sprintf("POST /both HTTP/1.1\r\nHost: example.test\r\nContent-Length: %d\r\n\r\nx", size))
		testkit.Eventually(t, "the request's head at the server", func() bool { return strings.Contains(server.Got(), "/both") })
		<-time.After(50 * time.Millisecond) // the answer's head is at the balancer
		c.Send(strings.Repeat("x", size-1))
		if r := c.Read("POST"); r.Err != nil || r.Body != "ab" {
			t.Errorf("the answer's body = %q, %v; want \"ab\"", r.Body, r.Err)
		}
	})
}
