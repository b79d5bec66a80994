package wire

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"poise/internal/testkit"
)

// mirrored is how many copies came to that result, by the admin address.
func mirrored(t *testing.T, socket, result string) int {
	t.Helper()
	return metric(t, socket, fmt.Sprintf(`poise_route_mirrored_requests_total{listener="web",result=%q,route="all"}`, result))
}

// catcher is a server that keeps the requests which it gets.
type catcher struct {
	*testkit.Server
	got chan *testkit.Request
}

func catch(t *testing.T, answers ...string) *catcher {
	c := &catcher{got: make(chan *testkit.Request, 1000)}
	c.Server = testkit.Serve(t, always(func(p *testkit.Peer, head string) bool {
		r, err := p.BodyOf(head)
		if err != nil {
			return false
		}
		c.got <- r
		return p.Send(strings.Join(answers, "")) == nil
	}))
	return c
}

func (c *catcher) next(t *testing.T) *testkit.Request {
	t.Helper()
	select {
	case r := <-c.got:
		return r
	case <-time.After(10 * time.Second):
		t.Fatal("the server has got no request")
		return nil
	}
}

// catchMirror has an answer that must not reach a client.
func catchMirror(t *testing.T) *catcher {
	return catch(t, "HTTP/1.1 103 Early Hints\r\nLink: </mirror>\r\n\r\n", answerWith("of the mirror", "X-Mirror: 1"))
}

// hang is a server that takes requests and says nothing.
func hang(t *testing.T) *testkit.Server {
	return testkit.Serve(t, always(func(p *testkit.Peer, _ string) bool {
		_, _ = p.AwaitEnd()
		return false
	}))
}

func mirrorConfig(socket, settings, app, mirror string) string {
	return fmt.Sprintf(`
admin: { address: "unix:%s" }
listeners:
  - name: web
    address: 127.0.0.1:0
    routes:
      - { name: all, match: { path: /api/* }, pool: app, rewrite: { prefix: /v1 }, request_headers: { set: { x-by: "{client_ip}" } }, mirror: { pool: mirror%s } }
      - { name: rest, pool: app }
pools: { app: { servers: [%q] }, mirror: { servers: [%q] } }
`, socket, settings, app, mirror)
}

// TestMirrorCopies: a copy is what the request's own server gets, and its answer is nobody's.
func TestMirrorCopies(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		app, mirror, socket := catch(t, answerWith("of the server")), catchMirror(t), filepath.Join(t.TempDir(), "admin")
		p := testkit.Start(t, s, mirrorConfig(socket, ", max_body: 40000", app.Addr, mirror.Addr))
		c := testkit.Dial(t, p.Addr)
		large := strings.Repeat("x", 40_000)
		for _, request := range []string{
			getOf("/api/a?b=c", "Cookie: s=1", "X-Forwarded-For: 1.2.3.4"),
			"DELETE /api/b HTTP/1.1\r\nHost: a\r\n\r\n",
			"POST /api/c HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
			"POST /api/d HTTP/1.1\r\nHost: a\r\nContent-Length: 40000\r\n\r\n" + large,
			"PUT /api/e HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\nX-Sum: 7\r\n\r\n",
			"POST /api/f HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		} {
			c.Send(request)
			method, _, _ := strings.Cut(request, " ")
			r := c.Read(method)
			if r.StatusCode != 200 || r.Body != "of the server" || r.Header.Get("X-Mirror") != "" || r.Header.Get("Link") != "" {
				t.Errorf("%.20q is answered with %d %v %q", request, r.StatusCode, r.Header, r.Body)
			}
			want, got := app.next(t), mirror.next(t)
			if got.Method != want.Method || got.URL.String() != want.URL.String() || got.Host != want.Host || got.Body != want.Body {
				t.Errorf("of %s %s with %d bytes the copy is %s %s with %d", want.Method, want.URL, len(want.Body), got.Method, got.URL, len(got.Body))
			}
			for _, name := range []string{"X-By", "X-Request-Id", "X-Forwarded-For", "X-Forwarded-Host", "Cookie"} {
				if a, b := want.Header.Values(name), got.Header.Values(name); fmt.Sprint(a) != fmt.Sprint(b) {
					t.Errorf("of %s: %q the copy has %q", name, a, b)
				}
			}
			if n := len(got.Body); n > 0 && got.ContentLength != int64(n) {
				t.Errorf("the copy of %.20q says that it has %d bytes, and has %d", request, got.ContentLength, n)
			}
		}
		// These are not copied, and nor is what another route takes.
		for _, request := range []string{
			"POST /api/large HTTP/1.1\r\nHost: a\r\nContent-Length: 40001\r\n\r\n" + large + "y",
			"POST /api/large HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n9c40\r\n" + large + "\r\n1\r\ny\r\n0\r\n\r\n",
			getOf("/b"),
		} {
			c.Send(request)
			method, _, _ := strings.Cut(request, " ")
			wantResponse(t, "what is not copied", c.Read(method), 200, "of the server")
			app.next(t)
		}
		testkit.Eventually(t, "six copies are answered", func() bool { return mirrored(t, socket, "answered") == 6 })
		if n := mirrored(t, socket, "too_large"); n != 2 {
			t.Errorf("%d copies were too large, want 2", n)
		}
		if n := len(mirror.got); n > 0 {
			t.Errorf("the mirror has got %d requests more", n)
		}
		for path, records := range p.Parsed(t, 9) {
			for _, r := range records {
				if r.Pool != "app" || r.Status != 200 {
					t.Errorf("the record of %s is %+v", path, r)
				}
			}
		}
	})
}

