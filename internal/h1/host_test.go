package h1

import (
	"strings"
	"testing"
)

func TestSM21Host(t *testing.T) {
	host := func(s string) string { return "GET / HTTP/1.1\r\nHost: " + s + "\r\n\r\n" }
	cases := []headCase{
		{"missing", "GET / HTTP/1.1\r\nX: y\r\n\r\n", 400},
		{"missing in HTTP/1.0", "GET / HTTP/1.0\r\nX: y\r\n\r\n", 0},
		{"two", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
		{"two of the same", "GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", 400},
		{"two in HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", 400},
		{"longest", host(strings.Repeat("a.", 127) + "a"), 0},
		{"too long", host(strings.Repeat("a.", 127) + "ab"), 400},
	}
	for _, s := range []string{
		"", "a,b", "a, b", "u@a", "u:p@a", "a/x", "a?x", "a#x", "a:", "a:x", "a:80x", "a:-1", "a:65536", "a:000080", "a:80:80", ":80",
		"[::1", "::1", "[::1]x", "[::1]:", "[]", "[", "]", "[::1%eth0]", "[fe80::1%25eth0]", "[1.2.3.4]", "[v1.x]", "[:::1]", "[[::1]]",
		"a b", "a\tb", "\xc3\xa9", "b\xfccher.example", "a%2eb", "a%00", "a\\b", ".", "..", ".a", "a..b", "a..", "http://a", "a;b", "a'b", "(a)", "a\"",
	} {
		cases = append(cases, headCase{"bad " + s, host(s), 400})
	}
	for _, s := range []string{"a", "a:80", "a:0", "a:65535", "a_b.example", "1.2.3.4", "[::1]", "[::1]:443", "[::ffff:1.2.3.4]", "a.", "xn--bcher-kva.example"} {
		cases = append(cases, headCase{"good " + s, host(s), 0})
	}
	checkHeads(t, cases)
}

func TestHT5HostAsMatched(t *testing.T) {
	for _, c := range []struct{ in, authority, host string }{
		{"Example.COM", "example.com", "example.com"},
		{"example.com.", "example.com.", "example.com"},
		{"EXAMPLE.com.:8080", "example.com.:8080", "example.com"},
		{"XN--BCHER-KVA.example", "xn--bcher-kva.example", "xn--bcher-kva.example"},
		{"0177.0.0.1", "0177.0.0.1", "0177.0.0.1"}, // a name like any other: nothing reads it as an address
		{"[2001:DB8::1]:443", "[2001:db8::1]:443", "[2001:db8::1]"},
	} {
		r := mustParse(t, "GET / HTTP/1.1\r\nHost: "+c.in+"\r\n\r\n")
		if string(r.Authority) != c.authority || string(r.Host) != c.host {
			t.Errorf("Host: %s: Authority, Host = %s, %s, want %s, %s", c.in, r.Authority, r.Host, c.authority, c.host)
		}
	}
}
