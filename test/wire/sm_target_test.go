package wire

import (
	"strings"
	"testing"

	"poise/internal/testkit"
)

func TestSM21Host(t *testing.T) {
	t.Parallel()
	attacks := []attack{
		{"missing", "GET / HTTP/1.1\r\n\r\n", 0},
		{"missing, other fields there", "GET / HTTP/1.1\r\nHosts: a\r\nX-Host: a\r\n\r\n", 0},
		{"missing in absolute form", "GET http://example.test/ HTTP/1.1\r\n\r\n", 0},
		{"empty in absolute form", "GET http://example.test/ HTTP/1.1\r\nHost:\r\n\r\n", 0},
		{"wrong in absolute form", "GET http://example.test/ HTTP/1.1\r\nHost: a b\r\n\r\n", 0},
		{"twice, different", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 0},
		{"twice, equal", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 0},
		{"twice, the first empty", "GET / HTTP/1.1\r\nHost:\r\nHost: a\r\n\r\n", 0},
		{"twice, far apart, other case", "GET / HTTP/1.1\r\nHOST: a\r\nA: b\r\nhost: a\r\n\r\n", 0},
		{"twice in HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 0},
	}
	for _, v := range []string{
		"", " ", "a,b", "a, b", "a b", "u@a", "u:p@a", "@a", "a@", "a/b", "/a", "a?b", "a#b", "a:x", "a:80x", "a:99999", "a:65536", "a:-1", "a:+80", "a:", "a: 80", "a :80",
		"a:80:80", ":80", ":", "[::1", "::1", "::1]", "[::1]x", "[::1]:x", "[::1]:", "[]", "[::g]", "[1.2.3.4]", "[fe80::1%25eth0]", "[fe80::1%eth0]", "[v1.a]", "[::1].a", "a[::1]",
		"[::1][::1]", "exämple", "a\xff", "a%2eb", "%61", "a..b", ".a", ".", "..", `a\b`, `"a"`, "<a>", "a;b", "a|b", "a=b", "http://a", "http:a", "(a)", "a\tb", "*", "a'b", "a$",
		strings.Repeat("a.", 130),
	} {
		name := v
		if len(v) > 20 {
			name = "too long"
		}
		attacks = append(attacks, attack{name, "GET / HTTP/1.1\r\nHost: " + v + "\r\n\r\n", 0})
	}
	refuse(t, attacks)
}

// accept is a request that is forwarded, and how the server must get it.
type accept struct {
	name, send string
	line, host string
}

// forwardedAs sends rows over the setups that marks leave.
func forwardedAs(t *testing.T, rows []accept, marks ...func(s testkit.Setup, t testing.TB)) {
	t.Helper()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		for _, mark := range marks {
			mark(s, t)
		}
		server := serveReader(t, ok)
		p := short(t, s, server.Server)
		for i, row := range rows {
			t.Run(row.name, func(t *testing.T) {
				c := testkit.Dial(t, p.Addr)
				c.Send(row.send)
				method, _, _ := strings.Cut(row.line, " ")
				if r := c.Read(method); r.StatusCode != 200 {
					t.Fatalf("status %d, want 200", r.StatusCode)
				}
				f := server.requests(t, i+1)[i]
				if host := f.all("Host"); f.line != row.line || host[0] != row.host {
					t.Errorf("the server got %q, Host %q, want %q, %q", f.line, host, row.line, row.host)
				}
				if from := f.all("X-Forwarded-Host"); len(from) != 1 || from[0] != row.host {
					t.Errorf("X-Forwarded-Host %q, want %q", from, row.host)
				}
			})
		}
		if n := len(readLog(t, p, len(rows))); n != len(rows) {
			t.Errorf("%d records, want %d", n, len(rows))
		}
	})
}

func TestSM21HostsThatAreRight(t *testing.T) {
	t.Parallel()
	const line = "GET / HTTP/1.1"
	var rows []accept
	for sent, want := range map[string]string{
		"a": "a", "EXAMPLE.Test": "example.test", "example.test.": "example.test.", "a:80": "a:80", "a:0": "a:0", "a:65535": "a:65535", "127.0.0.1": "127.0.0.1",
		"0177.0.0.1": "0177.0.0.1", "[::1]": "[::1]", "[2001:DB8::1]:8080": "[2001:db8::1]:8080", "[::ffff:1.2.3.4]": "[::ffff:1.2.3.4]", "xn--exmple-cua.test": "xn--exmple-cua.test",
		"a_b.test": "a_b.test", "a-b": "a-b", "\ta \t": "a",
	} {
		rows = append(rows, accept{sent, line + "\r\nHost: " + sent + "\r\n\r\n", line, want})
	}
	forwardedAs(t, rows)
}

