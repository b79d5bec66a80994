package wire

import (
	"fmt"
	"strings"
	"testing"

	"poise/internal/testkit"
)

// TestForwardAuth: a request goes on where the server that is asked says so, and with what that one says of the client, which the client cannot say itself.
func TestForwardAuth(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		app := testkit.Serve(t, always(func(p *testkit.Peer, head string) bool {
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
