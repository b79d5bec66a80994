package wire

import (
	"fmt"
	"strings"
	"testing"

	"poise/internal/testkit"
)

// What is matched is what is forwarded: an /admin/ path that reaches a server has gone by the admin route.
func TestHT4Paths(t *testing.T) {
	t.Parallel()
	tests := []struct{ target, want, route string }{ // want "": refused
		{"/admin/x", "/admin/x", "admin"},
		{"/admin", "/admin", "admin"},
		{"/public/../admin/x", "/admin/x", "admin"},
		{"/public/%2e%2e/admin/x", "/admin/x", "admin"},
		{"/public/.%2e/admin/x", "/admin/x", "admin"},
		{"/public/%2E./admin/x", "/admin/x", "admin"},
		{"/./admin/x", "/admin/x", "admin"},
		{"/%2e/admin/x", "/admin/x", "admin"},
		{"/%61dmin/x", "/admin/x", "admin"},
		{"/%61%64%6d%69%6e", "/admin", "admin"},
		{"/admin/../x", "/x", "rest"},
		{"/admin/..", "/", "rest"},
		{"/admin/.", "/admin/", "admin"},
		{"/../../x", "/x", "rest"},
		{"/admin/..;/x", "/admin/..;/x", "admin"},
		{"/admin;x=1/y", "/admin;x=1/y", "rest"},
		{"/x/..%2fadmin", "/x/..%2fadmin", "rest"},
		{"/x/..%2Fadmin", "/x/..%2Fadmin", "rest"},
		{"/admin%2fx", "/admin%2fx", "rest"},
		{"/x/..%5cadmin", "/x/..%5cadmin", "rest"},
		{"/%252fadmin", "/%252fadmin", "rest"},
		{"/x/%252e%252e/admin", "/x/%252e%252e/admin", "rest"},
		{"/ADMIN/x", "/ADMIN/x", "rest"},
		{"/admin./x", "/admin./x", "rest"},
		{"/admin%20/x", "/admin%20/x", "rest"},
		{"/a%3fb", "/a%3Fb", "rest"},
		{"/a%23b", "/a%23b", "rest"},
		{"/a%2a%7e%2D", "/a%2A~-", "rest"},
		{"/x//admin", "/x//admin", "rest"},
		{"/x/..//admin", "", ""},
		{"//admin", "", ""},
		{"/.//admin", "", ""},
		{"/%c0%ae%c0%ae/admin", "/%C0%AE%C0%AE/admin", "rest"},
		{"/a%00b", "", ""},
		{"/a%0", "", ""},
		{"/a%zz", "", ""},
		{"/a#b", "", ""},
		{"/a\\..\\admin", "", ""},
		{"/a\x01b", "", ""},
		{"/caf\xc3\xa9", "", ""},
		{"http://example.test/public/../admin", "/admin", "admin"},
	}
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		got := make(chan string, 1)
		server := testkit.Serve(t, func(p *testkit.Peer) {
			for {
				head, err := p.ReadHead()
				if err != nil {
					return
				}
				got <- testkit.PathOf(head)
				_ = p.Send(testkit.OK)
			}
		})
		p := testkit.Start(t, s, fmt.Sprintf(`
listeners:
  - { name: web, address: "127.0.0.1:0", routes: [{ name: admin, match: { path: /admin/* }, pool: app }, { name: rest, match: {}, pool: app }] }
pools: { app: { servers: [%s] } }
`, server.Addr))
		n := 0
		for _, tt := range tests {
			if s.HTTP2 && !strings.HasPrefix(tt.target, "/") {
				continue // it has no other form
			}
			n++
			c := testkit.Dial(t, p.Addr)
			c.Send("GET " + tt.target + " HTTP/1.1\r\nHost: example.test\r\n\r\n")
			if tt.want == "" {
				wantBadRequest(t, s, c, tt.target)
				select {
				case path := <-got:
					t.Errorf("%q reached the server as %q", tt.target, path)
				default:
				}
				continue
			}
			r := c.Read("GET")
			if r.StatusCode != 200 {
				t.Errorf("%q = %d %q, want 200", tt.target, r.StatusCode, r.Body)
				continue
			}
			if path := <-got; path != tt.want {
				t.Errorf("%q was forwarded as %q, want %q", tt.target, path, tt.want)
			}
		}
		records := p.Parsed(t, n)
		for _, tt := range tests {
			for _, r := range records[tt.want] {
				if tt.want != "" && r.Route != tt.route {
					t.Errorf("%q, forwarded as %q, went by route %q, want %q", tt.target, tt.want, r.Route, tt.route)
				}
			}
		}
	})
}

// wantBadRequest wants a request to be refused that has no single reading: over HTTP/2 by a reset. [RFC 9113 section 8.1.1]
func wantBadRequest(t *testing.T, s testkit.Setup, c *testkit.Client, what string) {
	t.Helper()
	r, err := c.TryRead("GET")
	if s.HTTP2 && err != nil && isReset(err) {
		return
	}
	if s.HTTP2 || err != nil || r.StatusCode != 400 || !r.Close {
		t.Errorf("%q is answered with %+v (%v), want 400, or a reset over HTTP/2", what, r, err)
	}
}

