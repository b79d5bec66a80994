package wire

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"poise/internal/testkit"
)

// TestRefusalsAreCounted: a request that a rule of its route refuses is counted by that rule, and no other is.
func TestRefusalsAreCounted(t *testing.T) {
	t.Parallel()
	users := testkit.WriteFile(t, "users", []byte("ann:$2a$04$0123456789012345678901u5Rwo6DC8kaBgaa2v9ZBfLDYlT8GLtO\n"))
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		server := testkit.Serve(t, always(func(p *testkit.Peer, head string) bool {
			if strings.HasPrefix(testkit.PathOf(head), "/in_flight_limit") {
				_, _ = p.AwaitEnd()
				return false
			}
			if _, err := p.BodyOf(head); err != nil {
				return false
			}
			return p.Send(answerWith("app")) == nil
		}))
		auth := testkit.Serve(t, testkit.Answer("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"))
		socket := filepath.Join(t.TempDir(), "admin")
		p := testkit.Start(t, s, fmt.Sprintf(`
admin: { address: "unix:%s" }
listeners:
  - name: web
    address: 127.0.0.1:0
    routes:
      - { name: access, match: { path: /access }, pool: app, access: { allow: [192.0.2.0/24] } }
      - { name: rate_limit, match: { path: /rate_limit }, pool: app, rate_limit: { requests: 1, per: 1h } }
      - { name: in_flight_limit, match: { path: /in_flight_limit }, pool: app, in_flight_limit: { requests: 1 } }
      - { name: cors, match: { path: /cors }, pool: app, cors: { origins: [https://a.test] } }
      - { name: basic_auth, match: { path: /basic_auth }, pool: app, basic_auth: { users_file: %q } }
      - { name: forward_auth, match: { path: /forward_auth }, pool: app, forward_auth: { pool: auth } }
      - { name: max_body, match: { path: /max_body }, pool: app, max_body: 3 }
      - { name: rewrite, match: { path: /rewrite }, pool: app, rewrite: { path: "/{query.x}" } }
      - { name: reply, match: { path: /reply }, reply: { status: 403 } }
pools: { app: { servers: [%q] }, auth: { servers: [%q] } }
`, socket, users, server.Addr, auth.Addr))
		held := testkit.Dial(t, p.Addr)
		held.Send(getOf("/in_flight_limit"))
		testkit.Eventually(t, "the first request at its server", func() bool { return strings.Contains(server.Got(), "/in_flight_limit") })
		for _, tt := range []struct {
			request string
			status  int
		}{
			{getOf("/access"), 403},
			{getOf("/rate_limit"), 200},
			{getOf("/rate_limit"), 429},
			{getOf("/in_flight_limit"), 429},
			{"OPTIONS /cors HTTP/1.1\r\nHost: a\r\nOrigin: https://b.test\r\nAccess-Control-Request-Method: PUT\r\n\r\n", 403},
			{getOf("/cors"), 200},
			{getOf("/basic_auth"), 401},
			{getOf("/forward_auth"), 401},
			{"POST /max_body HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nabcd", 413},
			{"POST /max_body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n", 413},
			{"POST /max_body HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", 200},
			{getOf("/rewrite?x=.."), 400},
			{getOf("/rewrite?x=a"), 200},
			{getOf("/reply"), 403},
		} {
			c := testkit.Dial(t, p.Addr)
			c.Send(tt.request)
			method, _, _ := strings.Cut(tt.request, " ")
			if r := c.Read(method); r.StatusCode != tt.status {
				t.Errorf("%q is answered with %d, want %d", tt.request, r.StatusCode, tt.status)
			}
			_ = c.Close()
		}
		rules := []string{"access", "rate_limit", "in_flight_limit", "cors", "basic_auth", "forward_auth", "max_body", "rewrite"}
		for _, route := range append(rules, "reply") {
			for _, by := range rules {
				want := 0
				if by == route {
					want = 1
				}
				if by == route && by == "max_body" {
					want = 2
				}
				name := fmt.Sprintf(`poise_route_refused_requests_total{by=%q,listener="web",route=%q}`, by, route)
				if n := metric(t, socket, name); n != want {
					t.Errorf("%s is %d, want %d", name, n, want)
				}
			}
		}
	})
}
