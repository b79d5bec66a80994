package app_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"poise/internal/app"
	"poise/internal/config"
)

// issued is a certificate with its key; the zero issued stands for one that signs itself.
type issued struct {
	*x509.Certificate
	key crypto.Signer
}

func newKey(t *testing.T) crypto.Signer {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return k
}

func newRSA(t *testing.T, bits int) crypto.Signer {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, bits)
	must(t, err)
	return k
}

// issue makes a certificate for a name by another one; set changes what it says.
func issue(t *testing.T, name string, by issued, key crypto.Signer, set func(*x509.Certificate)) issued {
	t.Helper()
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(90 * 24 * time.Hour),
	}
	if set != nil {
		set(c)
	}
	parent, signer := by.Certificate, by.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), signer)
	must(t, err)
	made, err := x509.ParseCertificate(der)
	must(t, err)
	return issued{made, key}
}

func isAuthority(c *x509.Certificate) {
	c.IsCA, c.DNSNames, c.KeyUsage = true, nil, x509.KeyUsageCertSign
}

func block(kind string, data []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data}))
}

// pems are certificates in PEM, in this order.
func pems(list ...issued) string {
	var all strings.Builder
	for _, c := range list {
		all.WriteString(block("CERTIFICATE", c.Raw))
	}
	return all.String()
}

func (c issued) keyDER(t *testing.T) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(c.key)
	must(t, err)
	return der
}

// withCertificate is a configuration with a certificate in line 5.
func withCertificate(t *testing.T, cert, key string) *config.Config {
	t.Helper()
	text := fmt.Sprintf("driver: net\nlisteners:\n  - address: 127.0.0.1:0\n    pool: app\n    tls: { certificates: [{ cert: %q, key: %q }] }\n"+
		"pools: { app: { servers: [\"127.0.0.1:1\"] } }\nadmin: { enabled: false }\naccess_log: { enabled: false }\nloops: 1\n", cert, key)
	c, problems := config.Parse("test.yaml", []byte(text), os.LookupEnv)
	if c == nil {
		t.Fatal(problems)
	}
	return c
}

