package wire

import (
	"fmt"
	"strings"
	"testing"

	"poise/internal/testkit"
)

// tokenOf is the affinity cookie's value that a response sets, or empty.
func tokenOf(r *testkit.Response, name string) string {
	for _, c := range r.Cookies() {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

// getWith sends a GET with a Cookie field, if there is one.
func getWith(t *testing.T, p *testkit.Poise, path, cookie string) *testkit.Response {
	t.Helper()
	c := testkit.Dial(t, p.Addr)
	if cookie == "" {
		return c.Get(path)
	}
	c.Send(getOf(path, "Cookie: "+cookie))
	return c.Read("GET")
}

func TestHT7AffinityCookie(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		one, two, other := named(t, "one.test"), named(t, "two.test"), named(t, "other") // with a letter that no cookie has
		p := testkit.Start(t, s, fmt.Sprintf(`
listeners: [{ name: web, address: "127.0.0.1:0", pool: app, routes: [{ match: { path: /other/* }, pool: other }] }]
pools:
  app: { policy: round_robin, servers: [%s, %s], affinity: { cookie: { name: aff } } }
  other: { servers: [%s], affinity: { cookie: { name: aff } } }
`, one.Addr, two.Addr, other.Addr))
		tokens := map[string]string{} // by the server's name
		for range 8 {
			r := getWith(t, p, "/", "")
			token := tokenOf(r, "aff")
			if token == "" || tokens[r.Body] != "" && tokens[r.Body] != token {
				t.Fatalf("%s gave the cookie %q, and before %q", r.Body, token, tokens[r.Body])
			}
			tokens[r.Body] = token
			if raw := r.Header.Get("Set-Cookie"); strings.Contains(raw, "127.0.0.1") || !strings.Contains(raw, "HttpOnly") || strings.Contains(raw, r.Body) {
				t.Errorf("Set-Cookie: %s, want HttpOnly and nothing of the server", raw)
			}
		}
		if len(tokens) != 2 || tokens["one.test"] == tokens["two.test"] {
			t.Fatalf("cookies %v, want one for each of two servers", tokens)
		}
		otherToken := tokenOf(getWith(t, p, "/other/", ""), "aff")
		for server, token := range tokens {
			for range 6 {
				r := getWith(t, p, "/", "a=b; aff="+token+"; c=d")
				if r.Body != server || tokenOf(r, "aff") != "" {
					t.Errorf("the cookie of %s led to %s, new cookie %q", server, r.Body, tokenOf(r, "aff"))
				}
			}
		}
		got := one.Got() + two.Got()
		if s.HTTP2 || s.ServerHTTP2 { // whose names are in lower case
			got = strings.ReplaceAll(got, "cookie: ", "Cookie: ")
		}
		if !strings.Contains(got, "Cookie: a=b; aff=") {
			t.Error("the client's cookies did not reach the server")
		}
		flipped := []byte(tokens["one.test"])
		flipped[3] ^= 1
		forged := map[string]string{
			"another pool's": otherToken, "flipped": string(flipped), "an address": one.Addr, "a name": "one.test", "a number": "0", "empty": "", "8 KiB": strings.Repeat("A", 8<<10),
			"cut": tokens["one.test"][:21], "longer": tokens["one.test"] + "A", "quoted": `"` + tokens["one.test"] + `"`, "other case": strings.ToUpper(tokens["one.test"]),
			"path": "../" + tokens["one.test"],
		}
		for name, token := range forged {
			got := map[string]bool{}
			for range 4 {
				r := getWith(t, p, "/", "aff="+token)
				if r.StatusCode != 200 || r.Body == "other" || tokenOf(r, "aff") != tokens[r.Body] {
					t.Errorf("%s: %d %q with cookie %q, want normal balancing and the right cookie", name, r.StatusCode, r.Body, tokenOf(r, "aff"))
				}
				got[r.Body] = true
			}
			if len(got) != 2 && s.Loops == 1 {
				t.Errorf("%s: requests went to %v alone, want both in turn", name, got)
			}
		}
		if r := getWith(t, p, "/other/", "aff="+tokens["one.test"]); r.Body != "other" || tokenOf(r, "aff") != otherToken {
			t.Errorf("a cookie of pool app led to %s in pool other", r.Body)
		}
		// Two cookies of the name: the first that can be read counts.
		if r := getWith(t, p, "/", "aff=; aff="+tokens["two.test"]+"; aff="+tokens["one.test"]); r.Body != "two.test" {
			t.Errorf("of several cookies another than the first counted: %s", r.Body)
		}
	})
}

