package wire

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"poise/internal/testkit"
)

// TestHT10Redirects: clients are sent where the route says, and nowhere else, whatever they ask for.
func TestHT10Redirects(t *testing.T) {
	t.Parallel()
	const config = `
listeners:
  - address: 127.0.0.1:0
    routes:
      - { match: { host: old.test }, redirect: { status: 301, scheme: https, host: new.test, port: 8443 } }
      - { match: { host: "*.www.test" }, redirect: { scheme: https } }
      - { match: { host: port.test }, redirect: { port: 81 } }
      - { match: { host: sub.test }, redirect: { scheme: https, host: "www.{host}", query: "" } }
      - { match: { path: /docs/* }, redirect: { status: 302, prefix: /manual } }
      - { match: { path: /gone/* }, redirect: { status: 307, prefix: / } }
      - { match: { path: /go }, redirect: { path: "/to/{query.page}", query: "from={header.referer}&{query}" } }
      - { match: { path: /fixed/* }, redirect: { status: 303, path: "/elsewhere{path_rest}", query: "" } }
      - { redirect: { path: "{path}/", query: "x={cookie.x}" } }
`
	tests := []struct {
		target   string
		fields   []string
		status   int
		location string
	}{
		{"/a/b?c=d", []string{"Host: OLD.test:8080"}, 301, "https://new.test:8443/a/b?c=d"},
		{"/", []string{"Host: x.www.test."}, 308, "https://x.www.test/"},
		{"/x", []string{"Host: port.test"}, 308, "http://port.test:81/x"},
		{"/x?y", []string{"Host: sub.test"}, 308, "https://www.sub.test/x"},
		{"/docs/a?b", nil, 302, "/manual/a?b"},
		{"/docs", nil, 302, "/manual"},
		{"/gone/a/b", nil, 307, "/a/b"},
		{"/gone", nil, 307, "/"},
		{"/gone//evil.test/x", nil, 307, "/evil.test/x"},
		{"/gone/" + strings.Repeat("/", 100) + "evil.test", nil, 307, "/evil.test"},
		{"/go?page=a/b%0d%0aX:y", []string{"Referer: http://x/?a=b&c d"}, 308, "/to/a%2Fb%0D%0AX%3Ay?from=http%3A%2F%2Fx%2F%3Fa%3Db%26c%20d&page=a/b%0d%0aX:y"},
		{"/fixed/a%20b?c", nil, 303, "/elsewhere/a%20b"},
		{"/a/..%2f/b", []string{"Cookie: x=1; y=2"}, 308, "/a/..%2f/b/?x=1"},
	}
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		p := testkit.Start(t, s, config)
		c := testkit.Dial(t, p.Addr)
		for _, tt := range tests {
			c.Send("GET " + tt.target + " HTTP/1.1\r\n" + lines(withHost(tt.fields)) + "\r\n")
			want := tt.location
			if s.TLS { // by which the client has come
				want = strings.Replace(want, "http://port", "https://port", 1)
			}
			if r := c.Read("GET"); r.StatusCode != tt.status || r.Header.Get("Location") != want || len(r.Header.Values("X")) > 0 {
				t.Errorf("GET %.40s %q is answered with %d, Location %q, want %d, %q", tt.target, tt.fields, r.StatusCode, r.Header.Get("Location"), tt.status, want)
			}
		}
		for _, r := range slices.Concat(slices.Collect(maps.Values(p.Parsed(t, len(tests))))...) {
			if r.End != "LR--" || r.Route == "" || r.Pool != "" {
				t.Errorf("the record of a redirect is %+v", r)
			}
		}
	})
}

