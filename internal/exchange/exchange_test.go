package exchange

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"poise/internal/balance"
	"poise/internal/clock"
	"poise/internal/fault"
	"poise/internal/h1"
	"poise/internal/msg"
	"poise/internal/pool"
	"poise/internal/route"
)

// script is one exchange as a conversation: lines of events, each answered by a decision.
//
//	start                        ask Start
//	refused | timeout | reset    the attempt failed that way: connect refused, no answer in time, reset after sending
//	stale                        reset on a connection that had served others
//	partial                      the server closed within its answer's head
//	body                         the request's body began to stream
//	malformed 414                the client's head was refused by the codec
//	gone                         the client reset its connection
//	answer 200                   a response's head came
//	done | cut                   the exchange ends well, or breaks in the answer's body
//	wait 500ms                   time passes
func run(t *testing.T, servers int, request string, events ...string) []string {
	t.Helper()
	usual := route.Retry{Attempts: 4, Repeats: 1, Connect: true, Reset: true, Timeout: true}
	return runWith(t, servers, usual, pool.Budget{Share: 20, Floor: 3}, request, events...)
}

func runWith(t *testing.T, servers int, retry route.Retry, budget pool.Budget, request string, events ...string) []string {
	t.Helper()
	spec := pool.Spec{Name: "app", Policy: balance.RoundRobin(), Budget: budget}
	for i := range servers {
		spec.Servers = append(spec.Servers, pool.ServerSpec{Name: fmt.Sprintf("s%d", i+1), Address: fmt.Sprintf("10.0.0.%d:80", i+1), Weight: 1})
	}
	p := pool.New(1, spec)
	table, _, err := route.Build([]route.Listener{{Name: "web", Routes: []route.Spec{{Route: route.Route{Name: "app", Pool: p, Retry: retry}, Matches: []route.Match{{Path: "/app/*"}}}}}})
	if err != nil {
		t.Fatal(err)
	}
	var req msg.Request
	if _, err := h1.ParseRequest(&req, []byte(request), nil); err != nil {
		t.Fatalf("the script's request: %v", err)
	}
	x := &Exchange{}
	x.Begin(&Client{Addr: netip.MustParseAddrPort("192.0.2.1:999"), AddrText: []byte("192.0.2.1")}, &req, Times{Since: 1, FirstByte: 2, Head: 3})
	var out []string
	now := clock.Instant(10)
	for _, e := range events {
		now++
		word, arg, _ := strings.Cut(e, " ")
		f := &fault.Error{Side: fault.Server, Op: fault.ReadAnswer, Kind: fault.Reset}
		switch word {
		case "start":
			out = append(out, decision(x, x.Start(now, table)))
			continue
		case "body":
			x.BodyTouched()
			continue
		case "wait":
			d, err := time.ParseDuration(arg)
			if err != nil {
				t.Fatal(err)
			}
			now = now.Add(d)
			continue
		case "answer":
			var status int
			_, _ = fmt.Sscan(arg, &status)
			out = append(out, decision(x, x.Responded(now, &msg.Response{Status: status})))
			continue
		case "done":
			x.Done(now, nil)
		case "cut":
			f.Op = fault.ReadAnswerBody
			x.Done(now, f)
		case "refused":
			f.Op, f.Kind, f.Safe = fault.Connect, fault.Refused, true
		case "timeout":
			f.Kind = fault.Timeout
		case "partial":
			f.Kind = fault.Malformed
			x.AnswerBegun()
		case "malformed":
			f = &fault.Error{Side: fault.Client, Op: fault.ReadHead, Kind: fault.Malformed, Err: fmt.Errorf("bad")}
			_, _ = fmt.Sscan(arg, &f.Status)
		case "gone":
			f = &fault.Error{Side: fault.Client, Op: fault.ReadAnswer, Kind: fault.Cancelled}
		case "reset", "stale":
		default:
			t.Fatalf("no event is called %q", e)
		}
		if word == "done" || word == "cut" {
			end, _ := x.End()
			out = append(out, fmt.Sprintf("%d %s attempts=%d", x.Status, end[:2], x.Attempts))
			for _, s := range p.Servers() {
				if s.InFlight() != 0 {
					t.Errorf("%s has %d leases after the end", s.Name, s.InFlight())
				}
			}
			continue
		}
		out = append(out, decision(x, x.Failed(now, f, word == "stale")))
	}
	return out
}

