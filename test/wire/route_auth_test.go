package wire

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"poise/internal/testkit"
)

// TestForwardAuth: a request goes on where the server that is asked says so, and with what that one says of the client, which the client cannot say itself.
func TestForwardAuth(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		app := testkit.Serve(t, always(func(p *testkit.Peer, head string) bool {
			if strings.HasPrefix(head, "HEAD ") {
				return p.Send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n") == nil
			}
			r, err := p.BodyOf(head)
			if err != nil {
				return false
			}
			said := fmt.Sprintf("%s %s user=%q given=%q %d", r.Method, r.URL, r.Header.Values("X-User"), r.Header.Get("X-Given"), len(r.Body))
			return p.Send(answerWith(said, "Set-Cookie: app=1")) == nil
		}))
		asked := make(chan string, 100)
		auth := testkit.Serve(t, always(func(p *testkit.Peer, head string) bool {
			asked <- head
			uri := strings.Join(testkit.FieldsOf(head, "X-Forwarded-Uri"), ",")
			switch {
			case strings.HasPrefix(uri, "/hang"):
				_, _ = p.AwaitEnd()
				return false
			case strings.HasPrefix(uri, "/cut"):
				return false
			case strings.HasPrefix(uri, "/login"):
				return p.Send("HTTP/1.1 302 Found\r\nLocation: https://login.test/\r\nSet-Cookie: s=1\r\nContent-Length: 5\r\n\r\nlogin") == nil
			case len(testkit.FieldsOf(head, "Authorization")) == 0:
				return p.Send("HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer\r\nContent-Length: 4\r\n\r\nwho?") == nil
			case strings.HasPrefix(uri, "/nobody"):
				return p.Send("HTTP/1.1 204 No Content\r\n\r\n") == nil
			}
			return p.Send("HTTP/1.1 200 OK\r\nX-User: ann\r\nX-Secret: 1\r\nSet-Cookie: session=2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n") == nil
		}))
		p := testkit.Start(t, s, fmt.Sprintf(`
listeners:
  - address: 127.0.0.1:0
    routes:
      - pool: app
        forward_auth: { pool: auth, path: "/verify?level=2", copy: [x-user], copy_to_client: [set-cookie], timeout: 300ms }
        request_headers: { set: { x-given: "{header.x-user}" } }
pools: { app: { servers: [%q] }, auth: { servers: [%q], retry: { attempts: 1 } } }
`, app.Addr, auth.Addr))
		c := testkit.Dial(t, p.Addr)
		large := strings.Repeat("x", 100_000)
		for _, tt := range []struct {
			request string
			status  int
			body    string
		}{
			{getOf("/a?b=c", "Authorization: x", "X-User: root", "X-Forwarded-Uri: /nobody"), 200, `GET /a?b=c user=["ann"] given="ann" 0`},
			{"POST /p HTTP/1.1\r\nHost: a\r\nAuthorization: x\r\nContent-Length: 3\r\n\r\nabc", 200, `POST /p user=["ann"] given="ann" 3`},
			{"POST /p HTTP/1.1\r\nHost: a\r\nAuthorization: x\r\nContent-Length: 100000\r\n\r\n" + large, 200, `POST /p user=["ann"] given="ann" 100000`},
			{getOf("/nobody", "Authorization: x", "X-User: root"), 200, `GET /nobody user=[] given="" 0`},
			{getOf("/a", "X-User: root"), 401, "who?"},
			{getOf("/login"), 302, "login"},
		} {
			c.Send(tt.request)
			method, _, _ := strings.Cut(tt.request, " ")
			r := c.Read(method)
			if r.StatusCode != tt.status || r.Body != tt.body {
				t.Errorf("%.30q is answered with %d %q, want %d %q", tt.request, r.StatusCode, r.Body, tt.status, tt.body)
			}
			if cookies := len(r.Header.Values("Set-Cookie")); tt.status == 200 && !strings.Contains(tt.request, "/nobody") && cookies != 2 || r.Header.Get("X-Secret") != "" {
				t.Errorf("%.30q is answered with %d cookies, %v", tt.request, cookies, r.Header)
			}
			head := <-asked
			if !strings.HasPrefix(head, "GET /verify?level=2 ") || strings.Join(testkit.FieldsOf(head, "X-Forwarded-Method"), ",") != method ||
				len(testkit.FieldsOf(head, "X-Forwarded-Uri")) != 1 || len(testkit.FieldsOf(head, "Content-Length")) > 0 {
				t.Errorf("for %.30q the question is %q", tt.request, head)
			}
		}
		if n := strings.Count(app.Got(), "/a"); n > 1 {
			t.Errorf("the server has got %d requests that were not to go on", n-1)
		}
		c.Send("HEAD /login HTTP/1.1\r\nHost: a\r\n\r\n")
		if r := c.Read("HEAD"); r.StatusCode != 302 || r.Body != "" {
			t.Errorf("HEAD that is refused is answered with %d %q", r.StatusCode, r.Body)
		}
		<-asked
		c.Send("HEAD /a HTTP/1.1\r\nHost: a\r\nAuthorization: x\r\n\r\n")
		if r := c.Read("HEAD"); r.StatusCode != 200 || r.Body != "" {
			t.Errorf("HEAD that is let through is answered with %d %q", r.StatusCode, r.Body)
		}
		<-asked
		if r := p.Await(t, "/nobody"); r.Auth < 0 || r.Pool != "app" || r.Attempts != 1 {
			t.Errorf("the record of a request that was let through is %+v", r)
		}
		for path, status := range map[string]int{"/hang": 504, "/cut": 502} {
			if r := testkit.Dial(t, p.Addr).Get(path); r.StatusCode != status {
				t.Errorf("where who is asked does %s the answer is %d, want %d", path, r.StatusCode, status)
			}
			<-asked
		}
		// What is left of a body that nobody has read is no request.
		c.Send("POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + "GET /smuggled HTTP/1.1\r\nHost: a\r\nAuthorization: x\r\n\r\n")
		if r := c.Read("POST"); r.StatusCode != 401 {
			t.Errorf("a request with a body that is refused is answered with %d", r.StatusCode)
		}
		if !s.HTTP2 {
			wantClosed(t, c)
		}
		if strings.Contains(app.Got(), "smuggled") {
			t.Error("the body of a request that was refused was taken for a request")
		}
		r := p.Await(t, "/login")
		if r.End != "PR--" || r.Pool != "auth" || !strings.Contains(r.Reason, "forward_auth") {
			t.Errorf("the record of a request that was refused is %+v", r)
		}
	})
}