// TestReplies: a route's fixed answer, with its fields.
func TestReplies(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		large := testkit.Pattern(3, 1<<20)
		page := testkit.WriteFile(t, "page.html", []byte("<p>{path}</p>"))
		p := testkit.Start(t, s, fmt.Sprintf(`
listeners:
  - address: 127.0.0.1:0
    routes:
      - { match: { path: /robots.txt }, reply: { body: "User-agent: *\n" } }
      - match: { path: /page }
        reply: { status: 503, body_file: %q, content_type: text/html }
        response_headers: { set: { retry-after: "7", x-path: "{path}" }, remove: [x-request-id] }
      - { match: { path: /none }, reply: { status: 204 } }
      - { match: { path: /large }, reply: { body_file: %q } }
`, page, testkit.WriteFile(t, "large", large)))
		c := testkit.Dial(t, p.Addr)
		r := c.Get("/robots.txt")
		if r.StatusCode != 200 || r.Body != "User-agent: *\n" || r.Header.Get("Content-Type") != "text/plain; charset=utf-8" || r.Header.Get("X-Request-Id") == "" {
			t.Errorf("a fixed answer is %+v", r)
		}
		r = c.Get("/page")
		if h := r.Header; r.StatusCode != 503 || r.Body != "<p>{path}</p>" || h.Get("Content-Type") != "text/html" || h.Get("Retry-After") != "7" ||
			h.Get("X-Path") != "/page" || h.Get("X-Request-Id") != "" || h.Get("Proxy-Status") != "" {
			t.Errorf("a fixed answer out of a file is %+v", r)
		}
		c.Send("HEAD /page HTTP/1.1\r\nHost: a\r\n\r\n")
		if r := c.Read("HEAD"); r.StatusCode != 503 || r.ContentLength != 13 || r.Body != "" {
			t.Errorf("a fixed answer to HEAD is %+v", r)
		}
		if r := c.Get("/none"); r.StatusCode != 204 || r.Body != "" {
			t.Errorf("a fixed answer without a body is %+v", r)
		}
		if r := c.Get("/large"); r.StatusCode != 200 || r.Body != string(large) {
			t.Errorf("a fixed answer of 1 MiB is %d with %d bytes", r.StatusCode, len(r.Body))
		}
		c.Send("POST /robots.txt HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
		if r := c.Read("POST"); r.StatusCode != 200 {
			t.Errorf("a fixed answer to a request with a body is %+v", r)
		}
	})
}

// TestErrorPages: what Poise answers itself has the listener's page, with the same status and fields; what others say stays.
func TestErrorPages(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		server := testkit.Serve(t, testkit.Paths(scripts{
			"/cut": func(*testkit.Peer, string) bool { return false },
			"/own": testkit.Reply("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 2\r\n\r\nno"),
		}))
		file := testkit.WriteFile(t, "sorry.html", []byte("<p>sorry</p>"))
		config := fmt.Sprintf(`
listeners:
  - address: 127.0.0.1:0
    error_pages: [{ status: 404, body: nothing, content_type: text/plain }, { status: 500-599, body_file: %q }]
    routes:
      - { match: { path: /fixed }, reply: { status: 503, body: fixed } }
      - { match: [{ path: /cut }, { path: /own }], pool: app }
pools: { app: { servers: [%q], eject: { enabled: false } } }
`, file, server.Addr)
		p := testkit.Start(t, s, config)
		c := testkit.Dial(t, p.Addr)
		wantResponse(t, "no route", c.Get("/x"), 404, "nothing")
		r := c.Get("/cut")
		wantResponse(t, "a server that breaks off", r, 502, "<p>sorry</p>")
		if r.Header.Get("Content-Type") != "text/html; charset=utf-8" || r.Header.Get("Proxy-Status") == "" {
			t.Errorf("the page comes with %v", r.Header)
		}
		wantResponse(t, "a server's answer", c.Get("/own"), 502, "no")
		wantResponse(t, "a fixed reply", c.Get("/fixed"), 503, "fixed")
		p.Reload(t, strings.Replace(config, "body: nothing", "body: gone", 1))
		wantResponse(t, "after a reload", testkit.Dial(t, p.Addr).Get("/x"), 404, "gone")
	})
}

// headServer answers with the head that it has got, as text.
func headServer(t *testing.T) *testkit.Server {
	t.Helper()
	return testkit.Serve(t, always(func(p *testkit.Peer, head string) bool {
		return p.Send(fmt.Sprintf("HTTP/1.1 200 OK\r\nX-Inside: 10.0.0.1\r\nServer: app\r\nX-More: 1\r\nContent-Length: %d\r\n\r\n%s", len(head), head)) == nil
	}))
}

// always follows one script for all requests.
func always(script testkit.Script) func(p *testkit.Peer) {
	return func(p *testkit.Peer) {
		for {
			if head, err := p.ReadHead(); err != nil || !script(p, head) {
				return
			}
		}
	}
}

