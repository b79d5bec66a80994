package h1

import (
	"strings"
	"testing"

	"poise/internal/msg"
)

func TestParseRequest(t *testing.T) {
	in := "PUT /a/b?c=d HTTP/1.1\r\nHost: Example.COM:8080\r\nContent-Length: 3\r\n\r\nxyzGET"
	var r msg.Request
	n, err := ParseRequest(&r, []byte(in), nil)
	if want := len(in) - len("xyzGET"); n != want || err != nil {
		t.Fatalf("ParseRequest = %d, %v, want %d", n, err, want)
	}
	for _, c := range []struct{ what, got, want string }{
		{"Method", string(r.Method), "PUT"},
		{"Scheme", string(r.Scheme), ""},
		{"Authority", string(r.Authority), "example.com:8080"},
		{"Host", string(r.Host), "example.com"},
		{"Path", string(r.Path), "/a/b"},
		{"Query", string(r.Query), "?c=d"},
	} {
		if c.got != c.want {
			t.Errorf("%s = %q, want %q", c.what, c.got, c.want)
		}
	}
	if r.Version != msg.HTTP11 || r.Length != 3 || !r.HasLength || !r.KeepAlive || r.Expect100 || len(r.Fields) != 2 {
		t.Errorf("ParseRequest = %+v", r)
	}
}

