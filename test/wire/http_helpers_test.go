package wire

import (
	"bufio"
	"io"
	"strings"
	"testing"

	"poise/internal/testkit"
)

type scripts = map[string]testkit.Script

// before starts a server that follows the scripts, and Poise before it, with further settings.
func before(t *testing.T, s testkit.Setup, m scripts, settings ...string) (*testkit.Poise, *testkit.Server) {
	t.Helper()
	server := testkit.Serve(t, testkit.Paths(m))
	return beforeServers(t, s, []*testkit.Server{server}, settings...), server
}

// beforeServers starts Poise before servers. They are not ejected, however often they fail.
func beforeServers(t *testing.T, s testkit.Setup, servers []*testkit.Server, settings ...string) *testkit.Poise {
	t.Helper()
	var list []string
	for _, server := range servers {
		list = append(list, server.Addr)
	}
	return testkit.Start(t, s, "listen: 127.0.0.1:0\nservers: ["+strings.Join(list, ", ")+"]\neject: { enabled: false }\n"+strings.Join(settings, "\n")+"\n")
}

// getOf is a GET as it is sent.
func getOf(path string, fields ...string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: example.test\r\n" + lines(fields) + "\r\n"
}

func lines(fields []string) string {
	var b strings.Builder
	for _, f := range fields {
		b.WriteString(f + "\r\n")
	}
	return b.String()
}

// wantResponse compares what every test looks at.
func wantResponse(t *testing.T, what string, r *testkit.Response, status int, body string) {
	t.Helper()
	if r.StatusCode != status || r.Body != body || r.Err != nil {
		t.Errorf("%s = %d %q (%v), want %d %q", what, r.StatusCode, r.Body, r.Err, status, body)
	}
}

// saysClose tells whether the client hears that its connection ends. Over HTTP/2 it is the stream that does, and nothing says so ahead.
func saysClose(s testkit.Setup, r *testkit.Response) bool { return r.Close || s.HTTP2 }

// wantClosed wants nothing more and a clean end.
func wantClosed(t *testing.T, c *testkit.Client) {
	t.Helper()
	if rest, clean := c.Closed(); rest != "" || !clean {
		t.Errorf("after the response came %q, cleanly closed %v, want nothing, true", rest, clean)
	}
}

// wantOpen wants a connection on which a further request is answered.
func wantOpen(t *testing.T, c *testkit.Client) {
	t.Helper()
	wantResponse(t, "the next request", c.Get("/next"), 200, "ok")
}

// readerOf reads a head again that was read, and goes on with what follows it.
func readerOf(p *testkit.Peer, head string) *bufio.Reader {
	return bufio.NewReader(io.MultiReader(strings.NewReader(head), p.R))
}
