package exchange

import (
	"net/netip"
	"testing"

	"poise/internal/balance"
	"poise/internal/clock"
	"poise/internal/h1"
	"poise/internal/msg"
	"poise/internal/pool"
	"poise/internal/route"
)

// BenchmarkPlain is all that is decided about a request on a route with nothing but a pool.
func BenchmarkPlain(b *testing.B) {
	now := clock.Now()
	p := pool.New(now, pool.Spec{Name: "p", Policy: balance.RoundRobin(), Servers: []pool.ServerSpec{{Name: "s1", Address: "10.0.0.1:80", Weight: 1}, {Name: "s2", Address: "10.0.0.2:80", Weight: 1}}})
	tab, _, err := route.Build([]route.Listener{{Name: "l", Routes: []route.Spec{{Route: route.Route{Name: "r", Pool: p}}}}})
	if err != nil {
		b.Fatal(err)
	}
	req, resp := &msg.Request{}, &msg.Response{}
	raw := []byte("GET /small HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: x\r\nAccept: */*\r\n\r\n")
	answer := []byte("HTTP/1.1 200 OK\r\nServer: x\r\nDate: Sat, 28 Nov 2026 21:04:22 GMT\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\n")
	if _, err := h1.ParseRequest(req, raw, nil); err != nil {
		b.Fatal(err)
	}
	if _, err := h1.ParseResponse(resp, answer, []byte("GET"), nil); err != nil {
		b.Fatal(err)
	}
	c := &Client{Addr: netip.MustParseAddrPort("127.0.0.1:4000"), AddrText: []byte("127.0.0.1")}
	x := &Exchange{}
	var fields msg.Fields
	var id [36]byte
	for b.Loop() {
		x.Begin(c, req, Times{FirstByte: now, Head: now})
		x.SetRequestID(id)
		if s := x.Start(now, tab); s.Kind != Forward {
			b.Fatal(s)
		}
		x.Connected(now)
		fields = x.RequestFields(fields[:0], false)
		x.AnswerBegun()
		x.Responded(now, resp)
		x.FindCoding(resp)
		x.TakeMirror()
		fields = x.ResponseFields(fields[:0], resp, false)
		x.Ended(nil)
		x.Done(now, nil)
	}
}
