package wire

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"poise/internal/testkit"
)

// TestRouteMatches: a request is compared with all that a match can have. Each route's answer is its name.
func TestRouteMatches(t *testing.T) {
	t.Parallel()
	const config = `
matches:
  inside: { source: [127.0.0.0/8], headers: { x-inside: { present: true } } }
listeners:
  - address: 127.0.0.1:0
    trusted_proxies: [127.0.0.1]
    routes:
      - { match: { host: regex.test, path_regex: "/v[0-9]+/.*" }, reply: { body: path_regex } }
      - { match: { path: /h, headers: { x-a: { present: true }, x-b: { absent: true } } }, reply: { body: there and not there } }
      - { match: { path: /h, headers: { x-a: { prefix: ab } } }, reply: { body: prefix } }
      - { match: { path: /h, headers: { x-c: { regex: "[0-9]+" } } }, reply: { body: regex } }
      - { match: { path: /c, cookies: { session: { present: true } } }, reply: { body: cookie } }
      - { match: { path: /c, cookies: { session: "7", theme: dark } }, reply: { body: two cookies } }
      - { match: { path: /q, query: { page: { regex: "[0-9]/[0-9]" } } }, reply: { body: parameter } }
      - { match: { path: /q, query: { debug: { absent: true }, page: { absent: true } } }, reply: { body: no parameter } }
      - { match: { path: /s, source: [192.0.2.0/24, "2001:db8::/32"] }, reply: { body: source } }
      - { match: { path: /s, use: inside }, reply: { body: inside } }
      - { match: [{ path: /one }, { host: two.test, path: /two/* }], reply: { body: one of two } }
      - { reply: { status: 404, body: none } }
`
	tests := []struct {
		target string
		fields []string
		want   string
	}{
		{"/v12/x", []string{"Host: regex.test"}, "path_regex"},
		{"/v12", []string{"Host: regex.test"}, "none"},
		{"/%7612/x", []string{"Host: regex.test"}, "path_regex"},
		{"/x/../v1/", []string{"Host: regex.test"}, "path_regex"},
		{"/h", []string{"X-A: 1"}, "there and not there"},
		{"/h", []string{"X-A: abc", "X-B: 1"}, "prefix"},
		{"/h", []string{"X-A: ac", "X-B: 1"}, "none"},
		{"/h", []string{"X-C: 123"}, "regex"},
		{"/h", []string{"X-C: 123x"}, "none"},
		{"/c", []string{"Cookie: a=b; session=8"}, "cookie"},
		{"/c", []string{"Cookie: theme=dark; session=7"}, "two cookies"},
		{"/c", []string{"Cookie: xsession=8"}, "none"},
		{"/q?page=1%2F2", nil, "parameter"},
		{"/q?page=1", nil, "none"},
		{"/q?paged=1", nil, "no parameter"},
		{"/q?debug", nil, "none"},
		{"/s", []string{"X-Forwarded-For: 192.0.2.7"}, "source"},
		{"/s", []string{"X-Forwarded-For: 2001:db8::7"}, "source"},
		{"/s", []string{"X-Forwarded-For: 192.0.2.7, 198.51.100.1"}, "none"},
		{"/s", []string{"X-Inside: "}, "inside"},
		{"/s", []string{"X-Inside: 1", "X-Forwarded-For: 198.51.100.1"}, "none"},
		{"/one", nil, "one of two"},
		{"/two", []string{"Host: two.test"}, "one of two"},
		{"/two", nil, "none"},
		{"/h", []string{"X-C: " + strings.Repeat("1", 1025)}, "431"},
		{"/" + strings.Repeat("v", 1025), []string{"Host: regex.test"}, "414"},
		{"/q?page=" + strings.Repeat("1", 1025), nil, "414"},
	}
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		p := testkit.Start(t, s, config)
		for _, tt := range tests {
			c := testkit.Dial(t, p.Addr)
			c.Send("GET " + tt.target + " HTTP/1.1\r\n" + lines(withHost(tt.fields)) + "\r\n")
			r := c.Read("GET")
			got := r.Body
			if r.StatusCode > 404 {
				got = fmt.Sprint(r.StatusCode)
			}
			if got != tt.want {
				t.Errorf("GET %.40s %.40q is answered with %q, want %q", tt.target, tt.fields, got, tt.want)
			}
			_ = c.Close()
		}
		records := slices.Concat(slices.Collect(maps.Values(p.Parsed(t, len(tests))))...)
		if len(records) != len(tests) {
			t.Fatalf("%d records, want %d", len(records), len(tests))
		}
		for _, r := range records {
			if r.Route == "" && r.Status < 414 || r.Pool != "" || r.Server != "" {
				t.Errorf("the record of an answer of a route without a pool is %+v", r)
			}
		}
	})
}

// withHost adds a Host field where there is none.
func withHost(fields []string) []string {
	for _, f := range fields {
		if strings.HasPrefix(f, "Host:") {
			return fields
		}
	}
	return append([]string{"Host: example.test"}, fields...)
}

// TestRouteMatchesTLS: routes that look at what a handshake has shown.
func TestRouteMatchesTLS(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		authority := testkit.NewAuthority(t, "clients", nil)
		cert := testkit.NewCertificate(t, "a.test", "b.a.test", "c.test")
		ca := testkit.WriteFile(t, "ca.pem", authority.PEM())
		p := testkit.Start(t, s, fmt.Sprintf(`
listeners:
  - address: 127.0.0.1:0
    tls: { certificates: [%s], client_certificates: { ca: %q, required: false } }
    routes:
      - { match: { tls: { server_name: "*.a.test" } }, reply: { body: below } }
      - { match: { tls: { server_name: a.test, subject: { regex: "CN=(me|you)" } } }, reply: { body: known } }
      - { match: { tls: { server_name: a.test, subject: { absent: true } } }, reply: { body: unknown } }
      - { reply: { body: other } }
`, cert.YAML(), ca))
		for _, tt := range []struct{ name, client, want string }{
			{"b.a.test", "", "below"}, {"B.A.test", "", "below"}, {"a.test", "me", "known"}, {"a.test", "meme", "other"}, {"a.test", "", "unknown"}, {"c.test", "me", "other"},
		} {
			config := cert.Client(tt.name)
			if tt.client != "" {
				config.Certificates = append(config.Certificates, *authority.Client(t, tt.client, nil))
			}
			c, _ := testkit.DialTLS(t, p.Addr, config)
			c.Send("GET / HTTP/1.1\r\nHost: " + tt.name + "\r\n\r\n")
			if r := c.Read("GET"); r.Body != tt.want {
				t.Errorf("who asks for %s and is %q gets %q, want %q", tt.name, tt.client, r.Body, tt.want)
			}
			_ = c.Close()
		}
	})
}
