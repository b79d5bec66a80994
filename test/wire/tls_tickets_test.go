package wire

import (
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"os"
	"strings"
	"testing"

	"poise/internal/testkit"
)

var tlsVersions = []uint16{tls.VersionTLS12, tls.VersionTLS13}

// ticketKey is a line of a file of keys.
func ticketKey() string {
	b := make([]byte, 48)
	_, _ = rand.Read(b)
	return base64.StdEncoding.EncodeToString(b) + "\n"
}

// someSetups runs f over two setups, where drivers make no difference.
func someSetups(t *testing.T, f func(t *testing.T, s testkit.Setup)) {
	t.Helper()
	all := testkit.Setups(t)
	for i, s := range all {
		if i == 0 || i == len(all)-1 {
			t.Run(s.String(), func(t *testing.T) { f(t, s) })
		}
	}
}

// sessions is a client that keeps its session, with a certificate where the server asks for one.
func sessions(cert *testkit.Certificate, client *tls.Certificate, version uint16) *tls.Config {
	c := as(cert, client)
	c.MaxVersion, c.ClientSessionCache = version, tls.NewLRUClientSessionCache(1)
	return c
}

// TestTLSTicketsShared: what shares a file of keys resumes each other's sessions, also while keys are exchanged, and nothing else does.
func TestTLSTicketsShared(t *testing.T) {
	t.Parallel()
	someSetups(t, func(t *testing.T, s testkit.Setup) {
		server, cert := echoing(t).Addr, testkit.NewCertificate(t, "localhost")
		start := func(extra string) *testkit.Poise {
			t.Helper()
			return testkit.Start(t, s, strings.Replace(secured(server, []*testkit.Certificate{cert}), "tls: {", "tls: { "+extra, 1))
		}
		old, young := ticketKey(), ticketKey()
		file := testkit.WriteFile(t, "keys", []byte("# ours\n"+old))
		shared := fmt.Sprintf("session_ticket_keys: %q,", file)
		first, second := start(shared), start(shared)
		other, alone := start(fmt.Sprintf("session_ticket_keys: %q,", testkit.WriteFile(t, "keys", []byte(young)))), start("")
		put := func(data string) {
			t.Helper()
			exchanged := func(p *testkit.Poise) int { return strings.Count(p.Log.String(), "tickets were exchanged") }
			before := map[*testkit.Poise]int{first: exchanged(first), second: exchanged(second)}
			if err := os.WriteFile(file, []byte(data), 0o600); err != nil {
				t.Fatal(err)
			}
			for p, n := range before {
				testkit.Eventually(t, "the new keys are read", func() bool { return exchanged(p) > n })
			}
		}
		// want has a client of each version come to p.
		want := func(what string, resumed bool, clients []*tls.Config, p *testkit.Poise) {
			t.Helper()
			for _, c := range clients {
				if got, err := tryGet(t, p.Addr, c); err != nil || got != resumed {
					t.Errorf("%s: %s: resumed %t, %v, want %t", tls.VersionName(c.MaxVersion), what, got, err, resumed)
				}
			}
		}
		clients := func() (list []*tls.Config) {
			for _, version := range tlsVersions {
				list = append(list, sessions(cert, nil, version))
			}
			return list
		}
		some, strangers, before, after := clients(), clients(), clients(), clients()
		want("a new client", false, some, first)
		want("a session of the first at the second", true, some, second)
		want("a session of the second at the first", true, some, first)
		want("a new client", false, strangers, first)
		want("at one with other keys", false, strangers, other)
		want("at one with keys of its own", false, strangers, alone)
		want("back at the first", false, strangers, first)

		want("a new client", false, before, first)
		put(young + old)
		want("with a key before its own", true, before, second)
		want("a new client", false, after, second)
		put(young)
		want("without the old key, a session of the new one", true, after, first)
		put(old)
		want("without its key", false, after, first)
	})
}

