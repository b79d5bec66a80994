// Package wire holds one suite of behaviour on the wire, run over every driver and several numbers of loops.
package wire

import (
	"testing"

	"poise/internal/testkit"
)

func TestGetGoesThrough(t *testing.T) {
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		server := testkit.Serve(t, testkit.Answer(testkit.OK))
		p := testkit.Start(t, s, "listen: 127.0.0.1:0\nservers: ["+server.Addr+"]\n")
		c := testkit.Dial(t, p.Addr)
		for range 3 {
			if r := c.Get("/x"); r.StatusCode != 200 || r.Body != "ok" {
				t.Errorf("GET = %d %q, want 200 ok", r.StatusCode, r.Body)
			}
		}
		if n := server.Connections(); n != 1 {
			t.Errorf("the server got %d connections, want 1 that is reused", n)
		}
		if n := len(p.Records(t, 3)); n != 3 {
			t.Errorf("%d log records, want 3", n)
		}
	})
}
