package wire

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"poise/internal/testkit"
)

// However the sides end, and whatever is on its way then, each exchange leaves one record and nothing else.
func TestUpgradeLeavesNothing(t *testing.T) {
	t.Parallel()
	much := string(testkit.Pattern(7, 512<<10))
	ends := map[string]func(send func(string), closeWrite, reset func()){
		"stay":       func(func(string), func(), func()) {},
		"end":        func(_ func(string), closeWrite, _ func()) { closeWrite() },
		"reset":      func(_ func(string), _, reset func()) { reset() },
		"much-end":   func(send func(string), closeWrite, _ func()) { send(much); closeWrite() },
		"much-reset": func(send func(string), _, reset func()) { send(much); reset() },
		"much":       func(send func(string), _, _ func()) { send(much) },
	}
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		s.HTTP1(t)
		slow(t, s)
		server := testkit.Serve(t, func(p *testkit.Peer) {
			head, err := p.ReadHead()
			if err != nil {
				return
			}
			_ = p.Send(wsTake(head))
			of := strings.Split(testkit.PathOf(head), "/")[2]
			ends[of](func(s string) { _ = p.Send(s) }, func() { _ = p.CloseWrite() }, p.Reset)
			if !strings.HasSuffix(testkit.PathOf(head), "/deaf") {
				_, _ = io.Copy(io.Discard, p.R)
			}
		})
		p := beforeServers(t, s, []*testkit.Server{server})
		n := 0
		var wg sync.WaitGroup
		for ofClient, end := range ends {
			for ofServer := range ends {
				for _, path := range []string{"/" + ofClient + "/" + ofServer, "/" + ofClient + "/" + ofServer + "/deaf"} {
					n++
					c := testkit.Dial(t, p.Addr)
					wg.Go(func() {
						c.Send(wsAsk(path))
						if _, err := c.TryRead("GET"); err == nil { // a server that resets at once may reset before its answer is passed on
							end(c.Send, func() { _ = c.CloseWrite() }, c.ResetConn)
							if strings.HasPrefix(ofServer, "much") { // a part of it, so that the rest breaks off
								_, _ = io.CopyN(io.Discard, c.R, int64(len(much)/2))
							}
						}
						_ = c.Close()
					})
				}
			}
		}
		wg.Wait()
		testkit.Eventually(t, "loops with nothing left", func() bool {
			for _, l := range p.App.Loops() {
				if l.Conns > 0 || l.Active > 0 || l.HeadBuffers > 0 || l.BodyBuffers > 0 {
					return false
				}
			}
			return true
		})
		if st := p.App.Status(); st.Pools[0].Servers[0].InFlight != 0 || st.Listeners[0].Connections != 0 {
			t.Errorf("in flight: %d, connections: %d, want none", st.Pools[0].Servers[0].InFlight, st.Listeners[0].Connections)
		}
		records := p.Parsed(t, n)
		for path, list := range records {
			if len(list) != 1 || (list[0].Status != 101 && list[0].Status != 502) || strings.HasPrefix(list[0].End, "I") {
				t.Errorf("%s: %s", path, fmt.Sprintf("%+v", list))
			}
		}
		if len(records) != n {
			t.Errorf("records of %d connections, want %d", len(records), n)
		}
	})
}
