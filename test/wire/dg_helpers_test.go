package wire

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http2"

	"poise/internal/testkit"
)

// malformed2 is a request of HTTP/2 that must be refused.
type malformed2 struct {
	name   string
	fields []string
	// send sends it, where it is more than a head.
	send func(f *testkit.Frames, id uint32)
	// status of the answer; 0: there is none, but a reset with PROTOCOL_ERROR, and the log has 400.
	status int
	// end and reason are what the record must have; of an empty end PR--, of an empty reason any text.
	end, reason string
}

// ask2 are the fields of a GET with others behind.
func ask2(more ...string) []string {
	return append([]string{":method", "GET", ":scheme", "http", ":authority", "example.test", ":path", "/smuggled"}, more...)
}

// post2 is the same of a POST.
func post2(more ...string) []string { return changed(ask2(more...), ":method", "POST") }

// changed are fields with another value for one of them.
func changed(fields []string, name, value string) []string {
	for i := 0; i < len(fields); i += 2 {
		if fields[i] == name {
			fields[i+1] = value
		}
	}
	return fields
}

// lacking are fields less one of them.
func lacking(fields []string, name string) []string {
	for i := 0; i < len(fields); i += 2 {
		if fields[i] == name {
			return slices.Delete(fields, i, i+2)
		}
	}
	return fields
}

// front2 is Poise with two listeners: before a server of HTTP/1.1, and one of HTTP/2. What is asked for below /neighbour goes to another server.
type front2 struct {
	p     *testkit.Poise
	addrs [2]string // before the server of HTTP/1.1, and of HTTP/2
	one   *testkit.Server
	two   *testkit.FramesServer
}

func startFront2(t *testing.T, s testkit.Setup, more ...string) *front2 {
	t.Helper()
	f := &front2{}
	f.one = testkit.Serve(t, testkit.Answer(testkit.OK))
	f.two = testkit.ServeFrames(t, testkit.Answers(testkit.OKFrames))
	other := serveReader(t, ok)
	f.p = testkit.Start(t, s, fmt.Sprintf(`
listeners:
  - name: one
    address: 127.0.0.1:0
    pool: one
    routes: [{ match: { path: /neighbour }, pool: other }]
  - name: two
    address: 127.0.0.1:0
    pool: two
    routes: [{ match: { path: /neighbour }, pool: other }]
pools:
  one: { servers: [%s], eject: { enabled: false } }
  two: { servers: [%s], http_version: 2, eject: { enabled: false } }
  other: { servers: [%s] }
`, f.one.Addr, f.two.Addr, other.Addr)+strings.Join(more, "\n"))
	for i := range f.addrs {
		f.addrs[i] = f.p.App.Status().Listeners[i].Addresses[0]
	}
	return f
}

// untouched wants that nothing has reached the servers but so many requests of each.
func (f *front2) untouched(t *testing.T, each int) {
	t.Helper()
	if got, n := f.one.Got(), strings.Count(f.one.Got(), " HTTP/1.1\r\n"); n != each || strings.Contains(got, "smuggled") {
		t.Errorf("the server of HTTP/1.1 got %q, want %d requests, and nothing of those that were refused", got, each)
	}
	if got := f.two.Asked(); len(got) != each || strings.Contains(fmt.Sprint(got), "smuggled") {
		t.Errorf("the server of HTTP/2 was asked for %q, want %d requests, and nothing of those that were refused", got, each)
	}
}

// neighbour2 begins a request beside others, and returns what ends it and looks at its answer.
func neighbour2(t *testing.T, f *testkit.Frames, id uint32) (end func()) {
	t.Helper()
	f.Head(id, false, changed(post2(), ":path", "/neighbour")...)
	f.Data(id, false, "one ")
	return func() {
		t.Helper()
		f.Data(id, true, "two")
		wantHeard(t, "a neighbour's request", f.Await(id), 200, "ok")
	}
}