// TestForwardAuthCopiesWhatIsAskedBy: a field that is copied from the answer may be what the question is decided by.
func TestForwardAuthCopiesWhatIsAskedBy(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		app := headServer(t)
		auth := testkit.Serve(t, always(func(p *testkit.Peer, head string) bool {
			if strings.Join(testkit.FieldsOf(head, "Authorization"), ",") != "Bearer short" {
				return p.Send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n") == nil
			}
			return p.Send("HTTP/1.1 200 OK\r\nAuthorization: Bearer long\r\nContent-Length: 0\r\n\r\n") == nil
		}))
		p := testkit.Start(t, s, fmt.Sprintf(`
listeners: [{ address: "127.0.0.1:0", routes: [{ pool: app, forward_auth: { pool: auth, copy: [authorization] } }] }]
pools: { app: { servers: [%q] }, auth: { servers: [%q] } }
`, app.Addr, auth.Addr))
		c := testkit.Dial(t, p.Addr)
		for range 3 {
			c.Send(getOf("/", "Authorization: Bearer short"))
			if r := c.Read("GET"); r.StatusCode != 200 || strings.Count(strings.ToLower(r.Body), "\r\nauthorization: bearer long\r\n") != 1 || strings.Contains(r.Body, "short") {
				t.Errorf("the answer is %d, and the server has got %q", r.StatusCode, r.Body)
			}
		}
		if n := auth.Connections(); n > s.Loops+1 {
			t.Errorf("three questions took %d connections", n)
		}
	})
}

// TestForwardAuthReload: a request that waits for leave still gets a server of a pool that a reload takes away meanwhile.
func TestForwardAuthReload(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		app, next := testkit.Serve(t, testkit.Answer(answerWith("app"))), testkit.Serve(t, testkit.Answer(answerWith("next")))
		asked, leave := make(chan struct{}, 10), make(chan struct{})
		auth := testkit.Serve(t, always(func(p *testkit.Peer, _ string) bool {
			asked <- struct{}{}
			<-leave
			return p.Send("HTTP/1.1 204 No Content\r\n\r\n") == nil
		}))
		config := func(name, addr string) string {
			return fmt.Sprintf(`
listeners: [{ address: "127.0.0.1:0", routes: [{ pool: %s, forward_auth: { pool: auth, timeout: 20s } }] }]
pools: { %s: { servers: [%q] }, auth: { servers: [%q] } }
`, name, name, addr, auth.Addr)
		}
		p := testkit.Start(t, s, config("app", app.Addr))
		c := testkit.Dial(t, p.Addr)
		c.Send(getOf("/"))
		<-asked
		reloaded := make(chan struct{})
		go func() {
			defer close(reloaded)
			p.Reload(t, config("next", next.Addr))
		}()
		select {
		case <-reloaded:
			t.Error("the reload has not waited for the request")
		case <-time.After(200 * time.Millisecond): // many times as long as it would take
		}
		close(leave)
		wantResponse(t, "a request that was asked about before the reload", c.Read("GET"), 200, "app")
		<-reloaded
		wantResponse(t, "one after it", testkit.Dial(t, p.Addr).Get("/"), 200, "next")
	})
}
