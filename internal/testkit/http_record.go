package testkit

import (
	"bytes"
	"encoding/json"
	"testing"
)

// Record is a line of the access log.
type Record struct {
	TS             string  `json:"ts"`
	RequestID      string  `json:"request_id"`
	Client         string  `json:"client"`
	User           string  `json:"user"`
	Listener       string  `json:"listener"`
	Route          string  `json:"route"`
	Pool           string  `json:"pool"`
	Server         string  `json:"server"`
	ServerProtocol string  `json:"server_protocol"`
	Protocol       string  `json:"protocol"`
	Method         string  `json:"method"`
	Host           string  `json:"host"`
	Path           string  `json:"path"`
	Status         int     `json:"status"`
	GRPCStatus     int     `json:"grpc_status"`
	BytesIn        int64   `json:"bytes_in"`
	BytesOut       int64   `json:"bytes_out"`
	Attempts       int     `json:"attempts"`
	Queued         int     `json:"queued"`
	Hedge          string  `json:"hedge"`
	Reason         string  `json:"reason"`
	End            string  `json:"end"`
	TLS            float64 `json:"t_tls"`
	Idle           float64 `json:"t_idle"`
	Head           float64 `json:"t_head"`
	Auth           float64 `json:"t_auth"`
	Queue          float64 `json:"t_queue"`
	Connect        float64 `json:"t_connect"`
	Response       float64 `json:"t_response"`
	Body           float64 `json:"t_body"`
	Active         float64 `json:"t_active"`
}

// ParseRecord parses one line of the access log, strictly: no field that Record does not know, and nothing after it.
func ParseRecord(t testing.TB, line string) Record {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader([]byte(line)))
	d.DisallowUnknownFields()
	var r Record
	if err := d.Decode(&r); err != nil {
		t.Fatalf("the log line %q is no record: %v", line, err)
	}
	if rest, _ := bytes.CutPrefix([]byte(line)[d.InputOffset():], []byte("\n")); len(rest) > 0 {
		t.Fatalf("the log line %q has more than a record", line)
	}
	return r
}

// Parsed waits until the access log has n records, fails if it has more, and returns them by path.
func (p *Poise) Parsed(t testing.TB, n int) map[string][]Record {
	t.Helper()
	lines := p.Records(t, n)
	if len(lines) != n {
		t.Errorf("%d log records, want %d:\n%s", len(lines), n, lines)
	}
	all := map[string][]Record{}
	for _, line := range lines {
		r := ParseRecord(t, line)
		all[r.Path] = append(all[r.Path], r)
	}
	return all
}

// Await waits until the access log has a record of the path, and returns the first one.
func (p *Poise) Await(t testing.TB, path string) Record {
	t.Helper()
	var found Record
	Eventually(t, "log record of "+path, func() bool {
		for _, line := range p.Records(t, 0) {
			if r := ParseRecord(t, line); r.Path == path {
				found = r
				return true
			}
		}
		return false
	})
	return found
}

// ParsedAtLeast is Parsed where there may be more records than n.
func (p *Poise) ParsedAtLeast(t testing.TB, n int) map[string][]Record {
	t.Helper()
	all := map[string][]Record{}
	for _, line := range p.Records(t, n) {
		r := ParseRecord(t, line)
		all[r.Path] = append(all[r.Path], r)
	}
	return all
}
