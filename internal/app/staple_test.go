package app_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"poise/internal/app"
	"poise/internal/config"
	"poise/internal/testkit"
)

// respond makes a response about a certificate, signed by signer for an authority; set changes what it says.
func respond(t *testing.T, about, by, signer issued, set func(*ocsp.Response)) string {
	t.Helper()
	r := ocsp.Response{Status: ocsp.Good, SerialNumber: about.SerialNumber, ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(time.Hour)}
	if set != nil {
		set(&r)
	}
	if signer != by {
		r.Certificate = signer.Certificate
	}
	der, err := ocsp.CreateResponse(by.Certificate, signer.Certificate, r, signer.key)
	must(t, err)
	return string(der)
}

// withOCSP is a configuration with a certificate and a response.
func withOCSP(t *testing.T, cert, key, response string) *config.Config {
	t.Helper()
	text := fmt.Sprintf("driver: net\nlisteners:\n  - address: 127.0.0.1:0\n    pool: app\n    tls: { certificates: [{ cert: %q, key: %q, ocsp: %q }] }\n"+
		"pools: { app: { servers: [\"127.0.0.1:1\"] } }\nadmin: { enabled: false }\naccess_log: { enabled: false }\nloops: 1\n", cert, key, response)
	c, problems := config.Parse("test.yaml", []byte(text), os.LookupEnv)
	if c == nil {
		t.Fatal(problems)
	}
	return c
}

// stapled is what clients are sent.
func stapled(t *testing.T, a *app.App) string {
	t.Helper()
	conn, err := tls.Dial("tcp", a.Status().Listeners[0].Addresses[0], &tls.Config{InsecureSkipVerify: true})
	must(t, err)
	defer conn.Close()
	return string(conn.OCSPResponse())
}

// TestOCSP wants good responses sent, others not, with a warning that says why.
func TestOCSP(t *testing.T) {
	past, next := time.Date(2020, 1, 2, 3, 4, 0, 0, time.UTC), time.Date(2131, 5, 6, 7, 8, 0, 0, time.UTC)
	root := issue(t, "root", issued{}, newKey(t), isAuthority)
	ca := issue(t, "ca", root, newKey(t), isAuthority)
	leaf, another := issue(t, "www.test", ca, newKey(t), nil), issue(t, "other.test", ca, newKey(t), nil)
	may := func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning} }
	delegate, other, stranger := issue(t, "delegate", ca, newKey(t), may), issue(t, "other", ca, newKey(t), nil), issue(t, "ca", root, newKey(t), isAuthority)
	theirs := issue(t, "delegate", stranger, newKey(t), may)
	says := func(set func(*ocsp.Response)) string { return respond(t, leaf, ca, ca, set) }
	const again = " | ask the authority for it again, as with openssl ocsp -issuer CA -cert CERT -url URL -respout FILE"
	whole := pems(leaf, ca)
	for _, row := range []struct{ name, chain, response, want string }{
		{"by the authority", whole, says(nil), ""},
		{"by one that the authority lets do it", whole, respond(t, leaf, ca, delegate, nil), ""},
		{"by the authority, which has itself in it", whole, says(func(r *ocsp.Response) { r.Certificate = ca.Certificate }), ""},
		{"for ever", whole, says(func(r *ocsp.Response) { r.NextUpdate = time.Time{} }), ""},
		{"clocks that differ a little", whole, says(func(r *ocsp.Response) { r.ThisUpdate = time.Now().Add(2 * time.Minute) }), ""},
		{
			"expired", whole, says(func(r *ocsp.Response) { r.ThisUpdate, r.NextUpdate = past.Add(-time.Hour), past }),
			"the response has expired on 2 January 2020 03:04 UTC; it is not sent | get a newer one, and have that done again and again: each is good for a few days",
		},
		{
			"not yet valid", whole, says(func(r *ocsp.Response) { r.ThisUpdate, r.NextUpdate = next, next.Add(time.Hour) }),
			"the response is valid only from 6 May 2131 07:08 UTC on; it is not sent | look at this system's clock",
		},
		{
			"revoked", whole, says(func(r *ocsp.Response) { r.Status, r.RevokedAt = ocsp.Revoked, past }),
			"the authority says that the certificate was revoked on 2 January 2020 03:04 UTC; it is not sent | get another certificate",
		},
		{
			"unknown", whole, says(func(r *ocsp.Response) { r.Status = ocsp.Unknown }),
			"the authority says that it does not know the certificate; it is not sent | ask the authority that signed it",
		},
		{"of another certificate", whole, respond(t, another, ca, ca, nil), "this is no OCSP response in DER for the certificate of www.test: …; it is not sent" + again},
		{"of another authority", whole, respond(t, leaf, ca, stranger, nil), "the response is not signed for the certificate's authority, ca: …; it is not sent" + again},
		{
			"of another authority of this name", whole, respond(t, leaf, stranger, stranger, nil),
			"the response is not signed for the certificate's authority, ca: …; it is not sent" + again,
		},
		{
			"by one that another authority lets do it", whole, respond(t, leaf, ca, theirs, nil),
			"the response is not signed for the certificate's authority, ca: …; it is not sent" + again,
		},
		{
			"by one that may not", whole, respond(t, leaf, ca, other, nil),
			"the response is not signed for the certificate's authority, ca: other may not sign OCSP responses; it is not sent" + again,
		},
		{
			"changed", whole, strings.Replace(says(nil), string(leaf.SerialNumber.Bytes()), string(another.SerialNumber.Bytes()), 1),
			"this is no OCSP response in DER for the certificate of www.test: …; it is not sent" + again,
		},
		{"without the authority", pems(leaf), says(nil), "who signed the response cannot be checked: the certificate's file ends before its authority; it is not sent | " +
			"append the authority's certificate to it"},
		{"in PEM", whole, block("OCSP RESPONSE", []byte(says(nil))), "the response is in PEM, not in DER; it is not sent" + again},
		{"empty", whole, "", "the file is empty; it is not sent" + again},
		{"none", whole, "-", "no such file or directory | relative paths begin at the directory that Poise is started in"},
	} {
		t.Run(row.name, func(t *testing.T) {
			dir := t.TempDir()
			certFile, keyFile, file := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), filepath.Join(dir, "ocsp")
			must(t, os.WriteFile(certFile, []byte(row.chain), 0o600), os.WriteFile(keyFile, []byte(block("PRIVATE KEY", leaf.keyDER(t))), 0o600))
			if row.response != "-" {
				must(t, os.WriteFile(file, []byte(row.response), 0o600))
			}
			c := withOCSP(t, certFile, keyFile, file)
			found, sent := app.Check(c), row.response
			if row.want == "" && len(found) > 0 {
				t.Errorf("a good response: %v", found)
			}
			if row.want != "" {
				sent = ""
				begins, ends, some := strings.Cut(strings.ReplaceAll(file+": "+row.want, "FILE", file), "…")
				got := ""
				if len(found) == 1 && found[0].Severity == config.Warning && found[0].Pos == c.Pos(&c.Listeners[0].TLS.Certificates[0].OCSP) {
					got = found[0].Message + " | " + found[0].Hint
				}
				if !some && got != begins || !strings.HasPrefix(got, begins) || !strings.HasSuffix(got, ends) {
					t.Errorf("problems %v\nwant one at ocsp: %s", found, begins+ends)
				}
			}
			a, err := app.Start(app.Options{Config: c, Log: slog.New(slog.DiscardHandler)})
			must(t, err)
			defer a.Stop()
			if got := stapled(t, a); got != sent {
				t.Errorf("clients are sent %d bytes, want %d", len(got), len(sent))
			}
		})
	}
}