func TestHT7CookieOfAServerThatIsDown(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		one, two := named(t, "one"), named(t, "two")
		p := testkit.Start(t, s, fmt.Sprintf("listen: 127.0.0.1:0\nservers: [%s, %s]\n%s\naffinity: { cookie: { name: aff, secret: 0123456789abcdef0123456789abcdef } }\n",
			one.Addr, two.Addr, fastProbes))
		tokens := map[string]string{}
		testkit.Eventually(t, "answer of each server", func() bool {
			r := getWith(t, p, "/", "")
			tokens[r.Body] = tokenOf(r, "aff")
			return tokens["one"] != "" && tokens["two"] != ""
		})
		one.Stop()
		// At first the connect fails, then the server is known to be down: the client sees neither.
		for range 3 {
			if r := getWith(t, p, "/gone", "aff="+tokens["one"]); r.StatusCode != 200 || r.Body == "two" && tokenOf(r, "aff") != tokens["two"] {
				t.Errorf("with the cookie of a server that is gone: %d %q, cookie %q, want another's", r.StatusCode, r.Body, tokenOf(r, "aff"))
			}
		}
		testkit.Eventually(t, "server that is down", func() bool { return p.App.Status().Pools[0].Servers[0].State == "down" })
		var r *testkit.Response
		path, n := "", 0
		testkit.Eventually(t, "picker without it", func() bool { // pickers follow within 100 ms
			n++
			path = fmt.Sprintf("/down%d", n)
			r = getWith(t, p, path, "aff="+tokens["one"])
			return r.Body == "two"
		})
		if tokenOf(r, "aff") != tokens["two"] {
			t.Errorf("with the cookie of a server that is down: %q, cookie %q, want the other's", r.Body, tokenOf(r, "aff"))
		}
		if end := p.Await(t, path).End; end != "--DU" {
			t.Errorf("the record ends %q, want --DU: the cookie's server was down, the cookie was updated", end)
		}
	})
}

// A weight of 0 means no new clients; a replayed cookie is of an old one.
func TestHT7CookieOfAServerOfWeightZero(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		one, two := named(t, "one"), named(t, "two")
		const secret = "affinity: { cookie: { secret: 0123456789abcdef0123456789abcdef } }\n"
		p := testkit.Start(t, s, fmt.Sprintf("listen: 127.0.0.1:0\nservers: [%s]\n"+secret, one.Addr))
		token := tokenOf(getWith(t, p, "/", ""), "poise")
		q := testkit.Start(t, s, fmt.Sprintf("listen: 127.0.0.1:0\nservers: [{ address: %q, weight: 0 }, %s]\n"+secret, one.Addr, two.Addr))
		for range 3 {
			if r := getWith(t, q, "/", ""); r.Body != "two" {
				t.Errorf("a new client went to %s, want two", r.Body)
			}
			if r := getWith(t, q, "/", "poise="+token); r.Body != "one" {
				t.Errorf("an old client, of another instance with the secret, went to %s, want one", r.Body)
			}
		}
		// Of a server that is no member, the token is nobody's.
		r := testkit.Start(t, s, fmt.Sprintf("listen: 127.0.0.1:0\nservers: [%s]\n"+secret, two.Addr))
		if got := getWith(t, r, "/", "poise="+token); got.Body != "two" || tokenOf(got, "poise") == "" {
			t.Errorf("the cookie of a removed server led to %q, want two and a new cookie", got.Body)
		}
	})
}