// TestFilesOfCertificates wants each flaw told with its place, and what to do. What cannot be used starts nothing and is not reloaded; warnings are warnings.
func TestFilesOfCertificates(t *testing.T) {
	long, past, next := time.Date(2031, 5, 6, 7, 8, 0, 0, time.UTC), time.Date(2020, 1, 2, 3, 4, 0, 0, time.UTC), time.Date(2131, 5, 6, 7, 8, 0, 0, time.UTC)
	root := issue(t, "root", issued{}, newKey(t), isAuthority)
	middle := issue(t, "middle", root, newKey(t), isAuthority)
	low := issue(t, "low", middle, newKey(t), isAuthority)
	leaf := issue(t, "www.test", low, newKey(t), nil)
	good, other := issue(t, "good.test", issued{}, newKey(t), nil), issue(t, "other.test", issued{}, newRSA(t, 2048), nil)
	key := func(c issued) string { return block("PRIVATE KEY", c.keyDER(t)) }
	changed := func(set func(*x509.Certificate)) (cert, keyText string) {
		c := issue(t, "www.test", issued{}, newKey(t), set)
		return pems(c), key(c)
	}
	weak := issue(t, "weak.test", issued{}, newRSA(t, 1024), nil)
	curve, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	must(t, err)
	p224 := issue(t, "p224.test", issued{}, curve, nil)
	oid := func(ids ...int) []byte { b, err := asn1.Marshal(asn1.ObjectIdentifier(ids)); must(t, err); return b }
	sha1 := block("CERTIFICATE", bytes.ReplaceAll(other.Raw, oid(1, 2, 840, 113549, 1, 1, 11), oid(1, 2, 840, 113549, 1, 1, 5)))
	expired, expiredKey := changed(func(c *x509.Certificate) { c.NotBefore, c.NotAfter = past.Add(-time.Hour), past })
	early, earlyKey := changed(func(c *x509.Certificate) { c.NotBefore, c.NotAfter = next, next.Add(time.Hour) })
	nameless, namelessKey := changed(func(c *x509.Certificate) { c.DNSNames = nil })
	clients, clientsKey := changed(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })
	address, addressKey := changed(func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = nil, []net.IP{net.IPv4(127, 0, 0, 1)} })
	alone := issue(t, "www.test", low, newKey(t), func(c *x509.Certificate) { c.IssuingCertificateURL = []string{"http://ca.test/low.crt"} })
	oldMiddle := issue(t, "middle", root, newKey(t), func(c *x509.Certificate) { isAuthority(c); c.NotBefore, c.NotAfter = past.Add(-time.Hour), past })
	underOld := issue(t, "www.test", oldMiddle, newKey(t), func(c *x509.Certificate) { c.NotAfter = long })
	cut := pems(good)
	cut = cut[:len(cut)-30]
	longKey := block("PRIVATE KEY", good.keyDER(t))

	for _, row := range []struct {
		name, cert, key string
		want            []string // severity, where, message, hint
	}{
		{"one that signs itself", pems(good), longKey, nil},
		{"for an address", address, addressKey, nil},
		{"a whole chain", pems(leaf, low, middle, root), key(leaf), nil},
		{"without the root", pems(leaf, low, middle), key(leaf), nil},
		{"both in one file, a key of the older kind", key(good) + pems(good), block("EC PRIVATE KEY", ecDER(t, good)), nil},

		{"a key of another certificate", pems(good), key(other), []string{"error key KEY: the key (RSA of 2048 bits) does not belong to the certificate " +
			"(ECDSA on P-256, of good.test) | name the key that the certificate was asked for with"}},
		{"not the first", pems(low, leaf), key(leaf), []string{"error cert CERT:#2: the certificate for the key is not the first in the file, but number 2" +
			" | put it first, and behind it those that lead from it to its authority"}},
		{"changed places", key(good), pems(good), []string{
			"error cert CERT:1: there is no certificate in the file, but a PRIVATE KEY | name the certificate's file; cert and key may have changed places",
			"error key KEY:1: there is no private key in the file, but a CERTIFICATE | name the file of the certificate's private key; cert and key may have changed places",
		}},
		{"empty", "", " \n", []string{
			"error cert CERT: the file is empty | write the certificate into it, in PEM", "error key KEY: the file is empty | write the private key into it, in PEM",
		}},
		{"no PEM", "none", "none", []string{
			"error cert CERT: there is no certificate in PEM in the file | the file should have a line -----BEGIN CERTIFICATE-----",
			"error key KEY: there is no private key in PEM in the file | the file should have a line -----BEGIN PRIVATE KEY-----",
		}},
		{"DER", string(good.Raw), string(good.keyDER(t)), []string{
			"error cert CERT: the certificate is in DER, not in PEM | openssl x509 -inform der -in CERT writes it in PEM",
			"error key KEY: the key is in DER, not in PEM | openssl pkey -inform der -in KEY writes it in PEM",
		}},
		{"another binary", "\x30\x03\x02\x01\x03", longKey, []string{
			"error cert CERT: the file is in a binary format (PKCS #12, most likely), not in PEM | openssl pkcs12 -in CERT -nodes writes it in PEM",
		}},
		{"an encrypted key", pems(good), "\n\n" + block("ENCRYPTED PRIVATE KEY", []byte("secret")), []string{"error key KEY:3: the key is encrypted, and there is nobody to " +
			"ask for its passphrase | openssl pkey -in KEY writes it in clear, for a file that only Poise can read"}},
		{
			"a key encrypted the older way", pems(good), strings.Replace(longKey, "KEY-----\n", "KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n", 1),
			[]string{"error key KEY:1: the key is encrypted, and there is nobody to ask for its passphrase | openssl pkey -in KEY writes it in clear, for a file that " +
				"only Poise can read"},
		},
		{"a key of SSH", pems(good), block("OPENSSH PRIVATE KEY", []byte("key")), []string{"error key KEY:1: the key is in OpenSSH's format | ssh-keygen -p -m PEM -f KEY " +
			"changes the file to one that can be read; is it the certificate's key?"}},
		{"a broken key", pems(good), block("PRIVATE KEY", []byte("key")), []string{"error key KEY:1: the key cannot be read: …| copy the file again"}},
		{"a broken certificate", pems(good) + block("CERTIFICATE", good.Raw[:100]), longKey, []string{"error cert CERT:#2: the certificate cannot be read: …| " +
			"copy the file again, or get another certificate"}},
		{"cut off", pems(good) + cut, longKey, []string{"error cert CERT:#2: a block in PEM begins here that cannot be read: it is cut off, or changed | copy the file again"}},
		{"cut off in between", cut + "\n" + pems(good), longKey, []string{"error cert CERT:1: a block in PEM begins here that cannot be read: it is cut off, or changed | " +
			"copy the file again"}},
		{"of a trusted kind", block("TRUSTED CERTIFICATE", good.Raw), longKey, []string{"error cert CERT:1: there is no certificate in the file, but a TRUSTED CERTIFICATE | " +
			"openssl x509 -in CERT writes a plain one"}},
		{"too many", strings.Repeat(pems(good), 101), longKey, []string{"error cert CERT:#101: there are 101 certificates in the file, and clients are shown them all; " +
			"at most 100 can be | leave the certificate, and those that lead from it to its authority"}},
		{"too large", pems(good) + strings.Repeat("# comment\n", 1<<20/10), longKey, []string{"error cert CERT: is larger than 1048576 bytes | "}},
		{"a weak key", pems(weak), key(weak), []string{"error cert CERT:1: the certificate is for an RSA key of 1024 bits, which can be broken | " +
			"get one for an ECDSA key on P-256, or an RSA key of 2048 bits or more"}},
		{"a curve that TLS does not have", pems(p224), key(p224), []string{"error cert CERT:1: the certificate is for an ECDSA key on P-224, which TLS does not have | " +
			"get one for an ECDSA key on P-256, or an RSA key of 2048 bits or more"}},

		{"expired", expired, expiredKey, []string{"warning cert CERT:1: the certificate has expired on 2 January 2020 03:04 UTC | get a new one: until then clients refuse it"}},
		{"not yet valid", early, earlyKey, []string{"warning cert CERT:1: the certificate is valid only from 6 May 2131 07:08 UTC on | look at this system's clock; until then " +
			"clients refuse the certificate"}},
		{"an authority that has expired", pems(underOld, oldMiddle), key(underOld), []string{
			"warning cert CERT:#2: the certificate of middle has expired on 2 January 2020 03:04 UTC | get a new one: until then clients refuse it",
		}},
		{"in another order", pems(leaf, middle, low), key(leaf), []string{"warning cert CERT:#2: the certificate of middle has not signed the one before it | " +
			"put the certificates in order: each behind the one that it has signed"}},
		{"one that has nothing to do with it", pems(leaf, low, good), key(leaf), []string{"warning cert CERT:#3: the certificate of good.test has not signed the one before it | leave it out"}},
		{"one is missing", pems(alone), key(alone), []string{"warning cert CERT:1: the certificate that signed this one is missing: it is of CN=low, which is no authority " +
			"that this system trusts | append it to CERT, in PEM; it is to be had at http://ca.test/low.crt"}},
		{"SHA-1", sha1, key(other), []string{"warning cert CERT:1: the certificate is signed with SHA1-RSA, which clients do not take any more | get one that is signed with SHA-256"}},
		{"for no name", nameless, namelessKey, []string{"warning cert CERT:1: the certificate is for no name: clients do not look at its common name, \"www.test\", any more | " +
			"get one that has the names of its hosts as subjectAltName"}},
		{"for clients", clients, clientsKey, []string{"warning cert CERT:1: the certificate is not for servers: its extended key usage does not say so | get one with serverAuth"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			dir := t.TempDir()
			certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
			must(t, os.WriteFile(certFile, []byte(row.cert), 0o600), os.WriteFile(keyFile, []byte(row.key), 0o600))
			wantFlaws(t, certFile, keyFile, row.want)
		})
	}
}

