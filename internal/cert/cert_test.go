package cert_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"sync"
	"testing"
	"time"

	"poise/internal/cert"
)

var ecdsaKey = sync.OnceValue(func() crypto.Signer {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return k
})

var rsaKey = sync.OnceValue(func() crypto.Signer {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

func certificate(t *testing.T, key crypto.Signer, names ...string) *tls.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: names, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// hello is that of a TLS 1.3 client that can check these signatures.
func hello(name string, schemes ...tls.SignatureScheme) *tls.ClientHelloInfo {
	return &tls.ClientHelloInfo{
		ServerName: name, SignatureSchemes: schemes, SupportedVersions: []uint16{tls.VersionTLS13}, SupportedCurves: []tls.CurveID{tls.CurveP256},
	}
}

func TestChoose(t *testing.T) {
	e, r := ecdsaKey(), rsaKey()
	list := []*tls.Certificate{
		certificate(t, e, "www.example.com", "www.example.com"), certificate(t, r, "www.example.com"), certificate(t, e, "*.example.com", "other.test"),
		certificate(t, e, "api.example.com"), certificate(t, r, "API.Upper.Test."), certificate(t, e), certificate(t, e, "*.wild.test"),
	}
	label := map[*tls.Certificate]string{
		nil: "none", list[0]: "www-ecdsa", list[1]: "www-rsa", list[2]: "wild", list[3]: "api", list[4]: "upper", list[5]: "nameless", list[6]: "wild.test",
	}
	const onlyRSA, onlyECDSA = tls.PSSWithSHA256, tls.ECDSAWithP256AndSHA256
	lax, strict := cert.New(list, false), cert.New(list, true)
	for _, tt := range []struct {
		hello        *tls.ClientHelloInfo
		want, strict string
	}{
		{hello("www.example.com", onlyECDSA, onlyRSA), "www-ecdsa", "www-ecdsa"},
		{hello("www.example.com", onlyRSA), "www-rsa", "www-rsa"},
		{hello("www.example.com", tls.Ed25519), "www-ecdsa", "www-ecdsa"},
		{hello("WWW.Example.COM.", onlyRSA), "www-rsa", "www-rsa"},
		{hello("api.example.com", onlyECDSA), "api", "api"},
		{hello("api.example.com", onlyRSA), "api", "api"},
		{hello("more.example.com", onlyECDSA), "wild", "wild"},
		{hello("two.more.example.com", onlyECDSA), "www-ecdsa", "none"},
		{hello("two.more.example.com", onlyRSA), "www-rsa", "none"},
		{hello("example.com", onlyECDSA), "www-ecdsa", "none"},
		{hello("*.example.com", onlyECDSA), "www-ecdsa", "none"},
		{hello(".example.com", onlyECDSA), "www-ecdsa", "none"},
		{hello("other.test", onlyECDSA), "wild", "wild"},
		{hello("api.upper.test", onlyRSA), "upper", "upper"},
		{hello("unknown.test", onlyECDSA), "www-ecdsa", "none"},
		{hello("", onlyECDSA), "www-ecdsa", "none"},
		{hello("", onlyRSA), "www-rsa", "none"},
		{hello("127.0.0.1", onlyRSA), "www-rsa", "none"},
		{hello("x.wild.test", onlyECDSA), "wild.test", "wild.test"},
		{hello("wild.test", onlyECDSA), "www-ecdsa", "none"},
		{hello("..", onlyECDSA), "www-ecdsa", "none"},
	} {
		if got := label[lax.Choose(tt.hello)]; got != tt.want {
			t.Errorf("Choose(%q, %v) = %s, want %s", tt.hello.ServerName, tt.hello.SignatureSchemes, got, tt.want)
		}
		if got := label[strict.Choose(tt.hello)]; got != tt.strict {
			t.Errorf("with strict names Choose(%q, %v) = %s, want %s", tt.hello.ServerName, tt.hello.SignatureSchemes, got, tt.strict)
		}
	}
}

func TestDefault(t *testing.T) {
	bare, named, wild := certificate(t, ecdsaKey()), certificate(t, ecdsaKey(), "a.test"), certificate(t, ecdsaKey(), "*.w.test")
	for _, tt := range []struct {
		first *tls.Certificate
		list  []*tls.Certificate
	}{{nil, nil}, {bare, []*tls.Certificate{bare, named}}, {named, []*tls.Certificate{named, bare}}, {wild, []*tls.Certificate{wild, named}}} {
		if got := cert.New(tt.list, false).Choose(hello("unknown.test")); got != tt.first {
			t.Errorf("of %d certificates an unknown name gets %p, want the first one, %p", len(tt.list), got, tt.first)
		}
	}
}

// TestAllocs: a look-up makes nothing, with many certificates as with one.
func TestAllocs(t *testing.T) {
	list := []*tls.Certificate{certificate(t, ecdsaKey(), "first.test")}
	for i := range 1000 {
		list = append(list, certificate(t, ecdsaKey(), fmt.Sprintf("host-%d.example.com", i), fmt.Sprintf("*.wild-%d.example.com", i)))
	}
	s := cert.New(list, false)
	for name, want := range map[string]*tls.Certificate{
		"host-999.example.com": list[1000], "a.wild-500.example.com": list[501], "unknown.test": list[0], "": list[0],
	} {
		h := hello(name, tls.ECDSAWithP256AndSHA256)
		if got := s.Choose(h); got != want {
			t.Errorf("Choose(%q) is not its certificate", name)
		}
		if n := testing.AllocsPerRun(100, func() { s.Choose(h) }); n != 0 {
			t.Errorf("Choose(%q) allocates %v times, want 0", name, n)
		}
	}
}
