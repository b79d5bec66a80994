package wire

import (
	"fmt"
	"testing"

	"poise/internal/testkit"
)

// A connection whose handshake was for one host is used for another: where clients prove who they are, by no means. [RFC 9110 section 7.4]
func TestDG11Misdirected(t *testing.T) {
	t.Parallel()
	ca := testkit.NewAuthority(t, "ca", nil)
	file := testkit.WriteFile(t, "ca.pem", ca.PEM())
	client := ca.Client(t, "client", nil)
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		server, cert := serveReader(t, ok), testkit.NewCertificate(t, "a.test", "b.test")
		strict := testkit.Start(t, s, mutual(server.Addr, cert, fmt.Sprintf("ca: %q", file)))
		free := testkit.Start(t, s, secured(server.Addr, []*testkit.Certificate{cert}))
		sent := 0
		for _, row := range []struct {
			name   string
			fields []string
			status int
		}{
			{"the same host", changed(ask2(), ":authority", "a.test"), 200},
			{"in capitals", changed(ask2(), ":authority", "A.TEST"), 200},
			{"with a port", changed(ask2(), ":authority", "a.test:8443"), 200},
			{"in host", lacking(ask2("host", "a.test"), ":authority"), 200},
			{"another host", changed(ask2(), ":authority", "b.test"), 421},
			{"another host in host", lacking(ask2("host", "b.test"), ":authority"), 421},
			{"a host below it", changed(ask2(), ":authority", "x.a.test"), 421},
			{"an address", changed(ask2(), ":authority", "127.0.0.1"), 421},
			{"another host, and a body", changed(post2(), ":authority", "b.test"), 421},
		} {
			for name, p := range map[string]*testkit.Poise{"certificates": strict, "no certificates": free} {
				config, want := as(cert, client), row.status
				config.ServerName = "a.test"
				if p == free {
					want = 200
				}
				f := testkit.DialFramesTLS(t, p.Addr, config)
				f.Raw("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
				f.Settings()
				for id := uint32(1); id <= 3; id += 2 { // the connection goes on
					f.Head(id, false, row.fields...)
					f.Data(id, true, "")
					if h := f.Await(id); h.Status() != want || !h.Ended {
						t.Errorf("%s, %s: %+v, want %d", row.name, name, h, want)
					}
					if want == 200 {
						sent++
					}
				}
				f.Head(5, true, changed(ask2(), ":authority", "a.test")...)
				wantHeard(t, "a request for the host", f.Await(5), 200, "ok")
				sent++
			}
		}
		if n := len(server.requests(t, sent)); n != sent {
			t.Errorf("the server got %d requests, want %d", n, sent)
		}
	})
}
