package wire

import (
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"slices"
	"testing"

	"poise/internal/testkit"
)

// sequence is a certificate as RFC 9440 has it in a field.
func sequence(der []byte) string { return ":" + base64.StdEncoding.EncodeToString(der) + ":" }

// TestTLSClientCert: servers are told of a client's certificate what the handshake has shown, and nothing else.
func TestTLSClientCert(t *testing.T) {
	t.Parallel()
	ca := testkit.NewAuthority(t, "ca", nil)
	file := testkit.WriteFile(t, "ca.pem", ca.PEM())
	plain, lower, lowest := ca.Client(t, "plain", nil), ca.Below(t, "below", nil), (*testkit.Authority)(nil)
	lowest = lower.Below(t, "lowest", nil)
	through := lowest.Client(t, "through", nil)
	extra := *plain
	extra.Certificate = append(slices.Clone(extra.Certificate), testkit.NewAuthority(t, "liar", nil).Cert.Raw)
	chain := sequence(through.Certificate[1]) + ", " + sequence(through.Certificate[2])
	lies := []string{"Client-Cert: :AAAA:", "CLIENT-CERT-CHAIN: :BBBB:", "Client_Cert: :CCCC:", "client-cert: :DDDD:"}
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		server, cert := testkit.Serve(t, testkit.Answer(testkit.OK)), testkit.NewCertificate(t, "example.test")
		n := 0
		for _, listener := range []string{"", ", required: false"} {
			for _, trust := range []string{"", ", trusted_proxies: [127.0.0.1]"} {
				p := testkit.Start(t, s, fmt.Sprintf("listeners:\n  - { address: \"127.0.0.1:0\", pool: app, tls: { certificates: [%s], client_certificates: { ca: %q%s } }%s }\n"+
					"pools: { app: { servers: [%q] } }\n", cert.YAML(), file, listener, trust, server.Addr))
				for _, row := range []struct {
					name   string
					client *tls.Certificate
					want   map[string][]string
				}{
					{"one", plain, map[string][]string{"Client-Cert": {sequence(plain.Certificate[0])}}},
					{"one through others", through, map[string][]string{"Client-Cert": {sequence(through.Certificate[0])}, "Client-Cert-Chain": {chain}}},
					{"one with another that is none of its own", &extra, map[string][]string{"Client-Cert": {sequence(plain.Certificate[0])}}},
					{"none", nil, nil},
				} {
					if row.client == nil && listener == "" {
						continue
					}
					config := as(cert, row.client)
					config.ServerName = "example.test"
					config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
					c, _ := testkit.DialTLS(t, p.Addr, config)
					for i, fields := range [][]string{nil, lies, nil} {
						if n++; i == 2 { // the same of a session that is resumed
							var conn *tls.Conn
							if c, conn = testkit.DialTLS(t, p.Addr, config); !conn.ConnectionState().DidResume {
								t.Errorf("%s%s%s: the session is not resumed", row.name, listener, trust)
							}
						}
						head := headOf(t, c, server, fmt.Sprintf("/%d", n), fields...)
						for _, name := range []string{"Client-Cert", "Client-Cert-Chain", "Client_Cert"} {
							if got := testkit.FieldsOf(head, name); !slices.Equal(got, row.want[name]) {
								t.Errorf("%s%s%s, sent %q: %s: %q, want %q", row.name, listener, trust, fields, name, got, row.want[name])
							}
						}
					}
				}
			}
		}
	})
}