// TestMirrorHangs: no request waits for a mirror that takes copies and says nothing, and only so many copies wait there.
func TestMirrorHangs(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		app, hanging, socket := testkit.Serve(t, testkit.Answer(answerWith("app"))), hang(t), filepath.Join(t.TempDir(), "admin")
		p := testkit.Start(t, s, mirrorConfig(socket, ", max_requests: 5, timeout: 2s", app.Addr, hanging.Addr))
		c := testkit.Dial(t, p.Addr)
		begun := time.Now()
		for range 50 {
			wantResponse(t, "a request whose copy hangs", c.Get("/api/a"), 200, "app")
		}
		refused := mirrored(t, socket, "too_many")
		// Those 5 have ended after 2 s, and then there is room for 5 more.
		if least := 50 - 5*(1+int(time.Since(begun)/(2*time.Second))); refused < least || refused > 45 {
			t.Errorf("%d copies were too many, want %d to 45", refused, least)
		}
		testkit.Eventually(t, "the copies are given up", func() bool { return mirrored(t, socket, "failed") == 50-refused })
		wantResponse(t, "a request after that", c.Get("/api/a"), 200, "app")
		if n := mirrored(t, socket, "too_many"); n != refused {
			t.Error("a copy was not made although there was room")
		}
	})
}

// TestMirrorIsGone: nor does any fail for a mirror without a server, one that breaks off, or one that says what is no HTTP.
func TestMirrorIsGone(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		for name, script := range map[string]func(p *testkit.Peer){
			"closes": func(*testkit.Peer) {},
			"cuts":   func(p *testkit.Peer) { _, _ = p.ReadHead() },
			"nonsense": func(p *testkit.Peer) {
				_, _ = p.ReadHead()
				_ = p.Send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n")
			},
			"cuts its body": func(p *testkit.Peer) {
				_, _ = p.ReadHead()
				_ = p.Send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
			},
			"nobody": nil,
		} {
			app, socket := testkit.Serve(t, testkit.Answer(answerWith("app"))), filepath.Join(t.TempDir(), "admin")
			bad := testkit.Serve(t, script)
			if script == nil {
				bad.Stop()
			}
			p := testkit.Start(t, s, mirrorConfig(socket, "", app.Addr, bad.Addr))
			c := testkit.Dial(t, p.Addr)
			for range 10 {
				wantResponse(t, "a request whose mirror is bad: "+name, c.Get("/api/a"), 200, "app")
			}
			testkit.Eventually(t, name+": all copies have failed", func() bool { return mirrored(t, socket, "failed") == 10 })
		}
	})
}