func decision(x *Exchange, s Step) string {
	switch s.Kind {
	case Forward:
		d := "forward " + x.Server().Name
		if x.Fresh {
			d += " fresh"
		}
		if s.After > 0 {
			d += " later"
		}
		return d
	case Relay:
		return "relay"
	case Wait:
		return "wait"
	}
	if s.Reply.Silent {
		return fmt.Sprintf("silent %d", s.Reply.Status)
	}
	return fmt.Sprintf("reply %d", s.Reply.Status)
}

const (
	get  = "GET /app/x HTTP/1.1\r\nHost: a\r\n\r\n"
	put  = "PUT /app/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"
	post = "POST /app/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"
)

func TestExchangeScripts(t *testing.T) {
	for _, test := range []struct {
		name    string
		servers int
		request string
		events  string
		want    string
	}{
		{"plain", 2, get, "start, answer 200, done", "forward s1, relay, 200 -- attempts=1"},
		{"no route", 2, "GET /else HTTP/1.1\r\nHost: a\r\n\r\n", "start, done", "reply 404, 404 PR attempts=0"},
		{"no server", 0, get, "start, done", "reply 503, 503 SC attempts=0"},
		{"a refused connect tries another, any method", 2, post, "start, refused, answer 200, done", "forward s1, forward s2 fresh, relay, 200 -- attempts=2"},
		{"all refuse", 2, get, "start, refused, refused, done", "forward s1, forward s2 fresh, reply 503, 503 SC attempts=2"},
		{"at most four connects", 6, get, "start, refused, refused, refused, refused, done", "forward s1, forward s2 fresh, forward s3 fresh, forward s4 fresh, reply 503, 503 SC attempts=4"},
		{"RS9 a GET is sent twice", 3, get, "start, reset, answer 200, done", "forward s1, forward s2 fresh, relay, 200 -- attempts=2"},
		{"RS9 and not three times", 3, get, "start, reset, reset, done", "forward s1, forward s2 fresh, reply 502, 502 SH attempts=2"},
		{"RS9 a POST is not repeated", 3, post, "start, reset, done", "forward s1, reply 502, 502 SH attempts=1"},
		{"RS9 a whole body is sent again", 3, put, "start, reset, answer 201, done", "forward s1, forward s2 fresh, relay, 201 -- attempts=2"},
		{"RS9 a streamed body is not", 3, put, "start, body, reset, done", "forward s1, reply 502, 502 SH attempts=1"},
		{"RS9 nothing after a byte of the answer", 3, get, "start, partial, done", "forward s1, reply 502, 502 SH attempts=1"},
		{"a slow server is not asked twice", 3, get, "start, timeout, done", "forward s1, reply 504, 504 sH attempts=1"},
		{"RS10 a stale connection to the only server", 1, get, "start, stale, answer 200, done", "forward s1, forward s1 fresh, relay, 200 -- attempts=2"},
		{"a fresh one to the only server is not repeated", 1, get, "start, reset, done", "forward s1, reply 502, 502 SH attempts=1"},
		{"a head that was refused", 1, get, "malformed 414, done", "reply 414, 414 PR attempts=0"},
		{"the client leaves", 1, get, "start, gone, done", "forward s1, silent 499, 499 CH attempts=1"},
		{"an answer that breaks off", 1, get, "start, answer 200, cut", "forward s1, relay, 200 SD attempts=1"},
		{"HT2 a protected field as a Connection option", 1, "GET /app HTTP/1.1\r\nHost: a\r\nConnection: X-Forwarded-For\r\n\r\n", "start, done", "reply 400, 400 PR attempts=0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := strings.Join(run(t, test.servers, test.request, strings.Split(test.events, ", ")...), ", ")
			if got != test.want {
				t.Errorf("%s\n got %s\nwant %s", test.events, got, test.want)
			}
		})
	}
}

