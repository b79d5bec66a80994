package wire

import (
	"crypto/tls"
	"fmt"
	"strings"
	"testing"

	"poise/internal/testkit"
)

// unrecognizedName is the alert of RFC 6066 section 3.
const unrecognizedName = tls.AlertError(112)

// TestTLSStrictNames: who asks for a name that no certificate has, or for none, gets the alert that says so and nothing else.
func TestTLSStrictNames(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		cert := testkit.NewCertificate(t, "localhost", "*.wild.test")
		config := secured(echoing(t).Addr, []*testkit.Certificate{cert})
		p := testkit.Start(t, s, strings.Replace(config, "tls: {", "tls: { strict_names: true,", 1))
		refused := func(name string) error {
			_, err := testkit.Dial(t, p.Addr).Handshake(&tls.Config{ServerName: name, InsecureSkipVerify: true})
			return err
		}
		for _, name := range []string{"localhost", "LOCALHOST", "a.wild.test"} {
			if err := refused(name); err != nil {
				t.Errorf("a handshake for %q fails: %v", name, err)
			}
		}
		for _, name := range []string{"other.test", "a.b.wild.test", "wild.test", "", "127.0.0.1"} {
			if err := refused(name); err == nil || err.Error() != "remote error: "+unrecognizedName.Error() {
				t.Errorf("a handshake for %q ends with %v, want the alert: %v", name, err, unrecognizedName)
			}
		}
		p.Reload(t, config)
		if err := refused("other.test"); err != nil {
			t.Errorf("once names are not strict any more, a handshake fails: %v", err)
		}
	})
}

// TestTLSResumedAfterReload: sessions last beyond reloads, but for one that changes what clients have to prove.
func TestTLSResumedAfterReload(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		cert := testkit.NewCertificate(t, "localhost")
		config := secured(echoing(t).Addr, []*testkit.Certificate{cert})
		p := testkit.Start(t, s, config)
		ca := testkit.WriteFile(t, "ca.pem", testkit.NewAuthority(t, "ca", nil).PEM())
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			client := cert.Client("localhost")
			client.MaxVersion, client.ClientSessionCache = version, tls.NewLRUClientSessionCache(1)
			resumed := func() bool {
				got, err := tryGet(t, p.Addr, client)
				if err != nil {
					t.Error(err)
				}
				return got
			}
			if resumed() || !resumed() {
				t.Fatalf("%s: the second handshake does not resume the first one's session", tls.VersionName(version))
			}
			cert.Renew(t, "localhost")
			p.Reload(t, config)
			if !resumed() {
				t.Errorf("%s: after a reload with another certificate the session is not resumed", tls.VersionName(version))
			}
			p.Reload(t, strings.Replace(config, "tls: {", `tls: { min_version: "1.3",`, 1))
			p.Reload(t, config)
			if !resumed() {
				t.Errorf("%s: after reloads with other settings the session is not resumed", tls.VersionName(version))
			}
			p.Reload(t, strings.Replace(config, "tls: {", fmt.Sprintf("tls: { client_certificates: { ca: %q, required: false },", ca), 1))
			if resumed() || !resumed() {
				t.Errorf("%s: the first session under a new rule on clients is resumed, or the second is not", tls.VersionName(version))
			}
			p.Reload(t, config)
		}
	})
}
