package wire

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"poise/internal/testkit"
)

// forwarded are the fields that tell a server about the client.
var forwardedNames = []string{
	"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Prefix", "Forwarded", "X-Real-IP", "X-Client-Cert",
	"X-Client-Cert-Subject", "Client-Cert", "Client-Cert-Chain", "True-Client-IP",
}

// headOf sends a GET with fields, and returns the head that the server got.
func headOf(t *testing.T, c *testkit.Client, server *testkit.Server, path string, fields ...string) string {
	t.Helper()
	c.Send(getOf(path, fields...))
	wantResponse(t, path, c.Read("GET"), 200, "ok")
	_, head, ok := strings.Cut(server.Got(), "GET "+path+" ")
	head, _, ok2 := strings.Cut(head, "\r\n\r\n")
	if !ok || !ok2 {
		t.Fatalf("the server got no head for %s", path)
	}
	return head + "\r\n\r\n"
}

// valuesOf are the values of all forwarded fields in a head.
func valuesOf(head string) map[string][]string {
	m := map[string][]string{}
	for _, name := range forwardedNames {
		if v := testkit.FieldsOf(head, name); len(v) > 0 {
			m[name] = v
		}
	}
	return m
}

func TestHT1ForwardedFields(t *testing.T) {
	t.Parallel()
	all := []string{
		"X-Forwarded-For: 1.2.3.4", "X-Forwarded-Proto: https", "X-Forwarded-Host: evil.test", "X-Forwarded-Port: 1", "X-Forwarded-Prefix: /p",
		"Forwarded: for=1.2.3.4", "X-Real-IP: 1.2.3.4", "X-Client-Cert: abc", "X-Client-Cert-Subject: CN=root", "True-Client-IP: 1.2.3.4",
		"Client-Cert: :AAAA:", "client-cert-chain: :BBBB:",
	}
	own := map[string][]string{"X-Forwarded-For": {"127.0.0.1"}, "X-Forwarded-Proto": {"http"}, "X-Forwarded-Host": {"example.test"}}
	tests := []struct {
		name    string
		trusted string
		fields  []string
		want    map[string][]string
		client  string // in the log, without a port; empty: the connection's
	}{
		{"nothing sent", "", nil, own, ""},
		{"untrusted", "", all, own, ""},
		{"untrusted, in other cases", "", []string{"x-forwarded-for: 1.2.3.4", "X-FORWARDED-PROTO: https", "fOrWaRdEd: for=x"}, own, ""},
		{"untrusted, twice", "", []string{"X-Forwarded-For: 1.2.3.4", "X-Forwarded-For: 5.6.7.8"}, own, ""},
		{"another is trusted", "10.0.0.0/8", all, own, ""},
		{
			"trusted", "127.0.0.0/8", all,
			map[string][]string{
				"X-Forwarded-For": {"1.2.3.4, 127.0.0.1"}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"evil.test"}, "X-Forwarded-Port": {"1"},
				"X-Forwarded-Prefix": {"/p"}, "Forwarded": {"for=1.2.3.4"}, "X-Real-IP": {"1.2.3.4"}, "X-Client-Cert": {"abc"},
				"X-Client-Cert-Subject": {"CN=root"}, "True-Client-IP": {"1.2.3.4"}, "Client-Cert": {":AAAA:"}, "Client-Cert-Chain": {":BBBB:"},
			},
			"1.2.3.4",
		},
		{"trusted, nothing sent", "127.0.0.0/8", nil, own, ""},
		{
			"trusted, several fields", "127.0.0.0/8",
			[]string{"X-Forwarded-For: 1.1.1.1", "X-Forwarded-For: 2.2.2.2, 3.3.3.3"},
			map[string][]string{"X-Forwarded-For": {"1.1.1.1, 2.2.2.2, 3.3.3.3, 127.0.0.1"}, "X-Forwarded-Proto": {"http"}, "X-Forwarded-Host": {"example.test"}},
			"3.3.3.3",
		},
		{
			"the right-most that is not trusted", "127.0.0.0/8, 10.0.0.0/8",
			[]string{"X-Forwarded-For: 6.6.6.6, 1.2.3.4, 10.0.0.1,10.0.0.2"},
			map[string][]string{"X-Forwarded-For": {"6.6.6.6, 1.2.3.4, 10.0.0.1,10.0.0.2, 127.0.0.1"}, "X-Forwarded-Proto": {"http"}, "X-Forwarded-Host": {"example.test"}},
			"1.2.3.4",
		},
		{
			"what is behind rubbish is not believed", "127.0.0.0/8",
			[]string{"X-Forwarded-For: 1.2.3.4, unknown"},
			map[string][]string{"X-Forwarded-For": {"1.2.3.4, unknown, 127.0.0.1"}, "X-Forwarded-Proto": {"http"}, "X-Forwarded-Host": {"example.test"}},
			"",
		},
	}
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		server := testkit.Serve(t, testkit.Answer(testkit.OK))
		byTrust := map[string]*testkit.Poise{}
		n := map[string]int{}
		for i, tt := range tests {
			p := byTrust[tt.trusted]
			if p == nil {
				p = testkit.Start(t, s, fmt.Sprintf("listeners: [{ address: \"127.0.0.1:0\", pool: app, trusted_proxies: [%s] }]\npools: { app: { servers: [%s] } }\n",
					tt.trusted, server.Addr))
				byTrust[tt.trusted] = p
			}
			n[tt.trusted]++
			head := headOf(t, testkit.Dial(t, p.Addr), server, fmt.Sprintf("/%d", i), tt.fields...)
			if d := cmp.Diff(over(s, tt.want), valuesOf(head)); d != "" {
				t.Errorf("%s: the server got (-want +got):\n%s", tt.name, d)
			}
		}
		for trust, p := range byTrust {
			records := p.Parsed(t, n[trust])
			for i, tt := range tests {
				if rs := records[fmt.Sprintf("/%d", i)]; tt.trusted == trust && !strings.HasPrefix(rs[0].Client, tt.client) ||
					tt.trusted == trust && tt.client == "" && !strings.HasPrefix(rs[0].Client, "127.0.0.1:") {
					t.Errorf("%s: the log says client %q, want %q", tt.name, rs[0].Client, tt.client)
				}
			}
		}
	})
}