// TestRewrites: what servers are asked for. What has two readings is asked of nobody.
func TestHT4Rewrites(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		server := headServer(t)
		p := testkit.Start(t, s, fmt.Sprintf(`
listeners:
  - address: 127.0.0.1:0
    routes:
      - { match: { path: /api/v1/* }, pool: app, rewrite: { prefix: / } }
      - { match: { path: /old/* }, pool: app, rewrite: { prefix: /new/place, host: "app.internal:81" } }
      - { match: { path: /tpl/* }, pool: app, rewrite: { path: "/{method}/{query.x}{path_rest}", host: "x.{host}" } }
      - { match: { path: /host }, pool: app, rewrite: { host: "{header.x-host}" } }
pools: { app: { servers: [%q] } }
`, server.Addr))
		for _, tt := range []struct{ target, field, want, host string }{
			{"/api/v1/users?q=/api/v1", "", "/users?q=/api/v1", "a.test"},
			{"/api/v1", "", "/", "a.test"},
			{"/api/v1/", "", "/", "a.test"},
			{"/x/../api/%76%31/x/./y", "", "/x/y", "a.test"},
			{"/old/a/b", "", "/new/place/a/b", "app.internal:81"},
			{"/old", "", "/new/place", "app.internal:81"},
			{"/tpl/a%2fb?x=1%2F2", "", "/GET/1%2F2/a%2fb?x=1%2F2", "x.a.test"},
			{"/tpl?x=1", "", "/GET/1?x=1", "x.a.test"},
			{"/tpl/a?x=..", "", "", ""},
			{"/tpl/a?x=%2E%2e", "", "", ""},
			{"/tpl/a?x=%2F%2e%2e", "", "/GET/%2F../a?x=%2F%2e%2e", "x.a.test"},
			{"/api/v1//evil.test", "", "", ""},
			{"/host", "X-Host: b.test:8080", "/host", "b.test:8080"},
			{"/host", "X-Host: b.test/x", "", ""},
			{"/host", "X-Other: 1", "", ""},
		} {
			c := testkit.Dial(t, p.Addr)
			field := tt.field
			if field == "" {
				field = "X-Other: 1"
			}
			c.Send("GET " + tt.target + " HTTP/1.1\r\nHost: a.test\r\n" + field + "\r\n\r\n")
			r := c.Read("GET")
			line, rest, _ := strings.Cut(r.Body, "\r\n")
			switch {
			case tt.want == "" && r.StatusCode != 400:
				t.Errorf("GET %s with %s is answered with %d %q, want 400", tt.target, field, r.StatusCode, r.Body)
			case tt.want != "" && (line != "GET "+tt.want+" HTTP/1.1" || !strings.Contains(strings.ToLower(rest), "host: "+tt.host+"\r\n")):
				t.Errorf("GET %s asks the server for %q of %q, want %q of %q", tt.target, line, rest, tt.want, tt.host)
			}
			_ = c.Close()
		}
	})
}

// TestRS8HeaderEdits: fields that a route sets, adds and removes, on both sides. Nothing that a client sends makes two fields of one.
func TestRS8HeaderEdits(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		server := headServer(t)
		p := testkit.Start(t, s, fmt.Sprintf(`
listeners:
  - address: 127.0.0.1:0
    routes:
      - pool: app
        request_headers:
          set:
            X-Client: "{client_ip} by {method}"
            x-both: "{header.x-in}; {cookie.c}; {query.q}"
            x-empty: "{header.not-there}"
            x-forwarded-proto: spdy
            x-brace: "{{}}"
          add: { x-more: two }
          remove: [x-secret, Accept]
        response_headers:
          set: { Server: none, cache-control: "{header.x-in}", x-path: "{path}" }
          add: { x-more: "2" }
          remove: [X-Inside]
pools: { app: { servers: [%q] } }
`, server.Addr))
		c := testkit.Dial(t, p.Addr)
		c.Send(getOf("/p?q=%0d%0aX:1", "X-In: in", "Cookie: b=1; c=2", "x-both: client's", "X-SECRET: s", "accept: a", "X-More: one", "X-Empty: full"))
		r := c.Read("GET")
		got := map[string]string{}
		for _, line := range strings.Split(r.Body, "\r\n") {
			if name, value, ok := strings.Cut(line, ":"); ok {
				name = strings.ToLower(name)
				got[name] = strings.TrimPrefix(got[name]+"|"+strings.TrimSpace(value), "|")
			}
		}
		for name, want := range map[string]string{
			"x-client": "127.0.0.1 by GET", "x-both": "in; 2; %0d%0aX:1", "x-empty": "", "x-forwarded-proto": "spdy", "x-brace": "{}", "x-more": "one|two", "x-secret": "",
			"accept": "", "x": "",
		} {
			if got[name] != want {
				t.Errorf("the server gets %s %q, want %q", name, got[name], want)
			}
		}
		for name, want := range map[string]string{"Server": "none", "Cache-Control": "in", "X-Path": "/p", "X-More": "1|2", "X-Inside": ""} {
			if got := strings.Join(r.Header.Values(name), "|"); got != want {
				t.Errorf("the client gets %s %q, want %q", name, got, want)
			}
		}
	})
}

