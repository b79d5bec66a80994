package wire

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"testing"

	"poise/internal/testkit"
)

// attack is input that must be refused.
type attack struct {
	name string
	send string
	// status of the answer; 0 means 400.
	status int
}

// refuse sends each attack, whole and byte by byte, on a connection of its own. Each gets one answer and a clean end, leaves one record, and
// nothing of any of them reaches the server; a neighbour is served before and after.
func refuse(t *testing.T, attacks []attack) {
	t.Helper()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		s.ClientHTTP1(t) // raw bytes
		target := testkit.Serve(t, testkit.Answer(testkit.OK))
		other := testkit.Serve(t, testkit.Answer(testkit.OK))
		p := testkit.Start(t, s, `
listeners:
  - address: 127.0.0.1:0
    pool: target
    routes: [{ match: { path: /neighbour }, pool: other }]
pools:
  target: { servers: [`+target.Addr+`] }
  other: { servers: [`+other.Addr+`] }
`)
		neighbour := testkit.Dial(t, p.Addr)
		neighbourServed(t, neighbour)
		log := newExpectedLog()
		log.add(neighbour, 200, 200)
		for _, a := range attacks {
			if a.status == 0 {
				a.status = 400
			}
			t.Run(a.name, func(t *testing.T) { refused(t, p, a, log, len(a.send)) })
			if len(a.send) <= slowly {
				t.Run(a.name+", byte by byte", func(t *testing.T) { refused(t, p, a, log, 1) })
			}
		}
		neighbourServed(t, neighbour)
		if got, n := target.Got(), target.Connections(); got != "" || n != 0 {
			t.Errorf("the server got %d connections and %q, want nothing", n, got)
		}
		log.check(t, p)
	})
}

// slowly is the longest input that is also sent byte by byte.
const slowly = 250

func neighbourServed(t *testing.T, c *testkit.Client) {
	t.Helper()
	if r := c.Get("/neighbour"); r.StatusCode != 200 || r.Body != "ok" {
		t.Errorf("a neighbour's request = %d %q, want 200 ok", r.StatusCode, r.Body)
	}
}

func refused(t *testing.T, p *testkit.Poise, a attack, log *expectedLog, size int) {
	t.Helper()
	c := testkit.Dial(t, p.Addr)
	sendPieces(c, a.send, size)
	wantRefusal(t, c, a.status)
	log.add(c, a.status)
}

func sendPieces(c *testkit.Client, s string, size int) {
	for ; len(s) > size; s = s[size:] {
		c.Send(s[:size])
	}
	c.Send(s)
}

// wantRefusal reads one answer of ours that closes the connection, and its clean end.
func wantRefusal(t *testing.T, c *testkit.Client, status int) {
	t.Helper()
	r := c.Read("GET")
	if r.StatusCode != status || !r.Close || r.ProtoMinor != 1 {
		t.Errorf("status %d, Connection: close: %t, want %d, true", r.StatusCode, r.Close, status)
	}
	if want := fmt.Sprintf("%d ", status); !strings.HasPrefix(r.Body, want) || strings.Count(r.Body, "\n") != 1 || r.Err != nil {
		t.Errorf("body %q, %v, want one line that begins with %q", r.Body, r.Err, want)
	}
	wantCleanEnd(t, c)
}

func wantCleanEnd(t *testing.T, c *testkit.Client) {
	t.Helper()
	if rest, clean := c.Closed(); rest != "" || !clean {
		t.Errorf("after the answer came %q, clean end: %t, want nothing and true", rest, clean)
	}
}

// expectedLog gathers what records each client's connection must leave.
type expectedLog struct {
	want map[string][]int
	n    int
}

func newExpectedLog() *expectedLog { return &expectedLog{want: map[string][]int{}} }

func (l *expectedLog) add(c *testkit.Client, statuses ...int) {
	client := c.LocalAddr().String()
	l.want[client] = append(l.want[client], statuses...)
	l.n += len(statuses)
}

// logRecord is what tests look at in a record of the access log.
type logRecord struct {
	Client, Reason, End string
	Status, Attempts    int
}

