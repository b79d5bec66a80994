package wire

import (
	"strings"
	"testing"

	"poise/internal/testkit"
)

// HTTP/2 without TLS is no protocol to upgrade to: whoever were tunnelled so would pass by every rule (h2csmuggler).
func TestDG10Upgrade(t *testing.T) {
	t.Parallel()
	const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	rows := []struct {
		name  string
		lines []string
	}{
		{"as RFC 7540 had it", []string{"Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"}},
		{"without the settings named", []string{"Connection: Upgrade", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"}},
		{"without Connection", []string{"Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"}},
		{"without settings", []string{"Connection: upgrade", "Upgrade: h2c"}},
		{"other case", []string{"connection: UPGRADE", "UPGRADE: H2C", "http2-SETTINGS: AAMAAABkAARAAAAAAAIAAAAA"}},
		{"among others", []string{"Connection: Upgrade", "Upgrade: websocket, h2c"}},
		{"twice", []string{"Connection: Upgrade", "Upgrade: foo", "Upgrade: h2c"}},
		{"h2", []string{"Connection: Upgrade", "Upgrade: h2"}},
		{"settings alone", []string{"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"}},
		{"with underscores", []string{"Upgrade_: h2c", "HTTP2_Settings: AAMAAABkAARAAAAAAAIAAAAA"}},
	}
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		s.HTTP1(t)
		server := serveReader(t, ok)
		tempted := serveReader(t, func(*forwarded) string {
			return "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"
		})
		p := testkit.Start(t, s, `
listeners:
  - address: 127.0.0.1:0
    pool: app
    routes: [{ match: { host: tempted.test }, pool: tempted }]
pools:
  app: { servers: [`+server.Addr+`] }
  tempted: { servers: [`+tempted.Addr+`] }
`)
		for i, row := range rows {
			c := testkit.Dial(t, p.Addr)
			c.Send(get(row.lines...))
			if r := c.Read("GET"); r.StatusCode != 200 || r.Body != "ok" {
				t.Fatalf("%s: answer %d %q, want 200 ok", row.name, r.StatusCode, r.Body)
			}
			f := server.requests(t, i+1)[i]
			if all := strings.ToLower(strings.Join(f.fields, "\n")); strings.Contains(all, "upgrade") || strings.Contains(all, "settings") || strings.Contains(all, "connection") {
				t.Errorf("%s: forwarded fields\n%s\nask for an upgrade", row.name, all)
			}
			c.Send(preface)
			wantRefusal(t, c, 505)

			// A server that switches all the same gets no tunnel.
			c = testkit.Dial(t, p.Addr)
			c.Send(strings.Replace(get(row.lines...), "example.test", "tempted.test", 1))
			if r := c.Read("GET"); r.StatusCode != 502 || r.Header.Get("Upgrade") != "" {
				t.Errorf("%s: answer %d, Upgrade: %q, want 502 and none", row.name, r.StatusCode, r.Header.Get("Upgrade"))
			}
			tempted.waitEnd(t, i+1)
			c.Send(preface)
			wantRefusal(t, c, 505)
		}
		if got := tempted.Got(); strings.Contains(got, "PRI") {
			t.Errorf("the server got %q, want no preface", got)
		}
		if n := len(readLog(t, p, 4*len(rows))); n != 4*len(rows) {
			t.Errorf("%d records, want %d", n, 4*len(rows))
		}
	})
}