// ecDER is a key in the format of SEC 1.
func ecDER(t *testing.T, c issued) []byte {
	t.Helper()
	der, err := x509.MarshalECPrivateKey(c.key.(*ecdsa.PrivateKey))
	must(t, err)
	return der
}

// TestFilesOfCertificatesThatCannotBeRead is about the files themselves.
func TestFilesOfCertificatesThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	good := issue(t, "good.test", issued{}, newKey(t), nil)
	certFile, keyFile, loop := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), filepath.Join(dir, "loop")
	must(t, os.WriteFile(certFile, []byte(pems(good)), 0o600), os.WriteFile(keyFile, []byte(block("PRIVATE KEY", good.keyDER(t))), 0o600), os.Symlink(loop, loop))
	for _, row := range []struct{ cert, key, want string }{
		{dir, keyFile, "error cert CERT: is not a file | "},
		{certFile, "/dev/null", "error key KEY: is not a file | "},
		{certFile, filepath.Join(dir, "none.pem"), "error key KEY: no such file or directory | relative paths begin at the directory that Poise is started in"},
		{loop, keyFile, "error cert CERT: too many levels of symbolic links | "},
	} {
		wantFlaws(t, row.cert, row.key, []string{row.want})
	}
	must(t, os.Chmod(keyFile, 0o644))
	wantFlaws(t, certFile, keyFile, []string{"warning key KEY: every user of this system can read the key (its mode is 0644) | chmod o-rwx KEY"})
	if os.Geteuid() == 0 {
		return // may read all
	}
	must(t, os.Chmod(keyFile, 0))
	wantFlaws(t, certFile, keyFile, []string{"error key KEY: permission denied | let the user … read the file, and look into the directories on the way to it"})
}

