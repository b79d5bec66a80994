package load

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"poise/internal/testkit"
)

const (
	// floodsVariable names the environment variable that says how long each flood lasts.
	floodsVariable = "POISE_TEST_FLOODS"
	floodFrames    = 10_000 // a second
	goodRequests   = 500    // a second
	quietEnough    = 10 * time.Millisecond
	// floodGrowth is how much more memory Poise may have after a flood, with what waits to be collected.
	floodGrowth = 48 << 20
)

// attacker is a client that means no good, on one connection.
type attacker struct {
	net.Conn
	*http2.Framer
	batch  bytes.Buffer // what is to be sent next
	stream uint32
	block  []byte // of a request
}

func attack(t *testing.T, addr string, settings ...http2.Setting) *attacker {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	a := &attacker{Conn: conn, stream: 1}
	a.Framer = http2.NewFramer(&a.batch, conn)
	a.AllowIllegalWrites = true
	a.batch.WriteString(http2.ClientPreface)
	_ = a.WriteSettings(settings...)
	a.block = block(":method", "GET", ":scheme", "http", ":path", "/", ":authority", "flood.test")
	return a
}

func block(fields ...string) []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	e.SetMaxDynamicTableSizeLimit(0)
	for i := 0; i < len(fields); i += 2 {
		_ = e.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return b.Bytes()
}

// open begins a stream.
func (a *attacker) open(end bool) uint32 {
	id := a.stream
	a.stream += 2
	_ = a.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: a.block, EndHeaders: true, EndStream: end})
	return id
}

// floods are what attackers send over and over: each returns how many frames it has written. The names are those of the catalogue of attacks that
// docs/http2.md explains.
var floods = []struct {
	name     string
	settings []http2.Setting
	send     func(a *attacker, n int) int
}{
	{"FL1 requests taken back at once", nil, func(a *attacker, _ int) int {
		_ = a.WriteRSTStream(a.open(true), http2.ErrCodeCancel)
		return 2
	}},
	{"FL2 streams that we are made to reset", nil, func(a *attacker, _ int) int {
		_ = a.WriteWindowUpdate(a.open(false), 0)
		return 2
	}},
	{"FL2 bodies longer than they said", nil, func(a *attacker, _ int) int {
		id := a.stream
		a.stream += 2
		post := block(":method", "POST", ":scheme", "http", ":path", "/", ":authority", "flood.test", "content-length", "1")
		_ = a.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: post, EndHeaders: true})
		_ = a.WriteData(id, true, []byte("two"))
		return 2
	}},
	{"FL3 a head without end", nil, func(a *attacker, n int) int {
		if n == 0 {
			_ = a.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: a.block})
		}
		_ = a.WriteContinuation(1, false, nil)
		return 1
	}},
	{"FL4 PING", nil, func(a *attacker, _ int) int { _ = a.WritePing(false, [8]byte{}); return 1 }},
	{"FL4 SETTINGS", nil, func(a *attacker, n int) int {
		_ = a.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: uint32(n % 1000)})
		return 1
	}},
	{"FL4 acknowledged SETTINGS", nil, func(a *attacker, _ int) int { _ = a.WriteSettingsAck(); return 1 }},
	{"FL4 PRIORITY", nil, func(a *attacker, n int) int {
		_ = a.WritePriority(uint32(2*n+1), http2.PriorityParam{Weight: 1})
		return 1
	}},
	{"FL4 WINDOW_UPDATE", nil, func(a *attacker, _ int) int { _ = a.WriteWindowUpdate(0, 1); return 1 }},
	{"FL4 empty DATA", nil, func(a *attacker, n int) int {
		if n == 0 {
			a.open(false)
		}
		_ = a.WriteData(1, false, nil)
		return 1
	}},
	{"FL5 large fields, told by their places", nil, func(a *attacker, n int) int {
		head := append([]byte(nil), a.block...)
		if n == 0 { // into the table
			head = append(head, 0x40, 1, 'a', 0x7f, 0xa1, 0x1e) // 127 + 0x21 + 0x1e<<7 bytes
			head = append(head, bytes.Repeat([]byte("x"), 127+0x21+0x1e<<7)...)
		}
		head = append(head, bytes.Repeat([]byte{0xbe}, 8000)...)
		id := a.stream
		a.stream += 2
		_ = a.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: head, EndHeaders: true, EndStream: true})
		return 50 // each is worth many
	}},
	{"FL6 many small fields, while nothing is taken", []http2.Setting{{ID: http2.SettingInitialWindowSize, Val: 0}}, func(a *attacker, _ int) int {
		head := append([]byte(nil), a.block...)
		for range 3000 { // "cookie: " and nothing, from the static table
			head = append(head, 0xa0)
		}
		id := a.stream
		a.stream += 2
		_ = a.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: head, EndHeaders: true, EndStream: true})
		return 50
	}},
	{"FL7 a window that opens byte by byte", []http2.Setting{{ID: http2.SettingInitialWindowSize, Val: 0}}, func(a *attacker, n int) int {
		if n == 0 {
			a.open(true)
		}
		_ = a.WriteWindowUpdate(1, 1)
		return 1
	}},
	{"FL8 a body byte by byte", nil, func(a *attacker, n int) int {
		if n == 0 {
			a.open(false)
		}
		_ = a.WriteData(1, false, []byte("x"))
		return 1
	}},
	{"FL9 streams that never end", nil, func(a *attacker, _ int) int { a.open(false); return 1 }},
	{"FL9 heads of streams that have ended", nil, func(a *attacker, n int) int {
		if n == 0 {
			a.open(true)
			time.Sleep(50 * time.Millisecond)
		}
		_ = a.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: a.block, EndHeaders: true, EndStream: true})
		return 1
	}},
}