// TestOCSPIsExchanged writes newer responses, one that is broken, and then a new certificate whose response comes later.
func TestOCSPIsExchanged(t *testing.T) {
	t.Parallel()
	cert := testkit.NewCertificate(t, "localhost")
	file := filepath.Join(t.TempDir(), "ocsp")
	must(t, os.WriteFile(file, []byte("broken"), 0o600))
	log := &lines{}
	a, err := app.Start(app.Options{Config: withOCSP(t, cert.CertFile, cert.KeyFile, file), Log: slog.New(slog.NewTextHandler(log, nil))})
	must(t, err)
	defer a.Stop()
	comes := func(what, want string) {
		t.Helper()
		for begun := time.Now(); stapled(t, a) != want; time.Sleep(10 * time.Millisecond) {
			if time.Since(begun) > 5*time.Second {
				t.Fatalf("%s is not sent after 5 s", what)
			}
		}
	}
	comes("nothing at the start", "")
	cert.Renew(t, "localhost")
	for begun := time.Now(); log.count("a certificate was exchanged") == 0; time.Sleep(10 * time.Millisecond) { // then the response was looked at again
		if time.Since(begun) > 5*time.Second {
			t.Fatal("the certificate is not exchanged after 5 s")
		}
	}
	now := string(cert.OCSP(t, time.Hour))
	must(t, os.WriteFile(file, []byte(now), 0o600))
	comes("the first response", now)
	now = string(cert.OCSP(t, 2*time.Hour))
	must(t, os.WriteFile(file+".new", []byte(now), 0o600), os.Rename(file+".new", file))
	comes("a newer response", now)
	must(t, os.WriteFile(file, []byte("broken"), 0o600))
	for begun := time.Now(); log.count("a new OCSP response cannot be used") == 0; time.Sleep(10 * time.Millisecond) {
		if time.Since(begun) > 8*time.Second {
			t.Fatal("the log does not tell of a broken response within 8 s")
		}
	}
	comes("the response from before the broken one", now)
	cert.Renew(t, "localhost")
	comes("nothing beside a new certificate", "")
	now = string(cert.OCSP(t, time.Hour))
	must(t, os.WriteFile(file, []byte(now), 0o600))
	comes("the response of the new certificate", now)
	if n := log.count("level=WARN") - log.count("turn takes long"); n != 1 { // a machine that is busy has loops that are late
		t.Errorf("%d warnings, want that of the response that was broken later, and none of what a check tells before the start", n)
	}
}
