package load

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"poise/internal/testkit"
)

// TestLongConnectionsSpreadOverLoops: the kernel's hash alone leaves a loop with a third more than another easily; a loop that has too many passes
// connections on.
func TestLongConnectionsSpreadOverLoops(t *testing.T) {
	const conns = 200
	for _, loops := range []int{2, 4} {
		eachDriver(t, loops, func(t *testing.T, s testkit.Setup) {
			server := startNamed(t, "a")
			socket := filepath.Join(t.TempDir(), "admin")
			p := testkit.Start(t, s, fmt.Sprintf("listen: 127.0.0.1:0\nservers: [%q]\nadmin: { address: \"unix:%s\" }\n", server.addr, socket))
			admin := newAdminClient(t, socket)
			var clients []*testkit.Client
			for range conns {
				c := testkit.Dial(t, p.Addr)
				if got := c.Get("/").Body; got != "a" {
					t.Fatalf("answer %q, want \"a\"", got)
				}
				clients = append(clients, c)
			}
			m := admin.metrics(t)
			total, mean, least, most := 0, conns/loops, conns, 0
			for i := range loops {
				n := m.sum(fmt.Sprintf(`poise_loop_client_connections{loop="%d"`, i))
				total, least, most = total+n, min(least, n), max(most, n)
				if n < mean*3/4 || n > mean*5/4 {
					t.Errorf("loop %d of %d has %d connections, want %d to %d", i, loops, n, mean*3/4, mean*5/4)
				}
			}
			if most > least+least/4+1 {
				t.Errorf("a loop has %d connections, and another one %d: that is more than a quarter", most, least)
			}
			if total != conns {
				t.Errorf("the loops have %d connections, want %d", total, conns)
			}
			for _, c := range clients { // wherever they are, they are served
				if got := c.Get("/").Body; !strings.HasPrefix(got, "a") {
					t.Fatalf("answer %q, want \"a\"", got)
				}
			}
		})
	}
}
