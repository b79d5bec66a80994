package cert

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"testing"
	"time"
)

// FuzzParse reads files of anything: there is a pair or a flaw, and never both. A pair bears all other questions.
func FuzzParse(f *testing.F) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1)} // for nobody, and never valid
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		f.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		f.Fatal(err)
	}
	cert, private := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	nameless := []byte("-----BEGIN -----\n-----END -----\n")
	for _, x := range [][2][]byte{
		{cert, private},
		{der, keyDER},
		{nameless, nameless},
		{append(nameless, cert...), append(cert, private...)},
		{cert[:90], nil},
		{[]byte("\x30\x00"), []byte("\x30\x80")},
	} {
		f.Add(x[0], x[1])
	}
	now := time.Now()
	f.Fuzz(func(t *testing.T, chain, key []byte) {
		p, flaws := Parse(chain, key)
		if (p == nil) == (len(flaws) == 0) {
			t.Fatalf("Parse(%q, %q) = %v with the flaws %v", chain, key, p, flaws)
		}
		for _, x := range flaws {
			if x.Warning || x.Message == "" {
				t.Errorf("Parse(%q, %q) has the flaw %+v, want an error", chain, key, x)
			}
		}
		if p == nil {
			return
		}
		for _, x := range append(p.Doubts(now, x509.NewCertPool()), p.Names()...) {
			if !x.Warning || x.Line == 0 {
				t.Errorf("Parse(%q, %q) leads to the doubt %+v, want a warning at a line", chain, key, x)
			}
		}
		if _, flaw := p.Staple(key, now); flaw == nil {
			t.Errorf("a key is stapled to %q", chain)
		}
	})
}
