package probe

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"poise/internal/health"
	"poise/internal/pool"
)

// once returns the first result about the server at address, and stops.
func once(t *testing.T, s Settings, address string) health.Result {
	t.Helper()
	results := make(chan health.Result, 100)
	p, err := New(s, func(_ *pool.Server, r health.Result) { results <- r })
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	p.Set([]*pool.Server{{Pool: "app", Name: "s", Address: address}})
	return <-results
}

// patient is long enough for a machine that does much else.
var patient = health.Settings{Timeout: 20 * time.Second, Interval: time.Hour}

func addressOf(s *httptest.Server) string { return s.Listener.Addr().String() }

func TestHTTPStatus(t *testing.T) {
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		code, _ := strconv.Atoi(r.URL.Path[1:])
		w.Header().Set("Location", "/200")
		w.WriteHeader(code)
	}))
	defer server.Close()
	for _, test := range []struct {
		path   string
		status []Status
		want   string // the reason; empty: passes
	}{
		{"/200", nil, ""},
		{"/204", nil, ""},
		{"302", nil, ""}, // not followed: it passes as it is
		{"/399", nil, ""},
		{"/404", nil, "status 404"},
		{"/503", nil, "status 503"},
		{"/302", []Status{{200, 299}}, "status 302"},
		{"/404", []Status{{200, 200}, {400, 404}}, ""},
		{"/405", []Status{{200, 200}, {400, 404}}, "status 405"},
	} {
		t.Run(test.path, func(t *testing.T) {
			asked = 0
			got := once(t, Settings{Health: patient, HTTP: &HTTP{Path: test.path, Status: test.status}}, addressOf(server))
			if got.Reason != test.want || got.OK != (test.want == "") || asked != 1 {
				t.Errorf("result of %s, asked = %+v, %d, want %q, 1", test.path, got, asked, test.want)
			}
		})
	}
}

func TestHTTPRequest(t *testing.T) {
	type seen struct {
		Method, Target, Host, Agent, Connection string
		X                                       []string
	}
	var got seen
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got = seen{r.Method, r.RequestURI, r.Host, r.UserAgent(), r.Header.Get("Connection"), r.Header.Values("X-Probe")}
	}))
	defer server.Close()
	address := addressOf(server)
	for _, test := range []struct {
		name string
		http HTTP
		want seen
	}{
		{"defaults", HTTP{}, seen{"GET", "/", address, "poise-probe", "close", nil}},
		{
			"everything",
			HTTP{Method: "HEAD", Path: "/healthz?full=1", Host: "app.example.com", Fields: []Field{
				{"X-Probe", "1"}, {"X-Probe", "2"}, {"user-agent", "mine"},
			}},
			seen{"HEAD", "/healthz?full=1", "app.example.com", "mine", "close", []string{"1", "2"}},
		},
		{"host as a field", HTTP{Fields: []Field{{"host", "b.example.com"}}}, seen{"GET", "/", "b.example.com", "poise-probe", "close", nil}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if r := once(t, Settings{Health: patient, HTTP: &test.http}, address); !r.OK {
				t.Fatalf("result = %+v, want OK", r)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("request differs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestBadHTTPSettings(t *testing.T) {
	for _, h := range []HTTP{{Method: "GET /"}, {Path: "/a b\x7f"}} {
		if _, err := New(Settings{HTTP: &h}, nil); err == nil {
			t.Errorf("New(%+v) = nil error, want one", h)
		}
	}
}

// answering serves one connection after the other with f.
func answering(t *testing.T, f func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-done })
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f(c)
			c.Close()
		}
	}()
	return l.Addr().String()
}

func reply(text string) func(net.Conn) {
	return func(c net.Conn) {
		c.Read(make([]byte, 4096))
		io.WriteString(c, text)
	}
}

func TestHTTPBrokenServers(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused := closed.Addr().String()
	closed.Close()
	for _, test := range []struct {
		name, address string
		want          string // within the reason; empty: passes
	}{
		{"refuses", refused, "connection refused"},
		{"closes", answering(t, func(c net.Conn) { c.Read(make([]byte, 4096)) }), "closed before the response"},
		{"no HTTP", answering(t, reply("SSH-2.0-OpenSSH\r\n\r\n")), "malformed HTTP"},
		{"head without end", answering(t, endless("HTTP/1.1 200 OK\r\nX: ")), "header"},
		{"body without end", answering(t, endless("HTTP/1.1 200 OK\r\n\r\n")), ""},
		{"body cut short", answering(t, reply("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")), ""},
		{"switches", answering(t, reply("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")), "status 101"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := once(t, Settings{Health: patient, HTTP: &HTTP{}}, test.address)
			if got.OK != (test.want == "") || !strings.Contains(got.Reason, test.want) {
				t.Errorf("result = %+v, want reason %q", got, test.want)
			}
			if got.Duration >= patient.Timeout {
				t.Errorf("took %v, want less than the timeout", got.Duration)
			}
			if strings.Contains(got.Reason, test.address) {
				t.Errorf("reason %q holds the address", got.Reason)
			}
		})
	}
}