// readLog waits for n records and returns all.
func readLog(t *testing.T, p *testkit.Poise, n int) []logRecord {
	t.Helper()
	var records []logRecord
	for _, line := range p.Records(t, n) {
		var r logRecord
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Errorf("record %q: %v", line, err)
		}
		records = append(records, r)
	}
	return records
}

// check compares with the access log: exactly these records, and in each connection's order.
func (l *expectedLog) check(t *testing.T, p *testkit.Poise) {
	t.Helper()
	got := map[string][]int{}
	for _, r := range readLog(t, p, l.n) {
		got[r.Client] = append(got[r.Client], r.Status)
		if r.Status >= 400 && r.Attempts == 0 && r.Reason == "" {
			t.Errorf("the record of a %d of our own has no reason", r.Status)
		}
	}
	for client, want := range l.want {
		if fmt.Sprint(got[client]) != fmt.Sprint(want) {
			t.Errorf("records of one connection have statuses %v, want %v", got[client], want)
		}
		delete(got, client)
	}
	if len(got) > 0 {
		t.Errorf("records of connections that nobody expects: %v", got)
	}
}

// forwarded is a request as a server got it.
type forwarded struct {
	line   string
	fields []string // "Name: value", in order
	// body without its framing, and its trailer fields.
	body     string
	trailers []string
	conn     int  // the number of the server's connection
	whole    bool // the body came to its end
}

// all is the values of a field, with the name in any case.
func (f *forwarded) all(name string) []string {
	var values []string
	for _, line := range f.fields {
		if n, v, _ := strings.Cut(line, ": "); strings.EqualFold(n, name) {
			values = append(values, v)
		}
	}
	return values
}

// reader is a server that takes requests apart, strictly: what Poise prints has one form.
type reader struct {
	*testkit.Server
	silent bool // an empty answer is none, and no reason to end the connection

	mu    sync.Mutex // guards the fields below
	seen  []*forwarded
	bad   []string
	ended map[int]bool // by a connection's number
}

// serveReader answers each request with what answer says, once it is there with its body. The connection ends when a body breaks off, or when
// answer is told to end it by an empty string. early, where set, answers before the body is read.
func serveReader(t *testing.T, answer func(f *forwarded) string) *reader {
	return startReader(t, func(*forwarded) string { return "" }, answer)
}

func startReader(t *testing.T, early, answer func(f *forwarded) string) *reader {
	t.Helper()
	r := &reader{ended: map[int]bool{}}
	r.Server = testkit.Serve(t, func(p *testkit.Peer) {
		defer r.end(p.Number)
		for {
			f, err := r.head(p)
			if err != nil {
				return
			}
			if s := early(f); s != "" && p.Send(s) != nil {
				return
			}
			if err := r.body(p, f); err != nil {
				return
			}
			if s := answer(f); s == "" && !r.silent || p.Send(s) != nil {
				return
			}
		}
	})
	t.Cleanup(func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, s := range r.bad {
			t.Errorf("the server got %s", s)
		}
	})
	return r
}

// requests waits for n requests of which the heads have come, and returns copies of all.
func (r *reader) requests(t *testing.T, n int) []forwarded {
	t.Helper()
	var all []forwarded
	testkit.Eventually(t, fmt.Sprintf("%d requests at the server", n), func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		all = all[:0]
		for _, f := range r.seen {
			all = append(all, *f)
		}
		return len(all) >= n
	})
	return all
}

// find waits for a request with the path of which data has come as body.
func (r *reader) find(t *testing.T, path, data string) (found forwarded) {
	t.Helper()
	testkit.Eventually(t, fmt.Sprintf("request for %s with the body %q", path, data), func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, f := range r.seen {
			if strings.Contains(f.line, " "+path+" ") && f.body == data {
				found = *f
				return true
			}
		}
		return false
	})
	return found
}

func (r *reader) end(conn int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended[conn] = true
}

// waitEnd waits until Poise has ended a connection, or the script has.
func (r *reader) waitEnd(t *testing.T, conn int) {
	t.Helper()
	testkit.Eventually(t, fmt.Sprintf("end of connection %d to the server", conn), func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.ended[conn]
	})
}

// complain records what Poise must never send.
func (r *reader) complain(what, s string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bad = append(r.bad, fmt.Sprintf("%s: %q", what, s))
	return io.ErrUnexpectedEOF
}