// TestAccess: who is not served hears so, and no server hears of it.
func TestAccess(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		server := echoing(t)
		p := testkit.Start(t, s, fmt.Sprintf(`
listeners:
  - address: 127.0.0.1:0
    trusted_proxies: [127.0.0.1]
    pool: app
    routes:
      - { match: { path: /admin }, pool: app, access: { allow: [10.0.0.0/8, 127.0.0.1], deny: [10.9.0.0/16] } }
      - { match: { path: /open }, pool: app, access: { deny: [10.9.0.0/16, "2001:db8::/32"] } }
pools: { app: { servers: [%q] } }
`, server.Addr))
		c := testkit.Dial(t, p.Addr)
		for _, tt := range []struct {
			path, from string
			denied     bool
		}{
			{"/admin", "10.1.2.3", false},
			{"/admin", "10.9.2.3", true},
			{"/admin", "192.0.2.1", true},
			{"/admin", "127.0.0.1", false},
			{"/admin", "::ffff:10.1.2.3", false},
			{"/open", "192.0.2.1", false},
			{"/open", "2001:db8::1", true},
			{"/open", "10.9.0.1", true},
		} {
			c.Send(getOf(tt.path, "X-Forwarded-For: "+tt.from))
			if r := c.Read("GET"); (r.StatusCode == 403) != tt.denied {
				t.Errorf("%s for %s is answered with %d", tt.path, tt.from, r.StatusCode)
			}
		}
		if strings.Contains(server.Got(), "10.9.") {
			t.Error("a server has heard of a request that was denied")
		}
		for _, r := range slices.Concat(slices.Collect(maps.Values(p.Parsed(t, 8)))...) {
			if r.Status == 403 && r.End != "PR--" {
				t.Errorf("the record of a request that was denied is %+v", r)
			}
		}
	})
}

// TestMaxBody: a body that is larger than its route takes gets 413, whether it says its length or not, and the server never gets all of it.
func TestMaxBody(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		server := echoing(t)
		p := testkit.Start(t, s, fmt.Sprintf(`
listeners:
  - address: 127.0.0.1:0
    routes: [{ pool: app, max_body: 100KB }]
pools: { app: { servers: [%q] } }
`, server.Addr))
		for _, n := range []int{0, 1000, 100_000, 100_001, 1_000_000} {
			for _, chunked := range []bool{false, true} {
				c := testkit.Dial(t, p.Addr)
				body := strings.Repeat("x", n)
				if chunked {
					c.Send("POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
					for rest := body; rest != ""; {
						piece := rest[:min(len(rest), 10_000)]
						rest = rest[len(piece):]
						if _, err := fmt.Fprintf(c, "%x\r\n%s\r\n", len(piece), piece); err != nil {
							break
						}
					}
					_, _ = c.Write([]byte("0\r\n\r\n"))
				} else {
					c.Send(fmt.Sprintf("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", n))
					_, _ = c.Write([]byte(body))
				}
				want := 200
				if n > 100_000 {
					want = 413
				}
				if r, err := c.TryRead("POST"); err != nil || r.StatusCode != want {
					t.Errorf("a body of %d bytes, chunked %v, is answered with %+v, %v, want %d", n, chunked, r, err, want)
				}
				_ = c.Close()
			}
		}
	})
}