func TestHT1RequestID(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		for _, trusted := range []string{"", "127.0.0.1/32"} {
			server := testkit.Serve(t, testkit.Answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Request-Id: from-server\r\n\r\nok"))
			p := testkit.Start(t, s, fmt.Sprintf("listeners: [{ address: \"127.0.0.1:0\", pool: app, trusted_proxies: [%s] }]\npools: { app: { servers: [%s] } }\n",
				trusted, server.Addr))
			c := testkit.Dial(t, p.Addr)
			c.Send(getOf("/id", "X-Request-Id: given-id"))
			got := c.Read("GET").Header.Values("X-Request-Id")
			atServer := testkit.FieldsOf(server.Got(), "X-Request-Id")
			logged := p.Parsed(t, 1)["/id"][0].RequestID
			if len(got) != 1 || len(atServer) != 1 || got[0] != atServer[0] || got[0] != logged {
				t.Errorf("the id is %q for the client, %q for the server, %q in the log, want one and the same", got, atServer, logged)
			}
			if (got[0] == "given-id") != (trusted != "") || len(got[0]) != 36 && trusted == "" {
				t.Errorf("trusting %q: the id is %q", trusted, got[0])
			}
		}
	})
}

func TestHT2ConnectionOptions(t *testing.T) {
	t.Parallel()
	protected := []string{
		"host", "Host", "content-length", "authorization", "cookie", "x-forwarded-for", "X-Forwarded-Proto", "x-forwarded-host", "x-real-ip", "forwarded",
		"x-request-id", "close, Cookie", "x-ok, AUTHORIZATION", "true-client-ip", "x-client-cert", "x-client-cert-subject", "client-cert", "Client-Cert-Chain", "traceparent", "content-type", "expect",
	}
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		s.ClientHTTP1(t)
		p, server := before(t, s, nil)
		for _, option := range protected {
			c := testkit.Dial(t, p.Addr)
			c.Send(getOf("/protected", "Authorization: secret", "Cookie: a=b", "Connection: "+option))
			if r := c.Read("GET"); r.StatusCode != 400 || !r.Close {
				t.Errorf("Connection: %s = %d, close %v, want 400, true", option, r.StatusCode, r.Close)
			}
			wantClosed(t, c)
		}
		if got := server.Got(); got != "" {
			t.Errorf("the server got %q, want nothing", got)
		}
		c := testkit.Dial(t, p.Addr)
		head := headOf(t, c, server, "/listed", "X-Hop: 1", "x-hop2: 2", "X-Kept: 3", "Keep-Alive: timeout=1", "Proxy-Connection: x", "TE: trailers", "Upgrade: h2c",
			"HTTP2-Settings: AAA", "Proxy-Authorization: secret", "Connection: x-hop, keep-alive", "Connection: ,X-HOP2 ,, upgrade, HTTP2-Settings")
		for _, name := range []string{
			"X-Hop", "X-Hop2", "Keep-Alive", "Proxy-Connection", "TE", "Upgrade", "HTTP2-Settings", "Proxy-Authorization", "Connection",
		} {
			if v := testkit.FieldsOf(head, name); len(v) != 0 {
				t.Errorf("the server got %s: %q, want it to end here", name, v)
			}
		}
		if v := testkit.FieldsOf(head, "X-Kept"); len(v) != 1 || len(valuesOf(head)) != 3 {
			t.Errorf("the server got %q, want X-Kept and our own fields", head)
		}
		wantOpen(t, c)
		if n := len(p.Records(t, len(protected)+2)); n != len(protected)+2 {
			t.Errorf("%d records, want %d", n, len(protected)+2)
		}
	})
}