func TestHT5Hosts(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		server := testkit.Serve(t, testkit.Answer(testkit.OK))
		var routes strings.Builder
		for i := range 300 {
			fmt.Fprintf(&routes, "      - { name: r%d, match: { host: h%d.example.com }, pool: app }\n", i, i)
		}
		p := testkit.Start(t, s, fmt.Sprintf(`
listeners:
  - name: web
    address: "127.0.0.1:0"
    routes:
%s      - { name: wild, match: { host: "*.example.com" }, pool: app }
      - { name: puny, match: { host: xn--bcher-kva.test }, pool: app }
      - { name: ip, match: { host: 127.0.0.1 }, pool: app }
      - { name: v6, match: { host: "[::1]" }, pool: app }
pools: { app: { servers: [%s] } }
`, routes.String(), server.Addr))
		tests := []struct{ host, route string }{ // route "": 404
			{"h0.example.com", "r0"},
			{"h299.example.com", "r299"},
			{"H150.Example.COM", "r150"},
			{"h7.example.com.", "r7"},
			{"h7.example.com:8080", "r7"},
			{"h7.example.com.:80", "r7"},
			{"h300.example.com", "wild"},
			{"a.b.example.com", "wild"},
			{"A.EXAMPLE.com", "wild"},
			{"example.com", ""},
			{"xh7.example.comx", ""},
			{"h7.example.com.evil.test", ""},
			{"XN--BCHER-KVA.test", "puny"},
			{"127.0.0.1", "ip"},
			{"127.0.0.1:1", "ip"},
			{"0177.0.0.1", ""},
			{"[::1]", "v6"},
			{"[::1]:80", "v6"},
			{"2130706433", ""},
		}
		for i := range 300 {
			tests = append(tests, struct{ host, route string }{fmt.Sprintf("h%d.example.com", i), fmt.Sprintf("r%d", i)})
		}
		c := testkit.Dial(t, p.Addr)
		for i, tt := range tests {
			c.Send(fmt.Sprintf("GET /%d HTTP/1.1\r\nHost: %s\r\n\r\n", i, tt.host))
			want := 200
			if tt.route == "" {
				want = 404
			}
			if r := c.Read("GET"); r.StatusCode != want {
				t.Errorf("Host: %s = %d, want %d", tt.host, r.StatusCode, want)
			}
		}
		records := p.Parsed(t, len(tests))
		for i, tt := range tests {
			if r := records[fmt.Sprintf("/%d", i)][0]; r.Route != tt.route {
				t.Errorf("Host: %s went by route %q, want %q", tt.host, r.Route, tt.route)
			}
		}
		for _, host := range []string{strings.Repeat("a", 256), "b\xc3\xbccher.test", "a b", "a,b", "a@b", "a/b", "a..b", ".a", "[::1", "a:99999", "a:", "a:b", ""} {
			c := testkit.Dial(t, p.Addr)
			c.Send("GET /refused HTTP/1.1\r\nHost: " + host + "\r\n\r\n")
			wantBadRequest(t, s, c, "Host: "+host)
		}
		if strings.Contains(server.Got(), "/refused") {
			t.Error("a request with a malformed host was passed on")
		}
	})
}

func TestHT6Query(t *testing.T) {
	t.Parallel()
	many := "?" + strings.Repeat("a&", 12000) + "k=v"
	queries := []string{
		"", "?", "?a;b", "?a=%zz", "?%", "?a=b?c=d", "?a=%00", "?a=+%20b", "?/../x", "?a=b&a=c", "?a[]=1", "?%2e%2e/", "?&&&", "?==", "?a=//b", "?k=v", "?x&k=v;z", many,
	}
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		got := make(chan string, 1)
		server := testkit.Serve(t, func(p *testkit.Peer) {
			for {
				head, err := p.ReadHead()
				if err != nil {
					return
				}
				got <- testkit.PathOf(head)
				_ = p.Send(testkit.OK)
			}
		})
		p := testkit.Start(t, s, fmt.Sprintf(`
listeners: [{ name: web, address: "127.0.0.1:0", pool: app, routes: [{ match: { path: /q, query: { k: v } }, pool: app }] }]
pools: { app: { servers: [%s] } }
`, server.Addr))
		c := testkit.Dial(t, p.Addr)
		for _, q := range queries {
			c.Send(getOf("/x/../q" + q))
			if r := c.Read("GET"); r.StatusCode != 200 {
				t.Errorf("query %.40q = %d, want 200", q, r.StatusCode)
				continue
			}
			if target := <-got; target != "/q"+q {
				t.Errorf("query %.40q was forwarded as %.60q, want it to the byte", q, target)
			}
		}
	})
}