// TestRouteRetry: a route's own retry stands in place of its pool's, and other routes keep that.
func TestRouteRetry(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		broken := testkit.Serve(t, always(func(*testkit.Peer, string) bool { return false }))
		p := testkit.Start(t, s, fmt.Sprintf(`
listeners:
  - address: 127.0.0.1:0
    pool: app
    routes: [{ match: { path: /once }, pool: app, retry: { attempts: 1 } }]
pools: { app: { policy: round_robin, servers: [%q, %q], eject: { enabled: false } } }
`, broken.Addr, echoing(t).Addr))
		c := testkit.Dial(t, p.Addr)
		n := map[int]int{}
		for range 10 {
			n[c.Get("/once").StatusCode]++
		}
		if n[200] != 5 || n[502] != 5 {
			t.Errorf("with one attempt of a server that breaks off and one that does not, the answers are %v, want five of each", n)
		}
		for range 10 {
			wantResponse(t, "by the pool's retry", c.Get("/"), 200, "ok")
		}
	})
}

// TestSplit: requests are shared out by weight, and clients with affinity stay where they are.
func TestSplit(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		named := func(name string) *testkit.Server {
			return testkit.Serve(t, always(testkit.Reply("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n"+name)))
		}
		a, b := named("a"), named("b")
		config := fmt.Sprintf(`
listeners:
  - address: 127.0.0.1:0
    routes:
      - { match: { path: /free }, split: [{ pool: a, weight: 3 }, { pool: b }] }
      - { match: { path: /kept }, split: [{ pool: kept-a }, { pool: kept-b }] }
      - { match: { path: /hash }, split: [{ pool: hash-a }, { pool: hash-b }] }
pools:
  a: { servers: [%[1]q] }
  b: { servers: [%[2]q] }
  kept-a: { servers: [%[1]q], affinity: { cookie: { name: poise } } }
  kept-b: { servers: [%[2]q], affinity: { cookie: { name: poise } } }
  hash-a: { servers: [%[1]q], affinity: { hash: { header: x-user } } }
  hash-b: { servers: [%[2]q], affinity: { hash: { header: x-user } } }
`, a.Addr, b.Addr)
		p := testkit.Start(t, s, config)
		c := testkit.Dial(t, p.Addr)
		n := map[string]int{}
		for range 400 {
			n[c.Get("/free").Body]++
		}
		if n["a"] < 250 || n["a"] > 350 || n["a"]+n["b"] != 400 { // 300, and five times what is usual beside it
			t.Errorf("of 400 requests 3:1 the pools get %v", n)
		}

		cookies := map[string]string{}
		for range 40 {
			r := c.Get("/kept")
			cookie, _, _ := strings.Cut(r.Header.Get("Set-Cookie"), ";")
			cookies[r.Body] = cookie
		}
		if len(cookies) != 2 || cookies["a"] == "" || cookies["b"] == "" {
			t.Fatalf("40 new clients have the cookies %v, want one of each pool", cookies)
		}
		user := map[string]int{}
		for i := range 40 {
			for name, cookie := range cookies {
				c.Send(getOf("/kept", "Cookie: "+cookie))
				if r := c.Read("GET"); r.Body != name {
					t.Errorf("the client of %s is sent to %s", name, r.Body)
				}
			}
			var first string
			for range 3 {
				c.Send(getOf("/hash", fmt.Sprint("X-User: ", i)))
				r := c.Read("GET")
				if first == "" {
					first = r.Body
				}
				if r.Body != first {
					t.Errorf("user %d is sent to %s and %s", i, first, r.Body)
				}
			}
			user[first]++
		}
		if user["a"] < 5 || user["b"] < 5 {
			t.Errorf("of 40 users the pools get %v, want about half each", user)
		}
		p.Reload(t, strings.Replace(config, "{ pool: kept-a }", "{ pool: kept-a, weight: 0 }", 1))
		c.Send(getOf("/kept", "Cookie: "+cookies["a"]))
		if r := c.Read("GET"); r.Body != "a" {
			t.Error("a client leaves the pool that takes no new ones")
		}
		for range 20 {
			if r := c.Get("/kept"); r.Body != "b" {
				t.Error("a pool of weight 0 gets a new client")
			}
		}
	})
}