func TestSM22AbsoluteFormWins(t *testing.T) {
	t.Parallel()
	forwardedAs(t, []accept{
		{"another host", "GET http://one.test/x?y HTTP/1.1\r\nHost: two.test\r\n\r\n", "GET /x?y HTTP/1.1", "one.test"},
		{"another port", "GET http://one.test:81/ HTTP/1.1\r\nHost: one.test\r\n\r\n", "GET / HTTP/1.1", "one.test:81"},
		{"the same", "GET http://one.test/ HTTP/1.1\r\nHost: one.test\r\n\r\n", "GET / HTTP/1.1", "one.test"},
		{"other case", "GET HTTP://ONE.test/ HTTP/1.1\r\nHost: two.test\r\n\r\n", "GET / HTTP/1.1", "one.test"},
		{"https", "GET https://one.test/x HTTP/1.1\r\nHost: two.test\r\n\r\n", "GET /x HTTP/1.1", "one.test"},
		{"no path", "GET http://one.test HTTP/1.1\r\nHost: two.test\r\n\r\n", "GET / HTTP/1.1", "one.test"},
		{"query without path", "GET http://one.test?x HTTP/1.1\r\nHost: two.test\r\n\r\n", "GET /?x HTTP/1.1", "one.test"},
		{"HTTP/1.0 without Host", "GET http://one.test/x HTTP/1.0\r\n\r\n", "GET /x HTTP/1.1", "one.test"},
		{"OPTIONS of the whole server", "OPTIONS http://one.test HTTP/1.1\r\nHost: two.test\r\n\r\n", "OPTIONS * HTTP/1.1", "one.test"},
		{"an address", "GET http://[::1]:80/ HTTP/1.1\r\nHost: two.test\r\n\r\n", "GET / HTTP/1.1", "[::1]:80"},
	}, testkit.Setup.ClientHTTP1)
}

// The route is found by the same host that is forwarded.
func TestSM22RoutesByTheTarget(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		s.ClientHTTP1(t) // absolute form
		one := testkit.Serve(t, testkit.Answer("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none"))
		two := testkit.Serve(t, testkit.Answer("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo"))
		p := testkit.Start(t, s, `
listeners:
  - address: 127.0.0.1:0
    pool: two
    routes: [{ match: { host: one.test }, pool: one }]
pools:
  one: { servers: [`+one.Addr+`] }
  two: { servers: [`+two.Addr+`] }
`)
		c := testkit.Dial(t, p.Addr)
		for _, row := range []struct{ target, host, want string }{
			{"http://one.test/", "two.test", "one"},
			{"http://two.test/", "one.test", "two"},
			{"http://ONE.TEST.:8080/", "two.test", "one"},
			{"/", "One.Test.", "one"},
			{"/", "one.test:99", "one"},
			{"/", "one.test.evil", "two"},
		} {
			c.Send("GET " + row.target + " HTTP/1.1\r\nHost: " + row.host + "\r\n\r\n")
			if r := c.Read("GET"); r.Body != row.want {
				t.Errorf("GET %s with Host %s went to %s, want %s", row.target, row.host, r.Body, row.want)
			}
		}
	})
}