func TestSM22AbsoluteForm(t *testing.T) {
	for _, c := range []struct{ line, authority, host, path, query string }{
		{"GET http://Real.example/x?y", "real.example", "real.example", "/x", "?y"},
		{"GET HTTPS://real.example:8443/", "real.example:8443", "real.example", "/", ""},
		{"GET http://real.example", "real.example", "real.example", "/", ""},
		{"GET http://real.example?q", "real.example", "real.example", "/", "?q"},
		{"GET http://real.example/a/%2e%2e/b", "real.example", "real.example", "/b", ""},
		{"OPTIONS http://real.example", "real.example", "real.example", "*", ""},
		{"OPTIONS http://real.example/", "real.example", "real.example", "/", ""},
		{"OPTIONS http://real.example?q", "real.example", "real.example", "/", "?q"},
		{"GET http://[2001:DB8::1]:80/", "[2001:db8::1]:80", "[2001:db8::1]", "/", ""},
		{"GET http://a/b//", "a", "a", "/b//", ""},
	} {
		r := mustParse(t, c.line+" HTTP/1.1\r\nHost: other\r\n\r\n")
		got := []string{string(r.Authority), string(r.Host), string(r.Path), string(r.Query)}
		want := []string{c.authority, c.host, c.path, c.query}
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("%s = %q, want %q", c.line, got, want)
		}
		if s := string(r.Scheme); s != "http" && s != "https" {
			t.Errorf("%s: Scheme = %q", c.line, s)
		}
	}
	checkHeads(t, []headCase{
		{"no authority", "GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"user information", "GET http://u@h/x HTTP/1.1\r\nHost: h\r\n\r\n", 400},
		{"bad port", "GET http://h:99999/x HTTP/1.1\r\nHost: h\r\n\r\n", 400},
		{"bad Host beside it", "GET http://h/x HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
		{"empty Host beside it", "GET http://h/x HTTP/1.1\r\nHost:\r\n\r\n", 400},
		{"no Host beside it", "GET http://h/x HTTP/1.1\r\n\r\n", 400},
		{"HTTP/1.0 needs no Host", "GET http://h/x HTTP/1.0\r\n\r\n", 0},
		{"backslash in the authority", "GET http://h\\x/ HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	})
}

func TestSM23RequestLine(t *testing.T) {
	line := func(s string) string { return s + "\r\nHost: a\r\n\r\n" }
	checkHeads(t, []headCase{
		{"asterisk with GET", line("GET * HTTP/1.1"), 400},
		{"asterisk with OPTIONS", line("OPTIONS * HTTP/1.1"), 0},
		{"asterisk and more", line("OPTIONS *x HTTP/1.1"), 400},
		{"asterisk with a query", line("OPTIONS *?x HTTP/1.1"), 400},
		{"fragment", line("GET /a#b HTTP/1.1"), 400},
		{"fragment in the query", line("GET /a?b#c HTTP/1.1"), 400},
		{"space", line("GET /a b HTTP/1.1"), 400},
		{"two spaces before the target", line("GET  / HTTP/1.1"), 400},
		{"two spaces after the target", line("GET /  HTTP/1.1"), 400},
		{"tabs for spaces", line("GET\t/\tHTTP/1.1"), 400},
		{"space at the end", line("GET / HTTP/1.1 "), 400},
		{"backslash", line("GET /a\\b HTTP/1.1"), 400},
		{"raw non-ASCII", line("GET /\xc3\xa9 HTTP/1.1"), 400},
		{"raw non-ASCII in the query", line("GET /?\xc3\xa9 HTTP/1.1"), 400},
		{"two slashes", line("GET //evil HTTP/1.1"), 400},
		{"two slashes in absolute form", line("GET http://a//evil HTTP/1.1"), 400},
		{"two slashes alone", line("GET // HTTP/1.1"), 400},
		{"two slashes before a query", line("GET //?x HTTP/1.1"), 400},
		{"two slashes once dots are resolved", line("GET /a/..//evil HTTP/1.1"), 400},
		{"two slashes after an encoded dot", line("GET /%2e//evil HTTP/1.1"), 400},
		{"two slashes in the query", line("GET /?//evil HTTP/1.1"), 0},
		{"two slashes further on", line("GET /a//evil HTTP/1.1"), 0},
		{"no slash", line("GET evil HTTP/1.1"), 400},
		{"only a query", line("GET ?x HTTP/1.1"), 400},
		{"authority form", line("GET a:80 HTTP/1.1"), 400},
		{"other scheme", line("GET ftp://a/ HTTP/1.1"), 400},
		{"other scheme, file", line("GET file:///etc/passwd HTTP/1.1"), 400},
		{"one slash", line("GET http:/a HTTP/1.1"), 400},
		{"scheme alone", line("GET http: HTTP/1.1"), 400},
		{"no version", line("GET /"), 400},
		{"no version, a space", line("GET / "), 400},
		{"no target", line("GET HTTP/1.1"), 400},
		{"empty target", line("GET  HTTP/1.1"), 400},
		{"HTTP/1.2", line("GET / HTTP/1.2"), 400},
		{"HTTP/1.10", line("GET / HTTP/1.10"), 400},
		{"HTTP/01.1", line("GET / HTTP/01.1"), 400},
		{"HTTP/1.", line("GET / HTTP/1."), 400},
		{"http/1.1", line("GET / http/1.1"), 400},
		{"HTTP/2.0", line("GET / HTTP/2.0"), 505},
		{"HTTP/3.1", line("GET / HTTP/3.1"), 505},
		{"HTTP/2", line("GET / HTTP/2"), 400},
		{"HTTP/0.9", line("GET / HTTP/0.9"), 400},
		{"HTTPS/1.1", line("GET / HTTPS/1.1"), 400},
		{"HTTP 1.1", line("GET / HTTP 1.1"), 400},
		{"LF after the version", "GET / HTTP/1.1\nHost: a\r\n\r\n", 400},
		{"not CR before the LF", "GET / HTTP/1.1 \nHost: a\r\n\r\n", 400},
		{"word after the version", line("GET / HTTP/1.1 x"), 400},
		{"simple request of HTTP/0.9", "GET /\r\n", 400},
	})
}

func TestSM24Method(t *testing.T) {
	line := func(s string) string { return s + " / HTTP/1.1\r\nHost: a\r\n\r\n" }
	checkHeads(t, []headCase{
		{"question mark", line("GET?"), 400},
		{"quote", line(`G"T`), 400},
		{"colon", line("GET:"), 400},
		{"obs-text", line("G\xc9T"), 400},
		{"empty", line(""), 400},
		{"64 KiB", line(strings.Repeat("A", 64<<10)), 501},
		{"33 bytes", line(strings.Repeat("A", 33)), 501},
		{"32 bytes", line(strings.Repeat("A", 32)), 0},
	})
	for _, m := range []string{"get", "Get", "PROPFIND", "!#$%&'*+-.^_`|~"} {
		if r := mustParse(t, line(m)); string(r.Method) != m {
			t.Errorf("Method = %q, want %q", r.Method, m)
		}
	}
}

func TestSM27LeadingEmptyLines(t *testing.T) {
	checkHeads(t, []headCase{
		{"one", "\r\n" + get(), 0},
		{"two", "\r\n\r\n" + get(), 0},
		{"three", "\r\n\r\n\r\n" + get(), 400},
		{"10000", strings.Repeat("\r\n", 10000) + get(), 400},
	})
	in := "\r\n\r\n" + get()
	var r msg.Request
	if n, err := ParseRequest(&r, []byte(in), nil); n != len(in) || err != nil {
		t.Errorf("ParseRequest(%q) = %d, %v, want %d", in, n, err, len(in))
	}
}

func TestSM28NotHTTP(t *testing.T) {
	checkHeads(t, []headCase{
		{"TLS ClientHello", "\x16\x03\x01\x02\x00\x01\x00", 400},
		{"h2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
		{"binary", "\x00\x01\x02\x03", 400},
		{"obs-text", "\xff\xfe", 400},
		{"space", " GET / HTTP/1.1\r\n\r\n", 400},
		{"LF", "\n", 400},
		{"text", "hello world\r\n", 400},
		{"SSH", "SSH-2.0-OpenSSH_9.9\r\n", 400},
		{"SMTP", "EHLO mail.example.com\r\n", 400},
	})
	for _, reason := range []error{errStart, errMethod} {
		if strings.Contains(reason.Error(), "\x16") {
			t.Errorf("%v repeats input", reason)
		}
	}
}

func TestSM26PipelinedHeads(t *testing.T) {
	in := []byte(get("N: 1") + get("N: 2") + "bad\r\n\r\n")
	var r msg.Request
	for _, want := range []string{"1", "2"} {
		n, err := ParseRequest(&r, in, nil)
		if err != nil || n == 0 || string(r.Fields[1].Value) != want {
			t.Fatalf("ParseRequest = %d, %v, %v, want request %s", n, err, r.Fields, want)
		}
		in = in[n:]
	}
	if _, err := ParseRequest(&r, in, nil); statusOf(t, err) != 400 {
		t.Errorf("third request: %v, want status 400", err)
	}
}

// TestMoreBytes cuts a head short at every byte: none of its beginnings is an error, is complete, or is changed.
func TestMoreBytes(t *testing.T) {
	whole := "\r\nGET http://EXAMPLE.com/%61/../b?c HTTP/1.1\r\nHost: EXAMPLE.com\r\nConnection: Keep-Alive\r\nX:  y \r\n\r\n"
	for n := range len(whole) {
		var r msg.Request
		buf := []byte(whole[:n])
		if got, err := ParseRequest(&r, buf, nil); got != 0 || err != nil {
			t.Errorf("ParseRequest(%q) = %d, %v, want 0 and no error", whole[:n], got, err)
		}
		if string(buf) != whole[:n] {
			t.Errorf("ParseRequest(%q) changed it to %q", whole[:n], buf)
		}
	}
	mustParse(t, whole)
}
