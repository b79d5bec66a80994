package accesslog

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"poise/internal/clock"
)

func sample() Record {
	return Record{
		Time: clock.Now(), RequestID: []byte("0199b7a0-5c1d-7abc-8def-0123456789ab"),
		Client: netip.MustParseAddrPort("192.0.2.7:54321"), User: []byte("ann"), Listener: "web", Route: "api", Pool: "app", Server: "10.0.0.1:8080",
		Protocol: "HTTP/1.1", ServerProtocol: "HTTP/2.0", Method: []byte("GET"), Host: []byte("api.example.com"), Path: []byte("/v1/things?page=2"),
		Status: 200, GRPCStatus: -1, BytesIn: 312, BytesOut: 20480, Attempts: 1, Queued: 3, Hedge: "won", Reason: "complete", End: [4]byte{'-', '-', '-', '-'},
		TLS: -1, Idle: 1500 * time.Microsecond, Head: 0, Auth: 2 * time.Millisecond, Queue: -1, Connect: 42 * time.Microsecond,
		Response: 1234567 * time.Microsecond, Body: 999 * time.Nanosecond, Active: 1300 * time.Millisecond,
	}
}

func encode(r *Record) string {
	var s stamp
	return string(r.append(nil, &s))
}

func TestRecordKeysAndOrder(t *testing.T) {
	r := sample()
	want := `{"ts":"` + r.Time.Wall().UTC().Format("2006-01-02T15:04:05.000Z") + `",` +
		`"request_id":"0199b7a0-5c1d-7abc-8def-0123456789ab","client":"192.0.2.7:54321","user":"ann","listener":"web","route":"api",` +
		`"pool":"app","server":"10.0.0.1:8080","server_protocol":"HTTP/2.0","protocol":"HTTP/1.1","method":"GET","host":"api.example.com",` +
		`"path":"/v1/things?page=2","status":200,"grpc_status":-1,"bytes_in":312,"bytes_out":20480,"attempts":1,"queued":3,"hedge":"won","reason":"complete",` +
		`"end":"----","t_tls":-1,"t_idle":1.500,"t_head":0.000,"t_auth":2.000,"t_queue":-1,"t_connect":0.042,"t_response":1234.567,` +
		`"t_body":0.000,"t_active":1300.000}` + "\n"
	if diff := cmp.Diff(want, encode(&r)); diff != "" {
		t.Errorf("append(sample) differs (-want +got):\n%s", diff)
	}
}

func TestClientText(t *testing.T) {
	for _, test := range []struct {
		name   string
		client netip.AddrPort
		want   string
	}{
		{"unix socket", netip.AddrPort{}, ""},
		{"IPv6", netip.MustParseAddrPort("[2001:db8::1]:80"), "[2001:db8::1]:80"},
		{"mapped IPv4", netip.MustParseAddrPort("[::ffff:192.0.2.1]:80"), "192.0.2.1:80"},
		{"zone with a quote", netip.AddrPortFrom(netip.MustParseAddr("fe80::1").WithZone(`e"0`), 80), "[fe80::1]:80"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := decode(t, encode(&Record{Client: test.client})).Client; got != test.want {
				t.Errorf("client of %v = %q, want %q", test.client, got, test.want)
			}
		})
	}
}

func TestStampFollowsTheClock(t *testing.T) {
	var s stamp
	start := clock.Now()
	for _, d := range []time.Duration{0, time.Millisecond, 999 * time.Millisecond, time.Second, time.Hour, 30 * time.Minute} {
		at := start.Add(d)
		want := at.Wall().UTC().Format("2006-01-02T15:04:05.000Z")
		if got := string(s.append(nil, at)); got != want {
			t.Errorf("append(start + %v) = %q, want %q", d, got, want)
		}
	}
}

// line is a record as a reader of the log sees it.
type line struct {
	TS       time.Time `json:"ts"`
	ID       string    `json:"request_id"`
	Client   string    `json:"client"`
	Method   string    `json:"method"`
	Host     string    `json:"host"`
	Path     string    `json:"path"`
	Reason   string    `json:"reason"`
	End      string    `json:"end"`
	Status   int       `json:"status"`
	Active   float64   `json:"t_active"`
	Attempts int       `json:"attempts"`
}

// decode fails t when text is not exactly one line that holds exactly one record and nothing that steers a terminal.
func decode(t *testing.T, text string) line {
	t.Helper()
	if strings.Count(text, "\n") != 1 || !strings.HasSuffix(text, "\n") {
		t.Fatalf("%q is not one line", text)
	}
	if !utf8.ValidString(text) {
		t.Fatalf("%q is not UTF-8", text)
	}
	for _, r := range text[:len(text)-1] {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029 || r == 0x202e {
			t.Fatalf("%q holds the control %U", text, r)
		}
	}
	var l line
	d := json.NewDecoder(strings.NewReader(text))
	if err := d.Decode(&l); err != nil {
		t.Fatalf("decode %q: %v", text, err)
	}
	if d.More() {
		t.Fatalf("%q holds more than one record", text)
	}
	return l
}

