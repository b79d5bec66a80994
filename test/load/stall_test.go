package load

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"poise/internal/testkit"
)

const (
	// stalled is how many clients stall in each phase.
	stalled = 50
	// maxP99 is what a light load may see at the 99th percentile on a loop that others want to hold up; on a machine that is busy with other
	// things, three times what an undisturbed loop shows in the same moments.
	maxP99, busyFactor = 5 * time.Millisecond, 3
	samples            = 500
	sampleEvery        = 2 * time.Millisecond
	// rounds is how often a phase is measured until it is taken for slow: the machine may have hiccups of its own, a loop that stops does so each time.
	rounds = 3
)

// largeBody is more than all buffers on the way hold.
const largeBody = 16 << 20

// phase is where clients stall. Clients of earlier phases stay stalled in later ones.
type phase struct {
	name string
	send string
	// reached is how many stalled clients the server has seen; nil: Poise alone sees them.
	reached *atomic.Int64
}

// TestLoopNeverStopsForStalledClients measures a light load on the one loop that all stalled clients are on, and, request by request, on an
// undisturbed one beside it. (A handler that panics has a test of its own in internal/fiber.)
func TestLoopNeverStopsForStalledClients(t *testing.T) {
	eachDriver(t, 1, func(t *testing.T, s testkit.Setup) {
		const config = "listen: 127.0.0.1:0\nservers: [%s]\ntimeouts: { request_head: 5m, idle: 5m }\n"
		var uploads, downloads atomic.Int64
		server := testkit.Serve(t, stallingServer(&uploads, &downloads))
		held := testkit.Start(t, s, fmt.Sprintf(config, server.Addr))
		calm := testkit.Start(t, s, fmt.Sprintf(config, server.Addr))

		light, baseline := testkit.Dial(t, held.Addr), testkit.Dial(t, calm.Addr)
		clients := int64(1)
		for _, ph := range []phase{
			{"idle", "", nil},
			{"head", "GET / HTTP/1.1\r\nHost: exam", nil},
			{"body", "POST / HTTP/1.1\r\nHost: example.test\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 1000), &uploads},
			{"answer", "GET /large HTTP/1.1\r\nHost: example.test\r\n\r\n", &downloads},
		} {
			for range stalled {
				c := testkit.Dial(t, held.Addr)
				_ = c.SetReadBuffer(4 << 10)
				c.Send(ph.send)
			}
			clients += stalled
			testkit.Eventually(t, fmt.Sprintf("stall of %d clients", clients), func() bool {
				return held.App.Status().Listeners[0].Connections == clients && (ph.reached == nil || ph.reached.Load() == stalled)
			})
			t.Run(ph.name, func(t *testing.T) { checkLatency(t, light, baseline) })
		}
	})
}

// stallingServer answers at once, but never to a POST, since its body never ends; it counts those that stall.
func stallingServer(uploads, downloads *atomic.Int64) func(p *testkit.Peer) {
	large := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", largeBody) + strings.Repeat("x", largeBody)
	return func(p *testkit.Peer) {
		_ = p.SetDeadline(time.Time{}) // the test's end closes it
		for {
			head, err := p.ReadHead()
			answer := testkit.OK
			switch {
			case err != nil:
				return
			case strings.HasPrefix(head, "POST"):
				uploads.Add(1)
				_, _ = io.Copy(io.Discard, p.R)
				return
			case strings.HasPrefix(head, "GET /large"):
				downloads.Add(1)
				answer = large
			}
			if p.Send(answer) != nil {
				return
			}
		}
	}
}

func checkLatency(t *testing.T, light, baseline *testkit.Client) {
	t.Helper()
	var got, base time.Duration
	for range rounds {
		got, base = measure(light, baseline)
		if got < max(maxP99, busyFactor*base) {
			t.Logf("p99 = %v, undisturbed %v", got, base)
			return
		}
	}
	t.Errorf("p99 = %v, want less than %v, or %d times the undisturbed loop's %v", got, maxP99, busyFactor, base)
}

// measure returns the 99th percentile of requests on both connections, which take turns.
func measure(light, baseline *testkit.Client) (got, base time.Duration) {
	times := [2][]time.Duration{}
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for start := time.Now(); len(times[0]) < samples && time.Since(start) < testkit.Patience; {
		<-tick.C
		for i, c := range []*testkit.Client{light, baseline} {
			began := time.Now()
			_ = c.SetDeadline(began.Add(testkit.Patience))
			c.Get("/")
			times[i] = append(times[i], time.Since(began))
		}
	}
	return p99(times[0]), p99(times[1])
}

func p99(times []time.Duration) time.Duration {
	slices.Sort(times)
	return times[len(times)*99/100]
}
