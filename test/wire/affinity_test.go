package wire

import (
	"fmt"
	"testing"

	"poise/internal/testkit"
)

// getFields sends a GET with more fields.
func getFields(t *testing.T, p *testkit.Poise, path string, fields ...string) *testkit.Response {
	t.Helper()
	c := testkit.Dial(t, p.Addr)
	c.Send(getOf(path, fields...))
	return c.Read("GET")
}

// affine starts Poise in front of servers, with this affinity, and trusts what the test says of its address.
func affine(t *testing.T, s testkit.Setup, affinity string, servers ...*testkit.Server) *testkit.Poise {
	t.Helper()
	list := ""
	for _, server := range servers {
		list += server.Addr + ", "
	}
	return testkit.Start(t, s, fmt.Sprintf("listeners: [{ address: \"127.0.0.1:0\", pool: app, trusted_proxies: [127.0.0.1] }]\n"+
		"pools: { app: { policy: round_robin, servers: [%s], %s, affinity: %s } }\n", list, fastProbes, affinity))
}

func TestAffinityBySource(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		one, two := named(t, "one"), named(t, "two")
		p := affine(t, s, "{ source: { ipv6_prefix: 64 } }", one, two)
		where := map[string]string{}
		for range 3 {
			for client := range 10 {
				from := fmt.Sprintf("X-Forwarded-For: 192.0.2.%d", client)
				r := getFields(t, p, "/", from)
				if where[from] == "" {
					where[from] = r.Body
				}
				if r.Body != where[from] || len(r.Cookies()) > 0 {
					t.Errorf("%s went to %s with cookies %v, want %s as before and none", from, r.Body, r.Cookies(), where[from])
				}
			}
		}
		seen := map[string]bool{}
		for _, server := range where {
			seen[server] = true
		}
		if len(seen) != 2 {
			t.Errorf("10 clients went to %v, want both servers", seen)
		}
		if a, b := getFields(t, p, "/", "X-Forwarded-For: 2001:db8::1"), getFields(t, p, "/", "X-Forwarded-For: 2001:db8::ffff:2"); a.Body != b.Body {
			t.Errorf("two addresses of one /64 went to %s and %s, want one server", a.Body, b.Body)
		}
		for path, want := range map[string]string{"/new": "--NI", "/known": "--VN"} {
			from := "X-Forwarded-For: 192.0.2.0"
			if path == "/new" {
				from = "X-Forwarded-For: 192.0.2.200"
			}
			getFields(t, p, path, from)
			if end := p.Await(t, path).End; end != want {
				t.Errorf("%s ends %q, want %q", path, end, want)
			}
		}
	})
}

func TestRX8FloodOfAddresses(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		one, two := named(t, "one"), named(t, "two")
		p := affine(t, s, "{ source: { size: 8 } }", one, two)
		c := testkit.Dial(t, p.Addr)
		for i := range 200 {
			c.Send(getOf("/", fmt.Sprintf("X-Forwarded-For: 198.51.%d.%d", i/256, i%256)))
			if r := c.Read("GET"); r.StatusCode != 200 {
				t.Fatalf("address %d: %d, want 200 however many came before", i, r.StatusCode)
			}
		}
		// The last one is remembered, the first one is not: the table is full of others.
		for path, tt := range map[string]struct{ from, want string }{"/last": {"198.51.0.199", "--VN"}, "/first": {"198.51.0.0", "--NI"}} {
			getFields(t, p, path, "X-Forwarded-For: "+tt.from)
			if end := p.Await(t, path).End; end != tt.want {
				t.Errorf("%s ends %q, want %q", path, end, tt.want)
			}
		}
	})
}