// TestFloods: whoever floods a connection of HTTP/2 with what brings nothing is closed, and others do not notice.
func TestFloods(t *testing.T) {
	length, strict := 2*time.Second, false
	if s := os.Getenv(floodsVariable); s != "" {
		var err error
		if length, err = time.ParseDuration(s); err != nil {
			t.Fatal(err)
		}
		strict = true
	}
	binary := builtBinary(t)
	eachDriver(t, 1, func(t *testing.T, s testkit.Setup) {
		server := startNamed(t, "a")
		p := startBinary(t, binary, fmt.Sprintf("driver: %s\nloops: 1\nlisten: 127.0.0.1:0\nservers: [%q]\neject: { enabled: false }\n", s.Driver, server.addr))
		good := goodClient(p.addr)
		quiet := p99(good.run(t, length))
		most := max(3*quiet, quietEnough)
		if !strict { // short, and beside other tests' work: what then shows is a loop that is held up
			most = max(most, heldUpFor)
		}
		for _, flood := range floods {
			t.Run(flood.name, func(t *testing.T) {
				var closed atomic.Int32
				before := p.resident(t)
				stop, done := make(chan struct{}), make(chan struct{})
				go func() {
					defer close(done)
					for {
						select {
						case <-stop:
							return
						default:
							if !floodOnce(t, p.addr, flood.settings, flood.send, stop) {
								return
							}
							closed.Add(1)
						}
					}
				}()
				times := good.run(t, length)
				close(stop)
				<-done
				if grown := p.resident(t) - before; grown > floodGrowth {
					t.Errorf("Poise holds %d KiB more after the flood", grown>>10)
				}
				if closed.Load() == 0 {
					t.Errorf("the attacker was not closed in %v", length)
				}
				if got := p99(times); got > most {
					t.Errorf("p99 of others = %v, want %v at most; %v without the flood", got, most, quiet)
				}
			})
		}
	})
}

// floodOnce floods one connection until it is closed, which it reports, or stop is.
func floodOnce(t *testing.T, addr string, settings []http2.Setting, send func(*attacker, int) int, stop chan struct{}) (closed bool) {
	a := attack(t, addr, settings...)
	defer a.Close()
	ended := make(chan struct{})
	go func() { // what comes is read, so that it is no reset that closes
		defer close(ended)
		_, _ = io.Copy(io.Discard, a.Conn)
	}()
	begun, frames := time.Now(), 0
	for n := 0; ; n++ {
		frames += send(a, n)
		if a.batch.Len() < 4<<10 && n%10 != 0 {
			continue
		}
		select {
		case <-ended:
			return true
		case <-stop:
			return false
		default:
		}
		if _, err := a.Write(a.batch.Bytes()); err != nil {
			return true
		}
		a.batch.Reset()
		time.Sleep(time.Until(begun.Add(time.Duration(frames) * time.Second / floodFrames)))
	}
}

// good is a client as it should be.
type good struct {
	http http.Client
	url  string
}

func goodClient(addr string) *good {
	var p http.Protocols
	p.SetUnencryptedHTTP2(true)
	return &good{http: http.Client{Transport: &http.Transport{Protocols: &p}, Timeout: testkit.Patience}, url: "http://" + addr + "/"}
}

// run makes requests at fixed times for a while, and returns how long each took.
func (g *good) run(t *testing.T, length time.Duration) (times []time.Duration) {
	t.Helper()
	const every = time.Second / goodRequests
	for due := time.Now(); length > 0; due, length = due.Add(every), length-every {
		time.Sleep(time.Until(due))
		begun := time.Now()
		r, err := g.http.Get(g.url)
		if err != nil {
			t.Errorf("a good client's request: %v", err)
			return times
		}
		_, _ = io.Copy(io.Discard, r.Body)
		_ = r.Body.Close()
		if r.StatusCode != 200 || r.ProtoMajor != 2 {
			t.Errorf("a good client got %s over %s", r.Status, r.Proto)
		}
		times = append(times, time.Since(begun))
	}
	return times
}
