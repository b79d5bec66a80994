package load

import (
	"fmt"
	"strings"
	"testing"

	"poise/internal/testkit"
)

// heldBy names what Poise still has although nobody is there; "" when that is nothing. All gauges of what comes and goes are among it.
func heldBy(t *testing.T, p *testkit.Poise, a *adminClient) string {
	t.Helper()
	st := p.App.Status()
	if n := st.Listeners[0].Connections; n != 0 {
		return fmt.Sprintf("%d connections", n)
	}
	for _, pool := range st.Pools {
		if pool.Waiting != 0 {
			return fmt.Sprintf("%d waiting in %s", pool.Waiting, pool.Name)
		}
		for _, s := range pool.Servers {
			if s.InFlight != 0 {
				return fmt.Sprintf("%d requests in flight at %s of %s", s.InFlight, s.Address, pool.Name)
			}
		}
	}
	m := a.metrics(t)
	for _, name := range strings.Fields(`
		poise_listener_connections poise_loop_client_connections poise_server_connections
		poise_route_in_flight_requests poise_pool_in_flight_requests poise_server_in_flight_requests poise_pool_queue_length
	`) {
		if n := m.sum(name); n != 0 {
			return fmt.Sprintf("%s = %d", name, n)
		}
	}
	for i, n := range p.App.Loops() {
		if n.Active > 0 || n.HeadBuffers > 0 || n.BodyBuffers > 0 || n.Conns > 0 {
			return fmt.Sprintf("on loop %d: %d connections, %d fibers at work, %d and %d buffers", i, n.Conns, n.Active, n.HeadBuffers, n.BodyBuffers)
		}
	}
	return ""
}
