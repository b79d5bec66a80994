package wire

import (
	"fmt"
	"strings"
	"testing"

	"poise/internal/testkit"
)

func TestRX4Oversize(t *testing.T) {
	t.Parallel()
	fields := func(n int) []string {
		lines := make([]string, n)
		for i := range lines {
			lines[i] = fmt.Sprintf("X-%d: y", i)
		}
		return lines
	}
	refuse(t, []attack{
		{"URL of 64 KiB", "GET /" + strings.Repeat("a", 64<<10) + " HTTP/1.1\r\nHost: a\r\n\r\n", 414},
		{"URL of 64 KiB that never ends", "GET /" + strings.Repeat("a", 64<<10), 414},
		{"URL of 33 KiB", "GET /" + strings.Repeat("a", 33<<10) + " HTTP/1.1\r\nHost: a\r\n\r\n", 414},
		{"query of 64 KiB", "GET /?" + strings.Repeat("a&", 32<<10) + " HTTP/1.1\r\nHost: a\r\n\r\n", 414},
		{"URL of 900 KiB", "GET /" + strings.Repeat("a", 900<<10) + " HTTP/1.1\r\nHost: a\r\n\r\n", 414},
		{"field of 1 MiB", get("A: " + strings.Repeat("b", 1<<20)), 431},
		{"field of 64 KiB that never ends", "GET / HTTP/1.1\r\nHost: a\r\nA: " + strings.Repeat("b", 64<<10), 431},
		{"10000 fields", get(fields(10000)...), 431},
		{"100 fields beside Host", get(fields(100)...), 431},
		{"10000 equal fields", get(strings.TrimSuffix(strings.Repeat("A: b\r\n", 10000), "\r\n")), 431},
		{"10000 empty fields", get(strings.TrimSuffix(strings.Repeat("A:\r\n", 10000), "\r\n")), 431},
		{"name of 64 KiB", get(strings.Repeat("A", 64<<10) + ": b"), 431},
		{"name of 64 KiB that never ends", "GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("A", 64<<10), 431},
		{"many fields over 64 KiB in all", get(strings.TrimSuffix(strings.Repeat("A: "+strings.Repeat("b", 1000)+"\r\n", 70), "\r\n")), 431},
		{"1000 connection options", get("Connection: " + strings.Repeat("a,", 1000)), 431},
		{"spaces", get("A: " + strings.Repeat(" ", 64<<10) + "b"), 431},
	})
}

// What is just within the limits is forwarded whole.
func TestRX4LargeButAllowed(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		server := serveReader(t, ok)
		p := short(t, s, server.Server)
		c := testkit.Dial(t, p.Addr)
		path, value, name := "/"+strings.Repeat("a", 32<<10-1), strings.Repeat("b", 60<<10), strings.Repeat("C", 60<<10)
		many := make([]string, 99)
		for i := range many {
			many[i] = fmt.Sprintf("X-%d: y", i)
		}
		for i, row := range []struct {
			name, send string
			has        func(f *forwarded) bool
		}{
			{"URL", "GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n", func(f *forwarded) bool { return f.line == "GET "+path+" HTTP/1.1" }},
			{"value", get("A: " + value), func(f *forwarded) bool { v := f.all("A"); return len(v) == 1 && v[0] == value }},
			{"name", get(name + ": x"), func(f *forwarded) bool { v := f.all(name); return len(v) == 1 && v[0] == "x" }},
			{"fields", get(many...), func(f *forwarded) bool { return len(f.all("X-0")) == 1 && len(f.all("X-98")) == 1 }},
		} {
			c.Send(row.send)
			if r := c.Read("GET"); r.StatusCode != 200 {
				t.Fatalf("%s: status %d, want 200", row.name, r.StatusCode)
			}
			if f := server.requests(t, i+1)[i]; !row.has(&f) {
				t.Errorf("%s: the server did not get it whole", row.name)
			}
		}
	})
}
