package probe

import (
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"poise/internal/health"
	"poise/internal/pool"
)

// heard returns the first answer of the agent at address, and how the question ended.
func heard(t *testing.T, address, send string, timeout time.Duration) (answer string, r health.Result) {
	t.Helper()
	_, port, _ := net.SplitHostPort(address)
	n, _ := strconv.Atoi(port)
	p := NewAgents(Agent{Port: n, Interval: time.Hour, Timeout: timeout, Send: send}, func(_ *pool.Server, said string) { answer = said })
	results, report := make(chan health.Result, 10), p.report
	p.report = func(s *pool.Server, said string, r health.Result) {
		report(s, said, r)
		results <- r
	}
	s := &pool.Server{Pool: "app", Name: "s", Address: "127.0.0.1:1"}
	p.Set([]*pool.Server{s, {Pool: "app", Name: "u", Address: "unix:/run/s"}}) // the latter has none
	r = <-results
	if last, ok := p.Last(s); !ok || last != r {
		t.Errorf("Last() = %+v, %v, want %+v", last, ok, r)
	}
	if len(p.running) != 1 {
		t.Errorf("%d agents are asked, want one", len(p.running))
	}
	p.Close()
	return answer, r
}

func TestAgents(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	says := func(parts ...string) string {
		return answering(t, func(c net.Conn) {
			for _, part := range parts {
				io.WriteString(c, part)
			}
		})
	}
	tests := []struct {
		name, address string
		want, reason  string
	}{
		{"a line", says("up 50%\n"), "up 50%", ""},
		{"a line of a telnet", says("up 50%\r\n"), "up 50%", ""},
		{"no end but the end", says("up 50%"), "up 50%", ""},
		{"in pieces", says("up", " 5", "0%", "\nmore\n"), "up 50%", ""},
		{"an empty line", says("\nup\n"), "", ""},
		{"NUL bytes", says("\x00up\x00\n"), "\x00up\x00", ""},
		{"as long as may be", says(strings.Repeat("x", maxLine), "\n"), strings.Repeat("x", maxLine), ""},
		{"longer", says(strings.Repeat("x", maxLine+1)), "", "a line of more than 4096 bytes"},
		{"without end", answering(t, endless("")), "", "a line of more than 4096 bytes"},
		{"closes at once", says(), "", "closed before the response"},
		{"refuses", silent.Addr().String(), "", "connection refused"},
	}
	silent.Close() // not before all the others have a port
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			send := ""
			if tt.name == "without end" {
				send = "state\n" // it waits for something
			}
			got, r := heard(t, tt.address, send, patient.Timeout)
			if got != tt.want || r.Reason != tt.reason || r.OK != (tt.reason == "") {
				t.Errorf("heard %.50q, result %+v; want %.50q, reason %q", got, r, tt.want, tt.reason)
			}
		})
	}
}

func TestAgentsAreSentWhatIsConfigured(t *testing.T) {
	address := answering(t, func(c net.Conn) {
		b := make([]byte, len("state\n"))
		_, _ = io.ReadFull(c, b)
		io.WriteString(c, "up "+string(b))
	})
	if got, _ := heard(t, address, "state\n", patient.Timeout); got != "up state" {
		t.Errorf("heard %q, want what was sent", got)
	}
}

// An agent that says a byte now and then costs its timeout, and says nothing.
func TestSlowAgentsSayNothing(t *testing.T) {
	address := answering(t, func(c net.Conn) {
		for _, err := io.WriteString(c, "d"); err == nil; _, err = io.WriteString(c, "own ") {
			time.Sleep(time.Millisecond)
		}
	})
	got, r := heard(t, address, "", 50*time.Millisecond)
	if got != "" || r.OK || r.Reason != "no answer within 50ms" {
		t.Errorf("heard %q, result %+v; want no answer within 50ms", got, r)
	}
}