func wantHeard(t *testing.T, what string, h *testkit.Heard, status int, body string) {
	t.Helper()
	if h.Status() != status || h.Body != body || !h.Ended || h.Reset {
		t.Errorf("%s: %+v, want %d %q", what, h, status, body)
	}
}

// wantReset wants no answer, but RST_STREAM.
func wantReset(t *testing.T, what string, h *testkit.Heard, code http2.ErrCode) {
	t.Helper()
	if len(h.Heads) > 0 || h.Body != "" || h.Ended || !h.Reset || h.Code != code {
		t.Errorf("%s: %+v, want nothing but a reset, %v", what, h, code)
	}
}

// perConnection is how many such requests one connection sends: more would use up its budget.
const perConnection = 15

// refuse2 sends each request beside another of the same connection, which is served. It is refused, nothing of it reaches a server, and a record says why.
func refuse2(t *testing.T, attacks []malformed2) {
	t.Helper()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		front := startFront2(t, s)
		log, n := refusals{}, 0
		for i, addr := range front.addrs {
			for some := range slices.Chunk(attacks, perConnection) {
				f := testkit.DialFrames(t, addr)
				for k, a := range some {
					t.Run(fmt.Sprintf("%s, to HTTP/%d", a.name, i+1), func(t *testing.T) { refused2(t, f, uint32(4*k+1), &a) })
				}
				client := f.LocalAddr().String()
				log[client] = append(log[client], some...)
				n += 2 * len(some)
			}
		}
		front.untouched(t, 0)
		log.check(t, front.p, n)
	})
}

// refused2 sends a, and a neighbour's request around it.
func refused2(t *testing.T, f *testkit.Frames, id uint32, a *malformed2) {
	t.Helper()
	end := neighbour2(t, f, id)
	if a.send == nil {
		f.Head(id+2, true, a.fields...)
	} else {
		a.send(f, id+2)
	}
	if h := f.Await(id + 2); a.status == 0 {
		wantReset(t, "the answer", h, http2.ErrCodeProtocol)
	} else if h.Status() != a.status || !h.Ended {
		t.Errorf("the answer: %+v, want %d", h, a.status)
	}
	end()
}

// refusals are what records there must be, by clients' addresses, of which one may be used again.
type refusals map[string][]malformed2

// check wants n records: of each connection those of what was refused, in order, and as many of neighbours that were served.
func (l refusals) check(t *testing.T, p *testkit.Poise, n int) {
	t.Helper()
	refused := map[string][]testkit.Record{}
	served := 0
	for _, line := range p.Records(t, n) {
		if r := testkit.ParseRecord(t, line); r.Path == "/neighbour" && r.Status == 200 {
			served++
		} else {
			refused[r.Client] = append(refused[r.Client], r)
		}
	}
	if served != n/2 {
		t.Errorf("%d records of neighbours that were served, want %d", served, n/2)
	}
	for client, attacks := range l {
		if len(refused[client]) != len(attacks) {
			t.Errorf("records %+v, want %d", refused[client], len(attacks))
			continue
		}
		for i, r := range refused[client] {
			attacks[i].wantRecord(t, &r)
		}
	}
}

func (a *malformed2) wantRecord(t *testing.T, r *testkit.Record) {
	t.Helper()
	status, end := 400, "PR--"
	if a.status != 0 {
		status = a.status
	}
	if a.end != "" {
		end = a.end
	}
	if r.Status != status || r.End != end || r.Reason == "" || !strings.Contains(r.Reason, a.reason) {
		t.Errorf("%s: record %d %s %q, want %d %s %q", a.name, r.Status, r.End, r.Reason, status, end, a.reason)
	}
}

// replaced are fields with another name for one of them.
func replaced(fields []string, name, other string) []string {
	for i := 0; i < len(fields); i += 2 {
		if fields[i] == name {
			fields[i] = other
		}
	}
	return fields
}