func TestRequestFields(t *testing.T) {
	trust := Trust{netip.MustParsePrefix("10.0.0.0/8")}
	for _, test := range []struct {
		name, from, fields, want string
	}{
		{"HT1 an untrusted client's claims are dropped", "192.0.2.1", "X-Forwarded-For: 1.1.1.1|X-Real-IP: 1.1.1.1|Forwarded: for=1.1.1.1|X-Client-Cert-Cn: admin|Accept: a", "Accept: a|X-Forwarded-For: 192.0.2.1|X-Forwarded-Proto: http|X-Forwarded-Host: a|X-Request-Id: "},
		{"HT1 a trusted proxy's are kept", "10.1.1.1", "X-Forwarded-For: 1.1.1.1|X-Forwarded-Proto: https|X-Request-Id: abc", "X-Forwarded-For: 1.1.1.1, 10.1.1.1|X-Forwarded-Proto: https|X-Forwarded-Host: a|X-Request-Id: abc"},
		{"HT3 underscores", "192.0.2.1", "X_Forwarded_Proto: https|A-B: 1", "A-B: 1|X-Forwarded-For: 192.0.2.1|X-Forwarded-Proto: http|X-Forwarded-Host: a|X-Request-Id: "},
		{"hop by hop", "192.0.2.1", "Connection: x-mine, keep-alive|X-Mine: 1|Keep-Alive: timeout=5|TE: trailers|Proxy-Authorization: x|Upgrade: h2c|HTTP2-Settings: x|B: 2", "B: 2|X-Forwarded-For: 192.0.2.1|X-Forwarded-Proto: http|X-Forwarded-Host: a|X-Request-Id: "},
	} {
		t.Run(test.name, func(t *testing.T) {
			var req msg.Request
			head := "GET / HTTP/1.1\r\nHost: a\r\n" + strings.ReplaceAll(test.fields, "|", "\r\n") + "\r\n\r\n"
			if _, err := h1.ParseRequest(&req, []byte(head), nil); err != nil {
				t.Fatal(err)
			}
			a := netip.AddrPortFrom(netip.MustParseAddr(test.from), 999)
			x := &Exchange{}
			x.Begin(&Client{Addr: a, AddrText: []byte(test.from), Trust: trust, Trusted: trust.Has(a.Addr())}, &req, Times{})
			x.identify()
			var got []string
			for _, f := range x.RequestFields(nil, false) {
				got = append(got, string(f.Name)+": "+string(f.Value))
			}
			if s := strings.Join(got, "|"); s != test.want {
				t.Errorf("RequestFields\n got %s\nwant %s", s, test.want)
			}
		})
	}
}

func TestHT1RightmostUntrusted(t *testing.T) {
	trust := Trust{netip.MustParsePrefix("10.0.0.0/8")}
	for _, test := range []struct{ peer, xff, want string }{
		{"192.0.2.1", "1.1.1.1", "192.0.2.1"},
		{"10.0.0.1", "1.1.1.1", "1.1.1.1"},
		{"10.0.0.1", "6.6.6.6, 1.1.1.1, 10.0.0.2", "1.1.1.1"},
		{"10.0.0.1", "6.6.6.6, junk, 10.0.0.2", "10.0.0.2"},
		{"10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"},
		{"10.0.0.1", "", "10.0.0.1"},
		{"10.0.0.1", "::ffff:1.1.1.1", "1.1.1.1"},
	} {
		req := msg.Request{Fields: msg.Fields{{Name: []byte("X-Forwarded-For"), Value: []byte(test.xff), ID: msg.XForwardedFor}}}
		a := netip.AddrPortFrom(netip.MustParseAddr(test.peer), 999)
		x := &Exchange{}
		x.Begin(&Client{Addr: a, Trust: trust, Trusted: trust.Has(a.Addr())}, &req, Times{})
		x.identify()
		if got := x.From.String(); got != test.want {
			t.Errorf("from %s with X-Forwarded-For %q: client = %s, want %s", test.peer, test.xff, got, test.want)
		}
	}
}