// numbered puts the line at which a file's block begins in the place of #N, its number.
func numbered(file, text string) string {
	before, rest, ok := strings.Cut(text, ":#")
	if !ok {
		return text
	}
	number, rest, _ := strings.Cut(rest, ":")
	n, _ := strconv.Atoi(number)
	data, _ := os.ReadFile(file)
	for i, line := range strings.Split(string(data), "\n") {
		if strings.HasPrefix(line, "-----BEGIN") {
			n--
		}
		if n == 0 {
			return fmt.Sprintf("%s:%d:%s", before, i+1, rest)
		}
	}
	return text
}

// wantFlaws wants these found by a check; … in one stands for anything.
func wantFlaws(t *testing.T, certFile, keyFile string, want []string) {
	t.Helper()
	c := withCertificate(t, certFile, keyFile)
	found := app.Check(c)
	bad := found.HasErrors()
	if len(found) != len(want) {
		t.Fatalf("%d flaws, want %d: %v", len(found), len(want), found)
	}
	for i, p := range found {
		field := "cert"
		if p.Pos == c.Pos(&c.Listeners[0].TLS.Certificates[0].Key) {
			field = "key"
		}
		got := strings.NewReplacer(certFile, "CERT", keyFile, "KEY").Replace(fmt.Sprintf("%v %s %s | %s", p.Severity, field, p.Message, p.Hint))
		begins, ends, some := strings.Cut(numbered(certFile, want[i]), "…")
		if p.Line != 5 || p.Col < 35 || !some && got != begins || !strings.HasPrefix(got, begins) || !strings.HasSuffix(got, ends) {
			t.Errorf("%d:%d %s\nwant in line 5: %s", p.Line, p.Col, got, begins+ends)
		}
	}
	a, err := app.Start(app.Options{Config: c, Log: slog.New(slog.DiscardHandler)})
	if err == nil {
		a.Stop()
	}
	if (err != nil) != bad {
		t.Errorf("Start() = %v; a check says that it cannot be used: %v", err, bad)
	}
	if bad && !strings.Contains(err.Error(), found[0].Message) {
		t.Errorf("Start() = %v, want %s", err, found[0].Message)
	}
}