func TestSM23Target(t *testing.T) {
	t.Parallel()
	attacks := []attack{
		{"HTTP/0.9", "GET /\r\n\r\n", 0},
		{"HTTP/0.9 by name", "GET / HTTP/0.9\r\nHost: a\r\n\r\n", 0},
		{"no target", "GET HTTP/1.1\r\nHost: a\r\n\r\n", 0},
		{"two spaces", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 0},
		{"two spaces before the version", "GET /  HTTP/1.1\r\nHost: a\r\n\r\n", 0},
		{"tab before the version", "GET /\tHTTP/1.1\r\nHost: a\r\n\r\n", 0},
		{"tab behind the method", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 0},
		{"space behind the version", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 0},
		{"HTTP/1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", 0},
		{"HTTP/01.1", "GET / HTTP/01.1\r\nHost: a\r\n\r\n", 0},
		{"HTTP/1.01", "GET / HTTP/1.01\r\nHost: a\r\n\r\n", 0},
		{"HTTP/1.10", "GET / HTTP/1.10\r\nHost: a\r\n\r\n", 0},
		{"HTTP/1", "GET / HTTP/1\r\nHost: a\r\n\r\n", 0},
		{"HTTP/1,1", "GET / HTTP/1,1\r\nHost: a\r\n\r\n", 0},
		{"HTTP/+1.1", "GET / HTTP/+1.1\r\nHost: a\r\n\r\n", 0},
		{"http/1.1", "GET / http/1.1\r\nHost: a\r\n\r\n", 0},
		{"HTTPS/1.1", "GET / HTTPS/1.1\r\nHost: a\r\n\r\n", 0},
		{"ICY", "GET / ICY/1.0\r\nHost: a\r\n\r\n", 0},
		{"two versions", "GET / HTTP/1.1 HTTP/1.1\r\nHost: a\r\n\r\n", 0},
		{"HTTP/2.0", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505},
		{"HTTP/3.0", "GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505},
		{"HTTP/9.9", "GET / HTTP/9.9\r\nHost: a\r\n\r\n", 505},
		{"authority form", "GET example.test:80 HTTP/1.1\r\nHost: example.test:80\r\n\r\n", 0},
		{"CONNECT", "CONNECT example.test:80 HTTP/1.1\r\nHost: example.test:80\r\n\r\n", 501},
		{"CONNECT of a path", "CONNECT /x HTTP/1.1\r\nHost: a\r\n\r\n", 501},
	}
	for _, target := range []string{
		"*", "/a#b", "/#", "#", "/a b", "/a\tb", `/a\b`, `\a`, "/ä", "/\xff", "//evil", "//", "//evil/..", "///", "/.//evil", "/%2e//evil", "/a/..//evil", "//evil@x/",
		"ftp://a/", "file:///etc/passwd", "gopher://a/", "javascript:alert(1)", "http:/a", "http:///a", "http://", "http:a", "://a/", "http//a/", "ws://a/", "http://a//evil", "http://u@a/", "http://u:p@a/",
		"http://a:x/", "http://a b/", "http://a#b", "?", "?x", "a", "evil.test/x", ".", "..", "@evil", "%2f", "/%", "/%zz", "/%00", "/a%00b", "/a?b c", "/a?b#c",
	} {
		attacks = append(attacks, attack{target, "GET " + target + " HTTP/1.1\r\nHost: example.test\r\n\r\n", 0})
	}
	attacks = append(attacks, attack{"* in a POST", "POST * HTTP/1.1\r\nHost: a\r\n\r\n", 0}, attack{"*x in an OPTIONS", "OPTIONS *x HTTP/1.1\r\nHost: a\r\n\r\n", 0})
	refuse(t, attacks)
}

func TestSM23TargetsThatAreRight(t *testing.T) {
	t.Parallel()
	var rows []accept
	for sent, want := range map[string]string{
		"/": "/", "/a//b": "/a//b", "/a//": "/a//", "/?//evil": "/?//evil", "/a?b?c": "/a?b?c", "/a;b=c": "/a;b=c", "/%2f%5c": "/%2f%5c", "/%2F/x": "/%2F/x", "/*": "/*", "/a:b@c": "/a:b@c",
		"/a/../b": "/b", "/%61": "/a", "/a%20b": "/a%20b", `/?\`: `/?\`, "/a|b^{}`": "/a|b^{}`", "/http://a/": "/http://a/", "/a/.//b": "/a//b", "/..": "/",
	} {
		rows = append(rows, accept{sent, "GET " + sent + " HTTP/1.1\r\nHost: a\r\n\r\n", "GET " + want + " HTTP/1.1", "a"})
	}
	rows = append(rows, accept{"OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS * HTTP/1.1", "a"})
	forwardedAs(t, rows)
}

func TestSM24Method(t *testing.T) {
	t.Parallel()
	refuse(t, []attack{
		{"64 KiB", strings.Repeat("A", 64<<10) + " / HTTP/1.1\r\nHost: a\r\n\r\n", 501},
		{"64 KiB that never ends", strings.Repeat("A", 64<<10), 501},
		{"33 letters", strings.Repeat("A", 33) + " / HTTP/1.1\r\nHost: a\r\n\r\n", 501},
		{"question mark", "GET? / HTTP/1.1\r\nHost: a\r\n\r\n", 0},
		{"quote", "G\"T / HTTP/1.1\r\nHost: a\r\n\r\n", 0},
		{"colon", "GET: / HTTP/1.1\r\nHost: a\r\n\r\n", 0},
		{"slash", "GET/ / HTTP/1.1\r\nHost: a\r\n\r\n", 0},
		{"parenthesis", "(GET) / HTTP/1.1\r\nHost: a\r\n\r\n", 0},
		{"0xff", "GET\xff / HTTP/1.1\r\nHost: a\r\n\r\n", 0},
		{"UTF-8", "GËT / HTTP/1.1\r\nHost: a\r\n\r\n", 0},
		{"none", " / HTTP/1.1\r\nHost: a\r\n\r\n", 0},
		{"comma", "GET,POST / HTTP/1.1\r\nHost: a\r\n\r\n", 0},
		{"equals", "GET=1 / HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	})
}

// A method is any token, and keeps its case: "head" is not HEAD.
func TestSM24MethodsAreForwarded(t *testing.T) {
	t.Parallel()
	var rows []accept
	for _, m := range []string{
		"get", "Get", "head", "connect", "PURGE", "M-SEARCH", "UPDATEREDIRECTREF", "!#$%&'*+-.^_`|~", "GET1", "1", strings.Repeat("M", 32), "HEAD", "DELETE", "TRACE",
	} {
		rows = append(rows, accept{m, m + " /x HTTP/1.1\r\nHost: a\r\n\r\n", m + " /x HTTP/1.1", "a"})
	}
	forwardedAs(t, rows)
}
