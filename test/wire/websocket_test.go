package wire

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	coder "github.com/coder/websocket"

	"poise/internal/testkit"
)

// eachPair runs f for every setup and both pairs of libraries, with Poise between; the server echoes, says goodbye when asked, and tells how the client has
// said it.
func eachPair(t *testing.T, f func(t *testing.T, p *testkit.Poise, client library, goodbyes <-chan error)) {
	t.Helper()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		s.HTTP1(t)
		slow(t, s)
		for _, pair := range pairs {
			goodbyes := make(chan error, 1)
			server := serveSockets(t, pair[1], func(_ *http.Request, s socket) {
				for {
					b, err := s.read()
					if err != nil {
						goodbyes <- err
						return
					}
					if string(b) == "goodbye" {
						goodbyes <- s.close(4002, "as asked")
						return
					}
					if err := s.write(b); err != nil {
						goodbyes <- err
						return
					}
				}
			})
			f(t, beforeServers(t, s, []*testkit.Server{server}), pair[0], goodbyes)
		}
	})
}

// Messages of all lengths, pings and both sides' goodbyes come through, as two libraries see it.
func TestWebSocketLibraries(t *testing.T) {
	t.Parallel()
	eachPair(t, func(t *testing.T, p *testkit.Poise, client library, goodbyes <-chan error) {
		s := dialSocket(t, p, client, "/ws")
		pong := s.ping()
		for _, n := range []int{0, 1, 125, 126, 65535, 65536, 1 << 20} {
			sent := testkit.Pattern(uint64(n), n)
			if err := s.write(sent); err != nil {
				t.Fatalf("%s writes: %v", client.name, err)
			}
			if got, err := s.read(); err != nil || !bytes.Equal(got, sent) {
				t.Fatalf("%s got %d bytes (%v), want the %d that it sent", client.name, len(got), err, n)
			}
		}
		if err := <-pong; err != nil {
			t.Errorf("%s: pong: %v", client.name, err)
		}
		if err := s.close(4001, "enough"); err != nil {
			t.Errorf("%s closes: %v", client.name, err)
		}
		if got, want := <-goodbyes, (closing{4001, "enough"}); !errors.Is(got, want) {
			t.Errorf("the server of %s got %v, want %+v", client.name, got, want)
		}
		s = dialSocket(t, p, client, "/ws")
		_ = s.write([]byte("goodbye"))
		if _, err := s.read(); !errors.Is(err, closing{4002, "as asked"}) {
			t.Errorf("%s got %v, want 4002", client.name, err)
		}
		s.drop()
		if err := <-goodbyes; err != nil {
			t.Errorf("the server of %s says goodbye: %v", client.name, err)
		}
		for _, r := range p.Parsed(t, 2)["/ws"] {
			if r.Status != 101 || r.End != "----" || r.Reason != "" {
				t.Errorf("record %d %s %q", r.Status, r.End, r.Reason)
			}
		}
	})
}

// bulkVariable is how many bytes TestWebSocketBulk sends each way. Default: 64 MiB over one setup of each driver that passes much on in the kernel, 8 MiB over
// the others.
const bulkVariable = "POISE_TEST_WEBSOCKET_BYTES"

// Much comes whole, both ways at once.
func TestWebSocketBulk(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		s.HTTP1(t)
		total := 8 << 20
		if s.Loops == 2 && s.Driver != "net" {
			total = 64 << 20
		}
		if text := os.Getenv(bulkVariable); text != "" {
			total, _ = strconv.Atoi(text)
		}
		sums := make(chan [2]string, 1)
		server := serveSockets(t, gorillaLibrary(false), func(_ *http.Request, s socket) {
			sums <- exchange(t, s, 1, total)
			_, _ = s.read()
		})
		p := beforeServers(t, s, []*testkit.Server{server})
		begun := time.Now()
		client := dialSocket(t, p, coderLibrary(coder.CompressionDisabled), "/ws")
		c, took := exchange(t, client, 2, total), time.Since(begun)
		if at := <-sums; c[0] != at[1] || c[1] != at[0] {
			t.Errorf("sent %s and got %s, the server got %s and sent %s", c[0], c[1], at[1], at[0])
		}
		t.Logf("%d MiB each way in %v", total>>20, took.Round(time.Millisecond))
	})
}

// exchange sends and receives so many bytes at once, in messages of 1 MiB of which no two are the same, and returns the sums of what went and came.
func exchange(t *testing.T, s socket, seed uint64, total int) (sums [2]string) {
	var wg sync.WaitGroup
	wg.Go(func() {
		h, b := sha256.New(), testkit.Pattern(seed, 1<<20)
		for i := 0; i < total; i += len(b) {
			binary.BigEndian.PutUint64(b, uint64(i))
			h.Write(b)
			if err := s.write(b); err != nil {
				t.Errorf("after %d bytes: %v", i, err)
				return
			}
		}
		sums[0] = fmt.Sprintf("%x", h.Sum(nil)[:8])
	})
	h := sha256.New()
	for n := 0; n < total; {
		b, err := s.read()
		if err != nil {
			t.Errorf("after %d bytes: %v", n, err)
			break
		}
		h.Write(b)
		n += len(b)
	}
	wg.Wait()
	sums[1] = fmt.Sprintf("%x", h.Sum(nil)[:8])
	return sums
}

// Reloads leave upgraded connections alone, also where they take away what those came by: their route, their server, their pool.
func TestWebSocketReloads(t *testing.T) {
	t.Parallel()
	const sockets, reloads = 200, 50
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		s.HTTP1(t)
		if s.Loops != 2 {
			t.Skip("one setup of each driver is enough")
		}
		server := serveSockets(t, gorillaLibrary(false), func(_ *http.Request, s socket) {
			for b, err := s.read(); err == nil && s.write(b) == nil; b, err = s.read() {
			}
		})
		other := testkit.Serve(t, testkit.Answer(testkit.OK))
		configs := []string{
			"listen: 127.0.0.1:0\nservers: [" + server.Addr + "]\n",
			"listen: 127.0.0.1:0\nservers: [" + other.Addr + "]\ntimeouts: { relay_idle: 1s }\n",
			"listeners: [{ address: 127.0.0.1:0, pool: new, upgrades: [], routes: [{ match: { path: /new }, pool: new }] }]\npools: { new: { servers: [" +
				other.Addr + "] } }\n",
		}
		p := testkit.Start(t, s, configs[0])
		var over atomic.Bool
		var rounds atomic.Int64
		var wg sync.WaitGroup
		for i := range sockets {
			c := dialSocket(t, p, ofCoder, "/ws")
			wg.Go(func() {
				for n := 0; n < 3 || !over.Load(); n++ {
					text := fmt.Sprintf("%d of %d", n, i)
					err := c.write([]byte(text))
					if b, err2 := c.read(); err != nil || string(b) != text {
						t.Errorf("socket %d, round %d: %q (%v, %v)", i, n, b, err, err2)
						return
					}
					rounds.Add(1)
					time.Sleep(100 * time.Millisecond)
				}
			})
		}
		for i := range reloads {
			p.Reload(t, configs[(i+1)%len(configs)])
		}
		over.Store(true)
		wg.Wait()
		t.Logf("%d rounds", rounds.Load())
	})
}
