package load

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"poise/internal/testkit"
)

// serverHost is where servers listen that come back on the same port. Connections are made from 127.0.0.1, so that none can take such a port, and
// none to a server that is down can end up at itself.
const serverHost = "127.0.0.2"

// slowness is how long a slow request, response or upload rests in its middle: long enough that a kill meets some.
const slowness = 200 * time.Millisecond

// server is a server process that can be killed and comes back on the same port.
type server struct {
	*process
	name, record string
	cert         *testkit.Certificate // nil: it speaks clear text
}

func startServer(t testing.TB, dir string, number int, cert *testkit.Certificate) *server {
	t.Helper()
	s := &server{name: strconv.Itoa(number), cert: cert}
	s.record = filepath.Join(dir, s.name)
	s.start(t, serverHost+":0")
	t.Cleanup(func() { s.kill() })
	return s
}

func (s *server) start(t testing.TB, addr string) {
	t.Helper()
	environment := []string{"POISE_TEST_LISTEN=" + addr, "POISE_TEST_NAME=" + s.name, "POISE_TEST_RECORD=" + s.record}
	if s.cert != nil {
		environment = append(environment, "POISE_TEST_CERT="+s.cert.CertFile, "POISE_TEST_KEY="+s.cert.KeyFile)
	}
	s.process = spawn(t, "server", 0, environment...)
}

// restart brings a killed server back.
func (s *server) restart(t testing.TB) {
	t.Helper()
	s.start(t, s.addr)
}

// executed calls f for each request that the server's processes began to handle.
func (s *server) executed(t testing.TB, f func(method string, id int)) {
	t.Helper()
	record, err := os.Open(s.record)
	if err != nil {
		t.Fatal(err)
	}
	defer record.Close()
	lines := bufio.NewScanner(record)
	for lines.Scan() {
		method, id, _ := strings.Cut(lines.Text(), " ")
		f(method, numberOf(id))
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
}

// numberOf reads a number; -1 if there is none.
func numberOf(s string) int {
	if n, err := strconv.Atoi(s); err == nil {
		return n
	}
	return -1
}

// serverRole is the server's side: it answers in other goroutines.
func serverRole() (addr string, err error) {
	record, err := os.OpenFile(os.Getenv("POISE_TEST_RECORD"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return "", err
	}
	ln, err := net.Listen("tcp", os.Getenv("POISE_TEST_LISTEN"))
	if err != nil {
		return "", err
	}
	s := &http.Server{Handler: &answerer{name: os.Getenv("POISE_TEST_NAME"), record: record}, Protocols: new(http.Protocols)}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetHTTP2(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	go func() {
		if cert := os.Getenv("POISE_TEST_CERT"); cert != "" {
			_ = s.ServeTLS(ln, cert, os.Getenv("POISE_TEST_KEY"))
		} else {
			_ = s.Serve(ln)
		}
	}()
	return ln.Addr().String(), nil
}

// answerer does what a request's query says, and tells what it got.
type answerer struct {
	name   string
	record io.Writer // one write a request, which a kill cannot take back
	mode   atomic.Pointer[string]
	asked  atomic.Int64
}

// modePath is where a test tells a server how to answer, in the query: one of the modes.
const modePath = "/mode"

// The modes of a server, beside "". Probes are treated as all others.
const (
	resets   = "reset" // every request is answered by a reset
	halfFail = "half"  // every other one by 500
)

func (a *answerer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == modePath {
		a.mode.Store(&r.URL.RawQuery)
		return
	}
	if a.fails(w) || r.URL.Path == probePath {
		return
	}
	q := r.URL.Query()
	fmt.Fprintf(a.record, "%s %s\n", r.Method, q.Get("id"))
	sum := sha256.New()
	if _, err := io.Copy(sum, r.Body); err != nil {
		panic(http.ErrAbortHandler)
	}
	if q.Get("slow") == slowHead {
		rest()
	}
	a.answer(w, q, hex.EncodeToString(sum.Sum(nil)))
}

// fails does what the mode says, and tells whether that was all.
func (a *answerer) fails(w http.ResponseWriter) bool {
	mode := a.mode.Load()
	switch {
	case mode == nil || *mode == "":
		return false
	case *mode == resets:
		if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
			_ = conn.(*net.TCPConn).SetLinger(0)
			_ = conn.Close()
		}
		return true
	case a.asked.Add(1)%2 == 0:
		w.WriteHeader(http.StatusInternalServerError)
		return true
	}
	return false
}

// set puts the server into a mode.
func (s *server) set(t testing.TB, mode string) {
	t.Helper()
	resp, err := http.Get("http://" + s.addr + modePath + "?" + mode)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
}

func (a *answerer) answer(w http.ResponseWriter, q url.Values, sum string) {
	size, err := strconv.Atoi(q.Get("size"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("X-Id", q.Get("id"))
	h.Set("X-Sum", sum)
	h.Set("X-Server", a.name)
	body := pattern(nil, "answer "+q.Get("id"), size)
	if q.Get("chunked") == "" {
		h.Set("Content-Length", strconv.Itoa(size))
	} else {
		_ = http.NewResponseController(w).Flush()
	}
	half := size / 2
	_, _ = w.Write(body[:half])
	if q.Get("slow") == slowBody {
		_ = http.NewResponseController(w).Flush()
		rest()
	}
	_, _ = w.Write(body[half:])
}

// rest is what makes the slow ones slow.
func rest() { <-time.After(slowness) }

// pattern makes a body of the size that nobody else's looks like, in the memory of b if it suffices.
func pattern(b []byte, of string, size int) []byte {
	h := fnv.New64a()
	_, _ = io.WriteString(h, of)
	random := rand.NewPCG(h.Sum64(), 0)
	b = b[:0]
	for len(b) < size {
		b = binary.LittleEndian.AppendUint64(b, random.Uint64())
	}
	return b[:size]
}

func TestPattern(t *testing.T) {
	a, b := pattern(nil, "a", 1001), pattern(make([]byte, 5), "a", 1001)
	if !bytes.Equal(a, b) || len(a) != 1001 {
		t.Errorf("pattern(a) = %d bytes and %d bytes that differ, want twice the same 1001", len(a), len(b))
	}
	if bytes.Equal(a, pattern(nil, "b", 1001)) {
		t.Error("pattern(a) = pattern(b)")
	}
}