func TestHTTPBody(t *testing.T) {
	padded := "HTTP/1.1 200 OK\r\n\r\n" + strings.Repeat("x", maxBody-2)
	for _, test := range []struct {
		name, answer, body string
		want               string // the reason; empty: passes
	}{
		{"there", "HTTP/1.1 200 OK\r\n\r\nall is ok.", "is ok", ""},
		{"not there", "HTTP/1.1 200 OK\r\n\r\nall is lost.", "ok", `body without "ok"`},
		{"no body", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "ok", `body without "ok"`},
		{"in chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n", "ok", ""},
		{"the status goes first", "HTTP/1.1 503 No\r\n\r\nok", "ok", "status 503"},
		{"at the end of what is read", padded + "ok", "ok", ""},
		{"behind what is read", padded + " ok", "ok", `body without "ok"`},
		{"before a break", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nok", "ok", ""},
		{"a break before", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\no", "ok", "closed before the response"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := once(t, Settings{Health: patient, HTTP: &HTTP{Body: test.body}}, answering(t, reply(test.answer)))
			if got.OK != (test.want == "") || got.Reason != test.want {
				t.Errorf("result = %+v, want reason %q", got, test.want)
			}
		})
	}
}

// TestReasonsAreShort: a server that sends much where a status is expected does not fill the log.
func TestReasonsAreShort(t *testing.T) {
	got := once(t, Settings{Health: patient, HTTP: &HTTP{}}, answering(t, reply(strings.Repeat("ö", 10000)+"\r\n\r\n")))
	if got.OK || len(got.Reason) > maxReason+3 || !utf8.ValidString(got.Reason) || !strings.Contains(got.Reason, "malformed HTTP") {
		t.Errorf("reason = %q, of %d bytes", got.Reason, len(got.Reason))
	}
}

// endless sends head and then bytes until the other side has had enough.
func endless(head string) func(net.Conn) {
	return func(c net.Conn) {
		reply(head)(c)
		for _, err := io.WriteString(c, "a"); err == nil; {
			_, err = io.WriteString(c, strings.Repeat("a", 4096))
		}
	}
}

// TestHangingFirstProbeReports: a server that takes the connection and says nothing is reported within the timeout, as
// a probe without an answer.
func TestHangingFirstProbeReports(t *testing.T) {
	address := answering(t, func(c net.Conn) { io.Copy(io.Discard, c) })
	s := Settings{Health: health.Settings{Timeout: 50 * time.Millisecond, Interval: time.Hour}, HTTP: &HTTP{}}
	got := once(t, s, address)
	if got.OK || got.Duration < 50*time.Millisecond || got.Reason != "no answer within 50ms" {
		t.Errorf("result = %+v, want no answer within 50ms", got)
	}
}

func TestTCP(t *testing.T) {
	up := answering(t, func(net.Conn) {})
	down, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	down.Close()
	if got := once(t, Settings{Health: patient}, up); !got.OK {
		t.Errorf("result of a listening server = %+v, want OK", got)
	}
	if got := once(t, Settings{Health: patient}, down.Addr().String()); got.OK || got.Reason != "connection refused" {
		t.Errorf("result of a closed port = %+v, want connection refused", got)
	}
	// The same with another port for the probes.
	_, port, _ := net.SplitHostPort(up)
	n, _ := strconv.Atoi(port)
	if got := once(t, Settings{Health: patient, Port: n}, down.Addr().String()); !got.OK {
		t.Errorf("result with the other port = %+v, want OK", got)
	}
}

