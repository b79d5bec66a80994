package app

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"poise/internal/cert"
	"poise/internal/config"
)

// TestOCSPExpires is what is sent while time goes on: a response until it ends, also when the newer one is no good, and then none.
func TestOCSPExpires(t *testing.T) {
	c, err := ownOf(nil).get(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	pair, flaws := cert.Parse(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Leaf.Raw}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
	if pair == nil {
		t.Fatal(flaws)
	}
	begun := time.Now()
	response := func(life time.Duration) []byte {
		der, err := ocsp.CreateResponse(c.Leaf, c.Leaf, ocsp.Response{
			Status: ocsp.Good, SerialNumber: c.Leaf.SerialNumber, ThisUpdate: begun, NextUpdate: begun.Add(life),
		}, c.PrivateKey.(crypto.Signer))
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	x := &config.Certificate{OCSP: filepath.Join(t.TempDir(), "ocsp")}
	write := func(data []byte) func() {
		return func() {
			if err := os.WriteFile(x.OCSP, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	gone := func() { _ = os.Remove(x.OCSP) }
	hour, day2 := response(time.Hour), response(48*time.Hour)
	var s staple
	for _, step := range []struct {
		do      func()
		at      time.Duration
		changed bool
		sent    []byte
		flaw    string
	}{
		{write(hour), 0, true, hour, ""},
		{nil, 59 * time.Minute, false, hour, ""},
		{nil, 61 * time.Minute, true, nil, "has expired"},
		{nil, 62 * time.Minute, false, nil, "has expired"},
		{write(day2), 2 * time.Hour, true, day2, ""},
		{write([]byte("broken")), 3 * time.Hour, false, day2, "no OCSP response"},
		{gone, 4 * time.Hour, false, day2, "no such file"},
		{nil, 47 * time.Hour, false, day2, "no such file"},
		{nil, 49 * time.Hour, true, nil, "no such file"},
		{nil, 50 * time.Hour, false, nil, "no such file"},
	} {
		if step.do != nil {
			step.do()
		}
		changed := s.renew(x, pair, false, begun.Add(step.at))
		flaw := ""
		if s.flaw != nil {
			flaw = s.flaw.Message
		}
		if changed != step.changed || string(s.response) != string(step.sent) || !strings.Contains(flaw, step.flaw) || (flaw == "") != (step.flaw == "") {
			t.Errorf("after %v: changed %v, %d bytes are sent, flaw %q, want %v, %d, %q", step.at, changed, len(s.response), flaw, step.changed, len(step.sent), step.flaw)
		}
	}
}
