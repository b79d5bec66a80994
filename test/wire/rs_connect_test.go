package wire

import (
	"testing"

	"poise/internal/testkit"
)

func TestConnectTimeout(t *testing.T) {
	t.Parallel()
	server := testkit.Serve(t, testkit.Answer(testkit.OK))
	silent := testkit.Deaf(t)
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		p := testkit.Start(t, s, "listen: 127.0.0.1:0\ntimeouts: { connect: 150ms }\nservers: ["+silent+"]\n")
		c := testkit.Dial(t, p.Addr)
		if r := c.Get("/x"); r.StatusCode != 503 || r.Header.Get("Proxy-Status") != "poise; error=connection_timeout" || r.Close {
			t.Errorf("GET = %d, %q, close %v; want 503, connection_timeout, false", r.StatusCode, r.Header.Get("Proxy-Status"), r.Close)
		}
		// Another server is asked, whatever the method: nothing was sent.
		p = testkit.Start(t, s, "listen: 127.0.0.1:0\npolicy: round_robin\ntimeouts: { connect: 150ms }\nservers: ["+silent+", "+server.Addr+"]\n")
		c = testkit.Dial(t, p.Addr)
		for range 2 {
			c.Send("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
			if r := c.Read("POST"); r.StatusCode != 200 {
				t.Errorf("POST = %d, want 200 from the server that can be reached", r.StatusCode)
			}
		}
	})
}