func TestTCPSendAndExpect(t *testing.T) {
	for _, test := range []struct {
		name, answer string
		tcp          TCP
		want         string // the reason; empty: passes
	}{
		{"what is expected", "-LOADING +PONG\r\n", TCP{Send: "PING\r\n", Expect: "+PONG"}, ""},
		{"something else", "-LOADING\r\n", TCP{Send: "PING\r\n", Expect: "+PONG"}, `answer without "+PONG"`},
		{"nothing", "", TCP{Send: "PING\r\n", Expect: "+PONG"}, `answer without "+PONG"`},
		{"at the end of what is read", strings.Repeat("x", maxReply-5) + "+PONG", TCP{Send: "PING\r\n", Expect: "+PONG"}, ""},
		{"behind what is read", strings.Repeat("x", maxReply-4) + "+PONG", TCP{Send: "PING\r\n", Expect: "+PONG"}, `answer without "+PONG"`},
		{"only sent", "anything", TCP{Send: "PING\r\n"}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			sent := make(chan string, 1)
			address := answering(t, func(c net.Conn) {
				b := make([]byte, len(test.tcp.Send))
				_, _ = io.ReadFull(c, b)
				sent <- string(b)
				io.WriteString(c, test.answer)
			})
			got := once(t, Settings{Health: patient, TCP: test.tcp}, address)
			if got.OK != (test.want == "") || got.Reason != test.want {
				t.Errorf("result = %+v, want reason %q", got, test.want)
			}
			if s := <-sent; s != test.tcp.Send {
				t.Errorf("sent %q, want %q", s, test.tcp.Send)
			}
		})
	}
}

// TestTCPBanner: what is expected comes first, and then nothing more.
func TestTCPBanner(t *testing.T) {
	address := answering(t, func(c net.Conn) {
		io.WriteString(c, "220 mail")
		silent(c)
	})
	if got := once(t, Settings{Health: patient, TCP: TCP{Expect: "20 mail"}}, address); !got.OK {
		t.Errorf("result = %+v, want OK", got)
	}
	if got := once(t, Settings{Health: patient, TCP: TCP{Send: "a", Expect: "b"}}, answering(t, endless(""))); got.OK || got.Duration >= patient.Timeout {
		t.Errorf("result of a server without end = %+v, want a failure at once", got)
	}
}

// TestContainsOverPieces: a text that comes in several pieces is one.
func TestContainsOverPieces(t *testing.T) {
	for text, want := range map[string]bool{"aab": true, "b": true, "aba": false, "aabc": false} {
		if got, err := contains(iotest.OneByteReader(strings.NewReader("aaab")), text, 4); got != want || err != nil {
			t.Errorf("contains(%q) = %v, %v, want %v", text, got, err, want)
		}
	}
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	host := ""
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		host = r.Host
	})}}
	server.Start()
	for _, h := range []*HTTP{nil, {}} {
		if got := once(t, Settings{Health: patient, HTTP: h, Port: 1}, "unix:"+path); !got.OK {
			t.Errorf("result over a Unix socket = %+v, want OK", got)
		}
	}
	if host != "localhost" {
		t.Errorf("host = %q, want localhost", host)
	}
	server.Close()
	if got := once(t, Settings{Health: patient}, "unix:"+path); got.OK {
		t.Errorf("result without the socket = %+v, want a failure", got)
	}
}

func TestProbedAddress(t *testing.T) {
	for _, test := range []struct {
		address string
		port    int
		want    string
	}{
		{"10.0.0.1:80", 0, "10.0.0.1:80"},
		{"10.0.0.1:80", 81, "10.0.0.1:81"},
		{"[2001:db8::1]:80", 81, "[2001:db8::1]:81"},
		{"unix:/run/s:1", 81, "unix:/run/s:1"},
	} {
		if got := probed(test.address, test.port); got != test.want {
			t.Errorf("probed(%q, %d) = %q, want %q", test.address, test.port, got, test.want)
		}
	}
}

func TestCheckLeavesNothingOpen(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	open := map[net.Conn]bool{}
	changed := make(chan struct{}, 10)
	server.Config.ConnState = func(c net.Conn, s http.ConnState) { // called under no lock of ours, one connection at a time here
		open[c] = s != http.StateClosed
		if s == http.StateClosed {
			changed <- struct{}{}
		}
	}
	server.Start()
	defer server.Close()
	c, err := newCheckHTTP(&HTTP{})
	if err != nil {
		t.Fatal(err)
	}
	if err := c(context.Background(), target{address: addressOf(server)}); err != nil {
		t.Fatal(err)
	}
	<-changed
	for conn, is := range open {
		if is {
			t.Errorf("connection from %v is still open", conn.RemoteAddr())
		}
	}
}