// TestMirrorOfWhatBreaksOff: what was never whole is not copied, and leaves no place taken.
func TestMirrorOfWhatBreaksOff(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		app, mirror, socket := testkit.Serve(t, always(func(p *testkit.Peer, head string) bool {
			if strings.HasPrefix(head, "POST ") {
				_, _ = p.AwaitEnd()
				return false
			}
			return p.Send(answerWith("app")) == nil
		})), catchMirror(t), filepath.Join(t.TempDir(), "admin")
		p := testkit.Start(t, s, mirrorConfig(socket, ", max_requests: 1", app.Addr, mirror.Addr))
		for i := range 5 {
			path := fmt.Sprint("/api/", i)
			c := testkit.Dial(t, p.Addr)
			c.Send("POST " + path + " HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n6\r\npiece" + fmt.Sprint(i) + "\r\n")
			testkit.Eventually(t, "the server has got some of it", func() bool { return strings.Contains(app.Got(), fmt.Sprint("piece", i)) })
			c.ResetConn()
			p.Await(t, path)
		}
		testkit.Eventually(t, "five copies have failed", func() bool { return mirrored(t, socket, "failed") == 5 })
		wantResponse(t, "a whole request", testkit.Dial(t, p.Addr).Get("/api/b"), 200, "app")
		if r := mirror.next(t); r.URL.Path != "/v1/b" || len(mirror.got) > 0 {
			t.Errorf("the mirror has got %s first, and %d more", r.URL, len(mirror.got))
		}
	})
}

// TestMirrorShare: about as many are copied as the configuration says, whatever pool of a split gets the request.
func TestMirrorShare(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		servers := []*catcher{catch(t, answerWith("a")), catch(t, answerWith("b"))}
		mirror, socket := catchMirror(t), filepath.Join(t.TempDir(), "admin")
		p := testkit.Start(t, s, fmt.Sprintf(`
admin: { address: "unix:%s" }
listeners: [{ name: web, address: "127.0.0.1:0", routes: [{ name: all, split: [{ pool: a }, { pool: b }], mirror: { pool: mirror, share: 50%% } }] }]
pools: { a: { servers: [%q] }, b: { servers: [%q] }, mirror: { servers: [%q] } }
`, socket, servers[0].Addr, servers[1].Addr, mirror.Addr))
		c := testkit.Dial(t, p.Addr)
		for range 400 {
			c.Get("/")
		}
		testkit.Eventually(t, "all copies are answered", func() bool { return mirrored(t, socket, "answered") == len(mirror.got) })
		copied := map[string]bool{}
		for range len(mirror.got) {
			copied[mirror.next(t).Header.Get("X-Request-Id")] = true
		}
		for _, server := range servers {
			n, all := 0, len(server.got)
			for range all {
				if copied[server.next(t).Header.Get("X-Request-Id")] {
					n++
				}
			}
			// Of 150 coins and more, fewer than a quarter fall on one side once in a billion times.
			if all < 150 || n < all/4 || n > all*3/4 {
				t.Errorf("of %d requests of a pool %d are copied, want half", all, n)
			}
		}
	})
}

// TestMirrorReload: copies that hang hold nothing up, neither a reload that takes their pool away nor what comes after it.
func TestMirrorReload(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		app, hanging, socket := testkit.Serve(t, testkit.Answer(answerWith("app"))), hang(t), filepath.Join(t.TempDir(), "admin")
		p := testkit.Start(t, s, mirrorConfig(socket, ", max_requests: 3, timeout: 1m", app.Addr, hanging.Addr))
		c := testkit.Dial(t, p.Addr)
		for range 3 {
			wantResponse(t, "a request before the reload", c.Get("/api/a"), 200, "app")
		}
		testkit.Eventually(t, "three copies at the mirror", func() bool { return strings.Count(hanging.Got(), "/v1/a") == 3 })
		next := catchMirror(t)
		config := strings.ReplaceAll(mirrorConfig(socket, ", max_requests: 4", app.Addr, next.Addr), "pool: mirror", "pool: next")
		begun := time.Now()
		p.Reload(t, strings.ReplaceAll(config, "mirror: { servers", "next: { servers"))
		if d := time.Since(begun); d > 10*time.Second {
			t.Errorf("the reload took %v", d)
		}
		for range 4 {
			wantResponse(t, "a request after the reload", c.Get("/api/b"), 200, "app")
			if r := next.next(t); r.URL.Path != "/v1/b" {
				t.Errorf("the new mirror has got %s", r.URL)
			}
		}
		if n := mirrored(t, socket, "too_many"); n != 0 {
			t.Errorf("%d copies were not made", n)
		}
	})
}