var hostile = []struct{ name, text string }{
	{"a line of its own", "/x\r\n{\"status\":200}\n"},
	{"the end of the string", `/","status":200,"x":"`},
	{"escapes", `\" \\ \n \u000a`},
	{"terminal escape", "\x1b[2J\x1b]0;owned\x07"},
	{"eight-bit terminal escape", "\u009b2J"},
	{"raw C1 byte", "\x9b2J"},
	{"NUL and DEL", "\x00\x7f"},
	{"broken UTF-8", "a\xff\xc0\xafb\xe2\x82"},
	{"surrogates in UTF-8", "\xed\xa0\x80"},
	{"line separators", "a\u2028b\u2029c"},
	{"text direction", "a\u202eb\u2066c"},
	{"letters of the world", "/straße/日本/\U0001f600"},
	{"invisible above the BMP", "\U0001d173\U000e0001\U0010ffff"},
	{"markup", "<script>&"},
}

func TestHT8LogInjection(t *testing.T) {
	for _, test := range hostile {
		t.Run(test.name, func(t *testing.T) {
			r := sample()
			r.RequestID, r.Reason = []byte(test.text), test.text
			r.Method, r.Host, r.Path = []byte(test.text), []byte(test.text), []byte(test.text)
			got := decode(t, encode(&r))
			want := string([]rune(test.text)) // each byte that is no UTF-8 becomes U+FFFD
			for field, text := range map[string]string{"id": got.ID, "reason": got.Reason, "method": got.Method, "host": got.Host, "path": got.Path} {
				if text != want {
					t.Errorf("%s of %q = %q, want %q", field, test.text, text, want)
				}
			}
			if got.Status != 200 || got.Attempts != 1 || got.Active != 1300 {
				t.Errorf("status, attempts, t_active = %d, %d, %v, want 200, 1, 1300", got.Status, got.Attempts, got.Active)
			}
		})
	}
}

func TestEndIsEscaped(t *testing.T) {
	if got := decode(t, encode(&Record{})).End; got != "----" {
		t.Errorf("end of the zero record = %q, want ----", got)
	}
	if got := decode(t, encode(&Record{End: [4]byte{'"', '\n', 'C', 'D'}})).End; got != "\"\nCD" {
		t.Errorf("end = %q, want %q", got, "\"\nCD")
	}
}

func TestLongestRecordFitsABuffer(t *testing.T) {
	long := strings.Repeat("\x00", 1<<20)
	r := sample()
	r.RequestID = []byte(long)
	r.Listener, r.Route, r.Pool, r.Server, r.Protocol, r.ServerProtocol, r.Reason = long, long, long, long, long, long, long
	r.User, r.Method, r.Host, r.Path = []byte(long), []byte(long), []byte(long), []byte(long)
	r.End = [4]byte{1, 1, 1, 1}
	r.Client = netip.MustParseAddrPort("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535")
	r.Status, r.BytesIn, r.BytesOut, r.Attempts = -1<<63, -1<<63, -1<<63, -1<<63
	for _, d := range []*time.Duration{&r.TLS, &r.Idle, &r.Head, &r.Auth, &r.Queue, &r.Connect, &r.Response, &r.Body, &r.Active} {
		*d = 1<<63 - 1
	}
	text := encode(&r)
	if len(text) > r.bound() || len(text) > bufferSize {
		t.Errorf("len(longest) = %d, want at most bound() = %d and %d", len(text), r.bound(), bufferSize)
	}
	got := decode(t, text)
	if want := long[:maxPath] + "..."; got.Path != want {
		t.Errorf("len(path) = %d, want %d bytes and an ellipsis", len(got.Path), maxPath)
	}
	if want := long[:maxField] + "..."; got.Host != want {
		t.Errorf("len(host) = %d, want %d bytes and an ellipsis", len(got.Host), maxField)
	}
}

func FuzzRecord(f *testing.F) {
	for _, seed := range hostile {
		f.Add([]byte(seed.text), seed.text, int64(1))
	}
	f.Fuzz(func(t *testing.T, data []byte, text string, n int64) {
		r := Record{
			RequestID: []byte(text), Reason: text, Method: data, Host: data, Path: data, Status: 200,
			BytesIn: n, Active: time.Duration(n), Time: clock.Instant(n % (1 << 60)),
		}
		out := encode(&r)
		if len(out) > r.bound() {
			t.Fatalf("len(line) = %d, want at most bound() = %d", len(out), r.bound())
		}
		got := decode(t, out)
		if len(data) <= maxField && (got.Path != string([]rune(string(data))) || got.Host != got.Path) {
			t.Fatalf("path, host of %q = %q, %q", data, got.Path, got.Host)
		}
		if bytes.Contains([]byte(out), []byte{0}) || got.Status != 200 {
			t.Fatalf("status of %q = %d, want 200", out, got.Status)
		}
	})
}
