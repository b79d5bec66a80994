package wire

import (
	"slices"
	"sync"
	"testing"
	"time"

	"poise/internal/testkit"
)

// TestTLSFilesChange exchanges a certificate's files many times while clients come: each is served, each new certificate is shown soon, sessions go on. What
// sees the changes knows nothing of drivers, so two setups are enough.
func TestTLSFilesChange(t *testing.T) {
	t.Parallel()
	setups := testkit.Setups(t)
	for _, s := range slices.Compact([]testkit.Setup{setups[0], setups[len(setups)-1]}) {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			filesChange(t, s)
		})
	}
}

func filesChange(t *testing.T, s testkit.Setup) {
	p, cert := startTLS(t, s, echoing(t).Addr)
	kept, _ := testkit.DialTLS(t, p.Addr, cert.Client("localhost"))
	trust := cert.Client("localhost")
	trust.InsecureSkipVerify = true // which certificate it is, is looked at below
	shown := func() string {
		c, conn := testkit.DialTLS(t, p.Addr, trust)
		wantResponse(t, "GET", c.Get("/"), 200, "ok")
		_ = c.Close()
		return string(conn.ConnectionState().PeerCertificates[0].Raw)
	}
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for range 2 {
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(2 * time.Millisecond): // the processor is not theirs alone
					shown()
				}
			}
		})
	}
	var took []time.Duration
	for range 9 {
		cert.Renew(t, "localhost")
		begun := time.Now()
		for shown() != string(cert.Leaf.Raw) && time.Since(begun) < testkit.Patience {
			time.Sleep(5 * time.Millisecond)
		}
		took = append(took, time.Since(begun))
		if time.Since(begun) >= testkit.Patience {
			t.Errorf("a new certificate is not shown after %v", testkit.Patience)
			break
		}
		wantResponse(t, "one that was connected before", kept.Get("/"), 200, "ok")
	}
	close(stop)
	clients.Wait()
	slices.Sort(took)
	// A busy machine may keep one of them waiting, but not most.
	if median := took[len(took)/2]; median > time.Second {
		t.Errorf("new certificates were shown after %v, want most within 1 s", took)
	}
}
