package cli

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"poise/internal/app"
)

var someStatus = app.Status{
	Version: "1.2.3", Started: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Driver: "io_uring", Loops: 2, Ready: true,
	Listeners: []app.ListenerStatus{{Name: "web", Addresses: []string{"0.0.0.0:80", "[::]:80"}, Connections: 12, Requests: 3456}},
	Pools: []app.PoolStatus{{Name: "app", Policy: "least_requests", Servers: []app.ServerStatus{
		{Name: "10.0.0.1:8080", State: "up", Weight: 1, InFlight: 3, Requests: 3000, Since: 3723, LastProbe: "passed in 0.4 ms"},
		{Name: "10.0.0.2:8080", State: "down", Weight: 2, Failures: 7, Since: 5, LastProbe: "bad answer \x1b[31m\n"},
		{Name: "10.0.0.3:8080", State: "up", Weight: 1, Backup: true, Since: 200000},
		{Name: "10.0.0.4:8080", State: "up", Weight: 1, Tier: 1, Since: 200000},
	}}},
}

func TestPrintStatus(t *testing.T) {
	var b strings.Builder
	if err := printStatus(&b, &someStatus, someStatus.Started.Add(90*time.Second)); err != nil {
		t.Fatal(err)
	}
	want := `poise 1.2.3, up 1m30s, 2 loops on io_uring, ready

LISTENER  ADDRESS              CONNECTIONS  REQUESTS
web       0.0.0.0:80, [::]:80  12           3456

POOL  SERVER         STATE  FOR    WEIGHT    IN FLIGHT  REQUESTS  FAILURES  LAST PROBE
app   10.0.0.1:8080  up     1h02m  1         3          3000      0         passed in 0.4 ms
app   10.0.0.2:8080  down   5s     2         0          0         7         bad answer ?[31m?
app   10.0.0.3:8080  up     2d07h  1 backup  0          0         0         -
app   10.0.0.4:8080  up     2d07h  1 tier 1  0          0         0         -
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("the table differs (-want +got):\n%s", diff)
	}
}

func TestPrintStatusWithAgents(t *testing.T) {
	s := app.Status{Version: "1.2.3", Driver: "net", Loops: 1, Ready: true, Pools: []app.PoolStatus{{Name: "app", Servers: []app.ServerStatus{
		{Name: "a:1", State: "down", Weight: 1, Agent: "50% down #disk \x1b full; no answer within 1s"},
		{Name: "b:1", State: "up", Weight: 1, LastProbe: "passed in 0.4 ms"},
	}}}}
	var b strings.Builder
	if err := printStatus(&b, &s, s.Started); err != nil {
		t.Fatal(err)
	}
	want := `POOL  SERVER  STATE  FOR  WEIGHT  IN FLIGHT  REQUESTS  FAILURES  LAST PROBE        AGENT
app   a:1     down   0s   1       0          0         0         -                 50% down #disk ? full; no answer within 1s
app   b:1     up     0s   1       0          0         0         passed in 0.4 ms  -
`
	if _, got, _ := strings.Cut(b.String(), "\n\nPOOL"); "POOL"+got != want {
		t.Errorf("the table is\n%s, want\n%s", "POOL"+got, want)
	}
}

func TestStatusCommand(t *testing.T) {
	answers := map[string]http.HandlerFunc{
		"poise":    func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(&someStatus) },
		"page":     func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) },
		"json":     func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("{}")) },
		"refusal":  func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "not \x1bhere", http.StatusForbidden) },
		"redirect": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) },
	}
	nobody := free(t)
	tests := []struct {
		name, answer string
		args         []string
		code         int
		want         string
	}{
		{"table", "poise", nil, 0, "web       0.0.0.0:80, [::]:80  12"},
		{"JSON", "poise", []string{"-o", "json"}, 0, `"policy":"least_requests"`},
		{"a page", "page", nil, 1, "is not Poise's admin address"},
		{"other JSON", "json", nil, 1, "is not Poise's admin address"},
		{"refused", "refusal", nil, 1, "answers 403 Forbidden: not ?here\n"},
		{"redirected", "redirect", nil, 1, "answers 302 Found"},
		{"nobody", "", []string{"--admin", nobody}, 1, "nobody answers at " + nobody + " (connect: connection refused): is Poise running?"},
		{"no socket", "", []string{"--admin", "unix:/nonexistent/admin.sock"}, 1, "nobody answers at unix:/nonexistent/admin.sock (connect: no such file or directory)"},
		{"no address", "", []string{"--admin", "a b"}, 1, `"a b" is no admin address`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			args := append([]string{"status"}, tt.args...)
			if h := answers[tt.answer]; h != nil {
				s := httptest.NewServer(h)
				defer s.Close()
				args = append(args, "--admin", s.URL)
			}
			r := call(nil, args...)
			got, other := r.err, r.out
			if tt.code == 0 {
				got, other = r.out, r.err
			}
			if r.code != tt.code || !strings.Contains(got, tt.want) || other != "" {
				t.Errorf("poise %v = %d, %q, %q, want %d, %q", args, r.code, r.out, r.err, tt.code, tt.want)
			}
		})
	}
}

// free returns an address on which nobody listens.
func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