func TestHT2ConnectionOfTheServer(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		s.ServersHTTP1(t)
		p, _ := before(t, s, scripts{"/": testkit.Reply("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Hop: 1\r\nX-Kept: 2\r\nConnection: x-hop\r\nUpgrade: h2c\r\nProxy-Connection: x\r\n\r\nok")})
		r := testkit.Dial(t, p.Addr).Get("/")
		for _, name := range []string{"X-Hop", "Connection", "Upgrade", "Proxy-Connection"} {
			if v := r.Header.Values(name); len(v) > 0 {
				t.Errorf("the client got %s: %q", name, v)
			}
		}
		if r.Header.Get("X-Kept") != "2" {
			t.Errorf("the client got %v, want X-Kept", r.Header)
		}
	})
}

// over is what a server gets over a setup where it gets fields over clear text.
func over(s testkit.Setup, fields map[string][]string) map[string][]string {
	if !s.TLS || !slices.Equal(fields["X-Forwarded-Proto"], []string{"http"}) {
		return fields
	}
	fields = maps.Clone(fields)
	fields["X-Forwarded-Proto"] = []string{"https"}
	return fields
}

func TestHT3Underscores(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		p, server := before(t, s, nil)
		head := headOf(t, testkit.Dial(t, p.Addr), server, "/x", "X_Forwarded_For: 6.6.6.6", "X-Forwarded_Proto: https", "X-Auth_User: root", "Content_Length: 5",
			"_: a", "X_Real_IP: 6.6.6.6", "Co_okie: a", "X-Auth-User: me", "X-AUTH-USER: me too")
		if strings.Contains(head, "_") {
			t.Errorf("the server got %q, want no name with an underscore", head)
		}
		if v := testkit.FieldsOf(head, "X-Auth-User"); !cmp.Equal(v, []string{"me", "me too"}) {
			t.Errorf("X-Auth-User = %q, want both, in order", v)
		}
		own := map[string][]string{"X-Forwarded-For": {"127.0.0.1"}, "X-Forwarded-Proto": {"http"}, "X-Forwarded-Host": {"example.test"}}
		if d := cmp.Diff(over(s, own), valuesOf(head)); d != "" {
			t.Errorf("forwarded fields (-want +got):\n%s", d)
		}
	})
}
