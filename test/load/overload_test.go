package load

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"poise/internal/testkit"
)

const (
	// overloadVar is how many requests each server takes at a time, so how large the load is; its bounds are the strict ones then.
	overloadVar = "POISE_TEST_OVERLOAD_SLOTS"
	// fewSlots keep the load small enough for a machine that does other things too.
	fewSlots = 2

	overloadServers = 4
	service         = 20 * time.Millisecond
	// patience is how long a client of the load waits for an answer.
	patience = 5 * time.Second
)

// TestOverload sends more than servers can do, at a pace that does not mind how they fare: as much as they can do is accepted and answered as soon as
// ever, the rest is refused at once, and afterwards all is as before.
func TestOverload(t *testing.T) {
	slots, strict := fewSlots, false
	if s := os.Getenv(overloadVar); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		slots, strict = n, true
	}
	capacity := float64(overloadServers*slots) / service.Seconds()
	eachDriver(t, 1, func(t *testing.T, setup testkit.Setup) {
		var servers []string
		for range overloadServers {
			servers = append(servers, fmt.Sprintf("{ address: %q, max_requests: %d }", startTimed(t, slots), slots))
		}
		p := testkit.Start(t, setup, fmt.Sprintf("listen: 127.0.0.1:0\nservers: [%s]\nqueue: { length: %d }\n", strings.Join(servers, ", "), 2*slots))
		usual := sendAt(p.Addr, 0.8*capacity, time.Second)
		t.Logf("0.8 of the capacity: %v", usual)
		peak, most := usual.goodput, usual
		for _, times := range []float64{2, 5} {
			r := sendAt(p.Addr, times*capacity, 2*time.Second)
			t.Logf("%v times: %v", times, r)
			peak = max(peak, r.goodput)
			most = r
			slack := time.Duration(0)
			if !strict {
				slack = 100 * time.Millisecond
			}
			if r.p99 > 3*usual.p99+slack {
				t.Errorf("at %v times the capacity the 99th percentile of what is accepted is %v, at 0.8 %v; want three times that at most", times, r.p99, usual.p99)
			}
			if r.refused == 0 || r.failed > 0 {
				t.Errorf("at %v times the capacity: %v; want some refused and none failed", times, r)
			}
		}
		least := 0.5
		if strict {
			least = 0.9
		}
		if most.goodput < least*peak {
			t.Errorf("at five times the capacity %.0f requests a second are answered, at best %.0f", most.goodput, peak)
		}
		after := sendAt(p.Addr, 0.8*capacity, time.Second)
		t.Logf("and 0.8 again: %v", after)
		if after.failed > 0 || strict && (after.refused > 0 || after.p99 > 2*usual.p99) {
			t.Errorf("afterwards: %v, before: %v; want the same", after, usual)
		}
		testkit.Eventually(t, "empty queue", func() bool { return p.App.Status().Pools[0].Waiting == 0 })
	})
}

// startTimed is a server that takes so many requests at a time, and a fixed time for each. What is more waits.
func startTimed(t *testing.T, slots int) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	free := make(chan struct{}, slots)
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				r := bufio.NewReader(c)
				for {
					if _, _, err := readHead(r); err != nil {
						return
					}
					free <- struct{}{}
					<-time.After(service)
					<-free
					if _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"); err != nil {
						return
					}
				}
			}()
		}
	}()
	return ln.Addr().String()
}

// readHead reads a head, and returns an answer's status and how long its body is: with little work, since the load shares the machine.
func readHead(r *bufio.Reader) (status, length int, err error) {
	for first := true; ; first = false {
		line, err := r.ReadSlice('\n')
		switch {
		case err != nil:
			return 0, 0, err
		case first && bytes.HasPrefix(line, []byte("HTTP/1.1 ")):
			status, _ = strconv.Atoi(string(line[9:12]))
		case len(line) <= 2:
			return status, length, nil
		case bytes.HasPrefix(line, []byte("Content-Length: ")):
			length, _ = strconv.Atoi(string(bytes.TrimSpace(line[16:])))
		}
	}
}

// rate is what a load came to.
type rate struct {
	goodput         float64 // requests a second with 200
	p99             time.Duration
	refused, failed int // 503; anything else
}

func (r rate) String() string {
	return fmt.Sprintf("%.0f a second, p99 %v, %d refused, %d failed", r.goodput, r.p99.Round(100*time.Microsecond), r.refused, r.failed)
}

// caller sends requests on a connection that it keeps.
type caller struct {
	addr string
	conn net.Conn
	r    *bufio.Reader
}

// call returns the status; 0: there was none.
func (c *caller) call() int {
	if c.conn == nil {
		conn, err := net.Dial("tcp", c.addr)
		if err != nil {
			return 0
		}
		c.conn, c.r = conn, bufio.NewReader(conn)
	}
	_ = c.conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c.conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); err == nil {
		if status, length, err := readHead(c.r); err == nil {
			if _, err := c.r.Discard(length); err == nil {
				return status
			}
		}
	}
	_ = c.conn.Close()
	c.conn = nil
	return 0
}

// sendAt sends requests at a rate a second, whatever becomes of them, and waits for the last.
func sendAt(addr string, perSecond float64, length time.Duration) rate {
	var mu sync.Mutex // guards all below
	var r rate
	var times []time.Duration
	var idle []*caller
	var calls sync.WaitGroup
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	begun, sent := time.Now(), 0
	for now := begun; now.Sub(begun) < length; now = <-tick.C {
		for ; sent < int(now.Sub(begun).Seconds()*perSecond); sent++ {
			due := begun.Add(time.Duration(float64(sent) / perSecond * float64(time.Second)))
			calls.Go(func() {
				mu.Lock()
				c := &caller{addr: addr}
				if n := len(idle); n > 0 {
					c, idle = idle[n-1], idle[:n-1]
				}
				mu.Unlock()
				status := c.call()
				took := time.Since(due)
				mu.Lock()
				defer mu.Unlock()
				idle = append(idle, c)
				switch status {
				case 200:
					times = append(times, took)
				case 503:
					r.refused++
				default:
					r.failed++
				}
			})
		}
	}
	calls.Wait()
	for _, c := range idle {
		if c.conn != nil {
			_ = c.conn.Close()
		}
	}
	r.goodput = float64(len(times)) / time.Since(begun).Seconds()
	if slices.Sort(times); len(times) > 0 {
		r.p99 = times[len(times)*99/100]
	}
	return r
}