func (r *reader) head(p *testkit.Peer) (*forwarded, error) {
	head, err := p.ReadHead()
	if err != nil {
		return nil, err
	}
	lines := strings.Split(strings.TrimSuffix(head, "\r\n\r\n"), "\r\n")
	f := &forwarded{line: lines[0], fields: lines[1:], conn: p.Number}
	for _, line := range lines {
		if strings.ContainsAny(line, "\r\n\x00") {
			return nil, r.complain("a line with a control character", line)
		}
	}
	if len(f.all("Content-Length"))+len(f.all("Transfer-Encoding")) > 1 || len(f.all("Host")) != 1 {
		return nil, r.complain("a head with two framings or not one Host", head)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = append(r.seen, f)
	return f, nil
}

func (r *reader) body(p *testkit.Peer, f *forwarded) error {
	var err error
	if v := f.all("Content-Length"); len(v) == 1 {
		var n int
		if n, err = strconv.Atoi(v[0]); err != nil {
			return r.complain("a Content-Length", v[0])
		}
		err = r.data(p, f, n)
	} else if v := f.all("Transfer-Encoding"); len(v) == 1 {
		if v[0] != "chunked" {
			return r.complain("a Transfer-Encoding", v[0])
		}
		err = r.chunks(p, f)
	}
	if err == nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		f.whole = true
	}
	return err
}

// data reads n bytes of the body, and keeps those that come.
func (r *reader) data(p *testkit.Peer, f *forwarded, n int) error {
	b := make([]byte, n)
	got, err := io.ReadFull(p.R, b)
	r.mu.Lock()
	defer r.mu.Unlock()
	f.body += string(b[:got])
	return err
}

// chunks reads a chunked body as Poise prints it: small hexadecimal sizes without more.
func (r *reader) chunks(p *testkit.Peer, f *forwarded) error {
	for {
		line, err := p.R.ReadString('\n')
		if err != nil {
			return err
		}
		size := strings.TrimSuffix(line, "\r\n")
		n, err := strconv.ParseUint(size, 16, 31)
		if err != nil || strconv.FormatUint(n, 16)+"\r\n" != line {
			return r.complain("a chunk size", line)
		}
		if n == 0 {
			return r.trailer(p, f)
		}
		if err := r.data(p, f, int(n)); err != nil {
			return err
		}
		var end [2]byte
		if _, err := io.ReadFull(p.R, end[:]); err != nil {
			return err
		}
		if string(end[:]) != "\r\n" {
			return r.complain("a chunk's end", string(end[:]))
		}
	}
}

func (r *reader) trailer(p *testkit.Peer, f *forwarded) error {
	for {
		line, err := p.R.ReadString('\n')
		if err != nil {
			return err
		}
		if line == "\r\n" {
			return nil
		}
		r.mu.Lock()
		f.trailers = append(f.trailers, strings.TrimSuffix(line, "\r\n"))
		r.mu.Unlock()
	}
}

// ok answers every request alike.
func ok(f *forwarded) string {
	if strings.HasPrefix(f.line, "HEAD ") {
		return strings.TrimSuffix(testkit.OK, "ok")
	}
	return testkit.OK
}

// short runs Poise in front of one server, with more configuration lines if wanted.
func short(t *testing.T, s testkit.Setup, server *testkit.Server, more ...string) *testkit.Poise {
	t.Helper()
	return testkit.Start(t, s, "listen: 127.0.0.1:0\nservers: ["+server.Addr+"]\n"+strings.Join(more, "\n")+"\n")
}

// post is a request with a body and the given field lines.
func post(body string, lines ...string) string {
	return "POST /smuggled HTTP/1.1\r\nHost: example.test\r\n" + strings.Join(append(lines, ""), "\r\n") + "\r\n" + body
}

// get is a request with the given field lines.
func get(lines ...string) string {
	return "GET /smuggled HTTP/1.1\r\nHost: example.test\r\n" + strings.Join(append(lines, ""), "\r\n") + "\r\n"
}

// second is a request that is to be hidden in the body of another, or behind one.
const second = "GET /second HTTP/1.1\r\nHost: example.test\r\n\r\n"
