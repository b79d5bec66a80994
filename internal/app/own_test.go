package app

import (
	"slices"
	"testing"
	"time"

	"poise/internal/config"
)

// TestOwnCertificate is about what it is for, and when it is exchanged.
func TestOwnCertificate(t *testing.T) {
	o := ownOf([]*config.Listener{{Addresses: config.Addresses{"192.0.2.7:443", "[::]:443", "web.test:8443", "unix:/x", "127.0.0.1:0"}}})
	now := time.Now()
	get := func(after time.Duration) string {
		t.Helper()
		c, err := o.get(now.Add(after))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"localhost", "web.test", "127.0.0.1", "::1", "192.0.2.7"} {
			if err := c.Leaf.VerifyHostname(name); err != nil {
				t.Errorf("after %v: %v", after, err)
			}
		}
		if n := len(c.Leaf.IPAddresses); n != 3 {
			t.Errorf("it is for the addresses %v, want 3", c.Leaf.IPAddresses)
		}
		if left := c.Leaf.NotAfter.Sub(now.Add(after)); left < 30*day-time.Second || left > 90*day {
			t.Errorf("after %v it lasts for another %v, want 30 to 90 days", after, left)
		}
		return fingerprint(c.Leaf)
	}
	first := get(0)
	if same := get(59 * day); same != first {
		t.Error("after 59 days it is another one")
	}
	second := get(61 * day)
	if again := get(120 * day); again != second || second == first {
		t.Errorf("certificates %v, want another one after 61 days, and the same at 120", []string{first, second, again})
	}
}

// TestOwnCertificateIsExchanged has a listener's be near its end.
func TestOwnCertificateIsExchanged(t *testing.T) {
	o := ownOf(nil)
	old, err := o.get(time.Now().Add(-61 * day))
	if err != nil {
		t.Fatal(err)
	}
	f := o.source()
	f.cert = old
	if changed, err := f.read(); !changed || err != nil || f.cert == old {
		t.Errorf("near its end: changed %v (%v), want true", changed, err)
	}
	if changed, err := f.read(); changed || err != nil {
		t.Errorf("the next time: changed %v (%v), want false", changed, err)
	}
	if names := f.cert.Leaf.DNSNames; !slices.Contains(names, "localhost") {
		t.Errorf("names %v, want localhost too", names)
	}
}
