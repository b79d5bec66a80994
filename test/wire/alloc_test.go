package wire

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"testing"
	"time"

	"poise/internal/testkit"
)

// TestNoAllocationPerRequest sends keep-alive requests through the whole data path, with routes, forwarded fields, statistics, timeouts, affinity and
// the access log on. The client and the server of this process allocate nothing either, so the process's count is Poise's.
func TestNoAllocationPerRequest(t *testing.T) {
	request := []byte("GET /v1/things?id=7 HTTP/1.1\r\nHost: example.test\r\nUser-Agent: test/1\r\nAccept: */*\r\nCookie: a=b; aff=")
	response := []byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nDate: Sun, 22 Nov 2026 12:00:00 GMT\r\nContent-Length: 100\r\n\r\n" + fmt.Sprintf("%0100d", 1))
	server := testkit.Serve(t, func(p *testkit.Peer) {
		buf := make([]byte, 4096)
		for { // a request comes in one piece
			if _, err := p.Conn.Read(buf); err != nil {
				return
			}
			if _, err := p.Conn.Write(response); err != nil {
				return
			}
		}
	})
	for _, driver := range []string{"io_uring", "epoll"} {
		// A cookie that is written anew with each answer.
		cookie := aged(t, server.Addr, time.Hour, 20*time.Minute)
		t.Run(driver, func(t *testing.T) {
			countAllocations(t, driver, server.Addr, slices.Concat(request, []byte(cookie+"\r\n\r\n")))
		})
	}
}

func countAllocations(t *testing.T, driver, server string, request []byte) {
	const warm, n = 2000, 20000
	p := testkit.Start(t, testkit.Setup{Driver: driver, Loops: 1}, `
listeners:
  - address: 127.0.0.1:0
    pool: default
    routes:
      - { match: { host: other.test }, pool: default }
      - { match: { path: /v1/* }, pool: default }
pools:
  default: { servers: [`+server+`], affinity: { cookie: { name: aff, secret: `+timesSecret+`, idle: 30m, life: 8h } } }
`)
	c, err := net.Dial("tcp", p.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	first := make([]byte, 4096)
	_, _ = c.Write(request)
	length, err := c.Read(first) // all answers have this length
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(first[:length], []byte("Set-Cookie: aff=")) {
		t.Errorf("the answer %q has no new cookie", first[:length])
	}
	buf := first[:length]
	run := func(times int) {
		for range times {
			if _, err := c.Write(request); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(c, buf); err != nil {
				t.Fatal(err)
			}
		}
	}
	run(warm)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	begin := time.Now()
	run(n)
	took := time.Since(begin)
	runtime.ReadMemStats(&after)
	// The ticks of the program, ten a second, allocate a little however few requests a busy machine lets through meanwhile. One in a hundred requests is
	// far below one each.
	got, most := after.Mallocs-before.Mallocs, n/100+uint64(50*took.Seconds())
	if t.Logf("%d allocations in %d requests and %v", got, n, took); got > most {
		t.Errorf("%d allocations in %d requests and %v, want none but those of ticks, %d at most", got, n, took, most)
	}
}
