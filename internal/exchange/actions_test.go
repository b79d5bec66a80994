package exchange

import (
	"net/netip"
	"strings"
	"testing"

	"poise/internal/balance"
	"poise/internal/h1"
	"poise/internal/limit"
	"poise/internal/msg"
	"poise/internal/pool"
	"poise/internal/route"
)

// acted is an exchange with a route that does this, and where it has come to.
func acted(t testing.TB, a *route.Actions, path, request string) (*Exchange, Step) {
	t.Helper()
	p := pool.New(1, pool.Spec{Name: "app", Policy: balance.RoundRobin(), Servers: []pool.ServerSpec{{Name: "s1", Address: "10.0.0.1:80", Weight: 1}}})
	table, _, err := route.Build([]route.Listener{{Name: "web", Routes: []route.Spec{{Route: route.Route{Name: "r", Pool: p, Actions: a}, Matches: []route.Match{{Path: path}}}}}})
	if err != nil {
		t.Fatal(err)
	}
	var req msg.Request
	if _, err := h1.ParseRequest(&req, []byte(request), nil); err != nil {
		t.Fatal(err)
	}
	x := &Exchange{}
	x.Begin(&Client{Addr: netip.MustParseAddrPort("192.0.2.1:999"), AddrText: []byte("192.0.2.1")}, &req, Times{Since: 1, FirstByte: 2, Head: 3})
	x.SetRequestID([36]byte([]byte("00000000-0000-7000-8000-000000000001")))
	return x, x.Start(10, table)
}

const usual = "GET /v1/x?q=1 HTTP/1.1\r\nHost: a.test\r\nOrigin: https://a.test\r\n\r\n"

