package wire

import (
	"slices"
	"strings"
	"testing"
	"unicode"

	"poise/internal/testkit"
)

func TestHT8LogLinesParseBack(t *testing.T) {
	t.Parallel()
	type row struct{ name, request, path string }
	tests := []row{ // path: as it stands in the log
		{"quotes and braces", getOf(`/a"},{"status":200,"x":"`), `/a"},{"status":200,"x":"`},
		{"escapes", getOf(`/a%0d%0a%1b%5b31m%22`), `/a%0D%0A%1B%5B31m%22`},
		{"a backslash in the query", getOf(`/a?b=\u0000\n\"`), `/a?b=\u0000\n\"`},
		{"angle brackets", getOf(`/<script>alert(1)</script>?<>&'`), `/<script>alert(1)</script>?<>&'`},
		{"long path", getOf("/" + strings.Repeat("x", 20000)), "/" + strings.Repeat("x", 8191) + "..."},
		{"long query that needs escapes", getOf("/q?" + strings.Repeat(`"`, 20000)), "/q?" + strings.Repeat(`"`, 8189) + "..."},
		{"fields that are no part of it", getOf("/fields", "User-Agent: \"\xff\xfe", "Referer: \u202e\u2028", "X: {\"a\":1}"), "/fields"},
		{"long method", "ABCDEFGHIJKLMNOPQRSTUVWXYZ / HTTP/1.1\r\nHost: a\r\n\r\n", "/"},
		{"refused: line end in the target", "GET /a\rb HTTP/1.1\r\nHost: a\r\n\r\n", ""},
		{"refused: terminal escape in the target", "GET /a\x1b[31m HTTP/1.1\r\nHost: a\r\n\r\n", ""},
		{"refused: terminal escape in a field", getOf("/fields", "User-Agent: \x1b[2J"), ""},
		{"refused: not UTF-8", "GET /\xff\xfe HTTP/1.1\r\nHost: a\r\n\r\n", ""},
		{"refused: host", "GET / HTTP/1.1\r\nHost: a\"\xff\x1b\r\n\r\n", ""},
		{"refused: method", "G\"T / HTTP/1.1\r\nHost: a\r\n\r\n", ""},
		{"refused: binary", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", ""},
	}
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		p := testkit.Start(t, s, "listeners: [{ name: web, address: \"127.0.0.1:0\", pool: app, trusted_proxies: [127.0.0.1] }]\npools: { app: { servers: ["+
			testkit.Serve(t, testkit.Paths(nil)).Addr+"] } }\n")
		tests := tests
		if s.HTTP2 {
			tests = slices.DeleteFunc(slices.Clone(tests), func(tt row) bool { return tt.name == "refused: binary" })
		}
		for _, tt := range tests {
			c := testkit.Dial(t, p.Addr)
			c.Send(tt.request)
			if _, err := c.TryRead("GET"); err != nil && !(s.HTTP2 && isReset(err)) { // by which HTTP/2 refuses what is malformed
				t.Errorf("%s: no answer: %v", tt.name, err)
			}
		}
		ids := []string{`","status":200,"x":"`, "\xff\xfe", "\u202e\u2028", `\`, strings.Repeat("i", 128)}
		for _, id := range ids {
			c := testkit.Dial(t, p.Addr)
			c.Send(getOf("/id", "X-Request-Id: "+id))
			c.Read("GET")
		}
		c := testkit.Dial(t, p.Addr) // the server's reason phrase and the like are no part of it either
		c.Send(getOf("/xff", "X-Forwarded-For: 1.2.3.4\", \"fe80::1%\"x\""))
		c.Read("GET")
		lines := p.Records(t, len(tests)+len(ids)+1)
		if len(lines) != len(tests)+len(ids)+1 {
			t.Errorf("%d lines, want %d", len(lines), len(tests)+len(ids)+1)
		}
		found := map[string]int{}
		gotIDs := map[string]bool{}
		for _, line := range lines {
			r := testkit.ParseRecord(t, line)
			found[r.Path]++
			gotIDs[r.RequestID] = true
			for _, c := range strings.TrimSuffix(line, "\n") {
				if !unicode.IsPrint(c) || c == unicode.ReplacementChar {
					t.Errorf("the line %.200q holds %q as it is", line, c)
				}
			}
		}
		for _, tt := range tests {
			if found[tt.path]--; found[tt.path] < 0 {
				t.Errorf("%s: no record with the path %.60q", tt.name, tt.path)
			}
		}
		for _, id := range ids {
			if !gotIDs[strings.ToValidUTF8(strings.ReplaceAll(strings.ReplaceAll(id, "\xff", "\ufffd"), "\xfe", "\ufffd"), "")] {
				t.Errorf("no record with the request id %q", id)
			}
		}
	})
}