// TestTQ5SessionOfAnotherListener: a session is resumed only under the rule on clients that it began under, whoever has the keys.
func TestTQ5SessionOfAnotherListener(t *testing.T) {
	t.Parallel()
	a, b := testkit.NewAuthority(t, "ca", nil), testkit.NewAuthority(t, "ca", nil)
	of := map[*testkit.Authority]*tls.Certificate{a: a.Client(t, "a", nil), b: b.Client(t, "b", nil), nil: nil}
	rule := func(ca *testkit.Authority, more string) string {
		return fmt.Sprintf("client_certificates: { ca: %q%s }", testkit.WriteFile(t, "ca.pem", ca.PEM()), more)
	}
	keys := fmt.Sprintf(", session_ticket_keys: %q", testkit.WriteFile(t, "keys", []byte(ticketKey())))
	listeners := []struct {
		name, tls string
		ca        *testkit.Authority
		none      bool // a client without a certificate is let in
	}{
		{"plain", "strict_names: false" + keys, nil, true},
		{"lax", rule(a, ", required: false") + keys, a, true},
		{"strict", rule(a, "") + keys, a, false},
		{"another authority", rule(b, "") + keys, b, false},
		{"own keys", "strict_names: false", nil, true},
		{"own keys too", "strict_names: false", nil, true},
	}
	someSetups(t, func(t *testing.T, s testkit.Setup) {
		server, cert := testkit.Serve(t, testkit.Answer(testkit.OK)), testkit.NewCertificate(t, "localhost")
		config := "listeners:\n"
		for i, l := range listeners {
			config += fmt.Sprintf("  - { name: l%d, address: \"127.0.0.1:0\", pool: app, tls: { certificates: [%s], %s } }\n", i, cert.YAML(), l.tls)
		}
		p := testkit.Start(t, s, config+fmt.Sprintf("pools: { app: { servers: [%q] } }\n", server.Addr))
		at := func(i int) string { return p.App.Status().Listeners[i].Addresses[0] }
		for _, version := range tlsVersions {
			for i, from := range listeners {
				for j, to := range listeners {
					for _, none := range []bool{false, true} {
						if none && !from.none {
							continue
						}
						client := of[from.ca]
						if none {
							client = nil
						}
						c := sessions(cert, client, version)
						if _, err := tryGet(t, at(i), c); err != nil {
							t.Fatalf("%s: %v", from.name, err)
						}
						next := as(cert, of[to.ca])
						next.MaxVersion, next.ClientSessionCache = version, c.ClientSessionCache
						resumed, err := tryGet(t, at(j), next)
						if err != nil || resumed != (i == j) {
							t.Errorf("%s: a session of %s (without a certificate: %t) at %s: resumed %t, %v", tls.VersionName(version), from.name, none, to.name, resumed, err)
						}
					}
				}
			}
		}
	})
}

// TestTQ6SessionsAfterReload: a session of an authority that a reload takes away lets nobody in, with keys of tickets that stay the same.
func TestTQ6SessionsAfterReload(t *testing.T) {
	t.Parallel()
	keys := testkit.WriteFile(t, "keys", []byte(ticketKey()))
	someSetups(t, func(t *testing.T, s testkit.Setup) {
		server, cert := testkit.Serve(t, testkit.Answer(testkit.OK)), testkit.NewCertificate(t, "localhost")
		old, young := testkit.NewAuthority(t, "ca", nil), testkit.NewAuthority(t, "ca", nil)
		file, both := testkit.WriteFile(t, "ca.pem", old.PEM()), append(old.PEM(), young.PEM()...)
		put := func(data []byte) {
			t.Helper()
			if err := os.WriteFile(file, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for _, extra := range []string{"", fmt.Sprintf(", session_ticket_keys: %q", keys)} {
			for _, required := range []string{"", ", required: false"} {
				put(old.PEM())
				config := strings.Replace(mutual(server.Addr, cert, fmt.Sprintf("ca: %q%s", file, required)), " } } }\n", " }"+extra+" } }\n", 1)
				p := testkit.Start(t, s, config)
				for _, version := range tlsVersions {
					put(old.PEM())
					p.Reload(t, config)
					c := sessions(cert, old.Client(t, "x", nil), version)
					want := func(what string, resumed bool) {
						t.Helper()
						if got, err := tryGet(t, p.Addr, c); err != nil || got != resumed {
							t.Errorf("%s%s%s, %s: resumed %t, %v, want %t", tls.VersionName(version), extra, required, what, got, err, resumed)
						}
					}
					want("at first", false)
					p.Reload(t, config)
					want("after a reload that changes nothing", true)
					put(both)
					p.Reload(t, config)
					want("with another authority beside", false)
					want("with another authority beside, again", true)
					put(young.PEM())
					p.Reload(t, config)
					wantRefused(t, "a session of an authority that was taken away", p.Addr, c, "bad certificate")
				}
			}
		}
	})
}