// TestWhatIsAnsweredIsNotUnderWay: only what goes to servers counts among the pool's exchanges, and for as long as it lasts.
func TestWhatIsAnsweredIsNotUnderWay(t *testing.T) {
	nobody := route.NewAccess([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, nil)
	for name, a := range map[string]*route.Actions{
		"access":   {Access: nobody},
		"redirect": {Redirect: &route.Redirect{Status: 301, Scheme: "https"}},
		"reply":    {Reply: &route.Reply{Status: 200}},
	} {
		x, step := acted(t, a, "/v1/*", usual)
		if step.Kind != Answer || x.visits != nil {
			t.Errorf("%s: step %v, visits %v, want an answer and none", name, step.Kind, x.visits)
		}
		x.Done(11, nil)
	}
	x, step := acted(t, nil, "/v1/*", usual)
	if step.Kind != Forward || x.visits == nil {
		t.Errorf("a request without actions: step %v, visits %v, want it to be forwarded and one", step.Kind, x.visits)
	}
	if x.Done(11, nil); x.visits != nil {
		t.Error("an exchange that is done is still counted")
	}
}

// TestInFlightPlaceIsGivenBack: however an exchange ends.
func TestInFlightPlaceIsGivenBack(t *testing.T) {
	f := &route.InFlightLimit{LimitKey: route.LimitKey{By: route.ByRoute}, InFlight: limit.NewInFlight(1, 1)}
	a := &route.Actions{InFlight: f}
	x, step := acted(t, a, "/*", usual)
	if step.Kind != Forward {
		t.Fatalf("the first: step %v", step.Kind)
	}
	if y, step := acted(t, a, "/*", usual); step.Kind != Answer || step.Reply.Status != 429 {
		t.Errorf("the second: step %v", step)
	} else {
		y.Done(12, nil) // gives nothing back, since it has taken nothing
	}
	if _, step := acted(t, a, "/*", usual); step.Kind != Answer {
		t.Errorf("the third: step %v", step.Kind)
	}
	x.Done(13, nil)
	if _, step := acted(t, a, "/*", usual); step.Kind != Forward {
		t.Errorf("after the first has ended: step %v", step.Kind)
	}
}

// TestFill: a template's text where it goes.
func TestFill(t *testing.T) {
	part := func(f route.Fact, text string) route.Part { return route.Part{Fact: f, Text: text} }
	all := route.Template{
		part(route.Literal, "<"), part(route.Scheme, ""), part(route.Host, ""), part(route.Path, ""), part(route.PathRest, ""), part(route.Query, ""),
		part(route.Method, ""), part(route.ClientIP, ""), part(route.RequestID, ""), part(route.ServerName, ""), part(route.Subject, ""),
		part(route.Header, "x-a"), part(route.Cookie, "c"), part(route.QueryValue, "q"), part(route.Literal, ">"),
	}
	x, _ := acted(t, nil, "/v1/*", "GET /v1/a%2fb?q=%2e%zz&r HTTP/1.1\r\nHost: A.test:80\r\nX-A: a b\tc\xff\r\nCookie: c=1/2\r\n\r\n")
	if got, want := string(x.fill(nil, &all, inHeader)), "<httpa.test/v1/a%2fb/a%2fbq=%2e%zz&rGET192.0.2.1"+
		"00000000-0000-7000-8000-000000000001a b\tc\xff1/2%2e%zz>"; got != want {
		t.Errorf("fill in a field = %q, want %q", got, want)
	}
	if got, want := string(x.fill(nil, &all, inURL)), "<httpa.test/v1/a%2fb/a%2fbq=%2e%zz&rGET192.0.2.1"+
		"00000000-0000-7000-8000-000000000001a%20b%09c%FF1%2F2.%25zz>"; got != want {
		t.Errorf("fill in a URL = %q, want %q", got, want)
	}
}

// FuzzFill (RS8): whatever a client's bytes are, they cannot begin another field, nor end a path.
func FuzzFill(f *testing.F) {
	f.Add("a\r\nX: 1")
	f.Add("../%2e%2e/\\?#\x00\x7f")
	t := route.Template{{Fact: route.ServerName}}
	f.Fuzz(func(test *testing.T, value string) {
		x := &Exchange{Client: &Client{ServerName: value}, Req: &msg.Request{}}
		if got := string(x.fill(nil, &t, inHeader)); strings.ContainsAny(got, "\r\n\x00\x7f") {
			test.Errorf("in a field %q is %q", value, got)
		}
		if got := string(x.fill(nil, &t, inURL)); strings.ContainsAny(got, " /?#\\\"<>\r\n\t\x00\x7f") {
			test.Errorf("in a URL %q is %q", value, got)
		}
	})
}

// TestIsNormal: what would be read in two ways is not asked for.
func TestIsNormal(t *testing.T) {
	for path, want := range map[string]bool{
		"/": true, "/a/b": true, "/a//b": true, "/a/...": true, "/a/.b": true, "/..a/x": true,
		"": false, "a": false, "//": false, "//a": false, "/.": false, "/..": false, "/a/./b": false, "/a/..": false, "/a/../b": false, "/../": false,
	} {
		if got := isNormal([]byte(path)); got != want {
			t.Errorf("isNormal(%q) = %v, want %v", path, got, want)
		}
	}
}

// TestActionsDoNotAllocate: what a route does beside its pool costs no memory, but for an answer of its own.
func TestActionsDoNotAllocate(t *testing.T) {
	a := &route.Actions{
		Access:   route.NewAccess([]netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, nil),
		Rate:     &route.RateLimit{Rate: limit.NewRate(1000, 1e9, 100000, 100), Policy: []byte("x")},
		InFlight: &route.InFlightLimit{InFlight: limit.NewInFlight(100, 100)},
		CORS:     &route.CORS{Origins: []string{"https://*.b.test", "https://a.test"}},
		Rewrite:  &route.Rewrite{Path: route.Replace{Prefix: "/new"}},
		Request:  &route.Edits{Remove: []string{"x-a"}, Set: []route.Edit{route.NewEdit("X-B", &route.Template{{Fact: route.ClientIP}, {Fact: route.Header, Text: "origin"}})}},
		Response: &route.Edits{Add: []route.Edit{route.NewEdit("X-C", &route.Template{{Fact: route.Path}})}},
	}
	p := pool.New(1, pool.Spec{Name: "app", Policy: balance.RoundRobin(), Servers: []pool.ServerSpec{{Name: "s1", Address: "10.0.0.1:80", Weight: 1}}})
	table, _, err := route.Build([]route.Listener{{Name: "web", Routes: []route.Spec{{Route: route.Route{Name: "r", Pool: p, Actions: a}, Matches: []route.Match{{Path: "/v1/*"}}}}}})
	if err != nil {
		t.Fatal(err)
	}
	var req msg.Request
	if _, err := h1.ParseRequest(&req, []byte(usual), nil); err != nil {
		t.Fatal(err)
	}
	client := &Client{Addr: netip.MustParseAddrPort("192.0.2.1:999"), AddrText: []byte("192.0.2.1")}
	x, resp := &Exchange{}, &msg.Response{Status: 200}
	var fields msg.Fields
	once := func() {
		x.Begin(client, &req, Times{Since: 1, FirstByte: 2, Head: 3})
		if step := x.Start(10, table); step.Kind != Forward {
			t.Fatalf("step %+v", step)
		}
		fields = x.RequestFields(fields[:0], false)
		x.Responded(11, resp)
		fields = x.ResponseFields(fields[:0], resp, false)
		x.Done(12, nil)
	}
	if n := testing.AllocsPerRun(100, once); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
	if string(x.Path()) != "/new/x" || len(fields) < 5 {
		t.Errorf("path %s, fields %v", x.Path(), fields)
	}
}
