package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"math"
	"net"
	"strings"
	"testing"
	"time"
)

// TestLoadRefusesWrongAnswers has the load meet a server that answers one way.
func TestLoadRefusesWrongAnswers(t *testing.T) {
	right := page{length: 100}
	body := string(pattern(100))
	head := "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"
	tests := []struct{ name, answer, want string }{
		{"right", string(right.response()), ""},
		{"right, as others write it", "HTTP/1.1 200 Fine\r\nX: content-length: 5\r\ncontent-length:100\r\n\r\n" + body, ""},
		{"another status", strings.Replace(head, "200 OK", "502 Bad Gateway", 1) + body, "want status 200 and length 100"},
		{"a refusal", "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 5\r\n\r\nbusy\n", "refused with 503"},
		{"another length", strings.Replace(head, "100\r", "99\r", 1) + body[:99], "want status 200 and length 100"},
		{"no length", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "want status 200 and length 100"},
		{"moved bytes", head + body[1:] + "x", "wrong bytes"},
		{"more than the answer", head + body + "x", "1 bytes more"},
		{"less than the answer", head + body[:50], "broke off after 50"},
		{"half a head", head[:20], "unexpected EOF"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			last := lastEvent(t, loadSpec{To: answering(t, tt.answer), Scenario: "small", WarmUp: 10 * time.Millisecond, Duration: 50 * time.Millisecond})
			switch {
			case tt.want == "" && (last.Event != "over" || last.Requests == 0):
				t.Errorf("the load ends with %+v, want some requests and no failure", last)
			case tt.want != "" && !strings.Contains(last.Error, tt.want):
				t.Errorf("the load ends with %+v, want a failure with %q", last, tt.want)
			}
		})
	}
}

// TestLoadCountsRefusals has a server that refuses every other request.
func TestLoadCountsRefusals(t *testing.T) {
	right := page{length: 100}
	busy := "HTTP/1.1 503 Service Unavailable\r\nX: " + strings.Repeat("x", 130) + "\r\nContent-Length: 5\r\n\r\nbusy\n"
	last := lastEvent(t, loadSpec{
		To: answering(t, busy, string(right.response())), Scenario: "small", Rate: 500, Connections: 3,
		Steps: []step{{Rate: 500, For: 300 * time.Millisecond}, {Rate: 1000, For: 300 * time.Millisecond}},
	})
	if last.Event != "over" || len(last.Steps) != 2 {
		t.Fatalf("the load ends with %+v, want two steps", last)
	}
	for i, s := range last.Steps {
		if math.Abs(s.Accepted-s.Refused) > 3/0.3 || s.Accepted == 0 { // of each connection one at most is left over
			t.Errorf("step %d: %v accepted and %v refused, want as many", i, s.Accepted, s.Refused)
		}
	}
	if last.Requests < 300 {
		t.Errorf("%d requests in all, want about 450", last.Requests)
	}
}

// answering is a server that gives each connection's requests these answers in turn, and closes where the answer is not a whole one.
func answering(t *testing.T, answers ...string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				i := 0
				for s := bufio.NewScanner(c); s.Scan(); {
					if s.Text() != "" {
						continue
					}
					answer := answers[i%len(answers)]
					i++
					if _, err := io.WriteString(c, answer); err != nil || len(answer) < 130 {
						return
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}

// lastEvent runs a load, and returns what it says last.
func lastEvent(t *testing.T, spec loadSpec) (last loadEvent) {
	t.Helper()
	argument, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	r, w := io.Pipe()
	events := make(eventLog, 8)
	over := make(chan error, 1)
	go func() { over <- load(string(argument), events, r) }()
	for e := range events {
		last = e
		if e.Event == "over" || e.Event == "failed" {
			break
		}
	}
	_ = w.Close() // the parent has seen enough
	if err := <-over; err != nil {
		t.Fatal(err)
	}
	return last
}

// eventLog takes what a load prints, line by line.
type eventLog chan loadEvent

func (l eventLog) Write(p []byte) (int, error) {
	var e loadEvent
	err := json.NewDecoder(bytes.NewReader(p)).Decode(&e)
	l <- e
	return len(p), err
}

// TestOpenLoopCountsTheWait has a server that stands still for a while: all requests that were due meanwhile have waited, not only the one that it held.
func TestOpenLoopCountsTheWait(t *testing.T) {
	p := page{length: 100}
	answer := p.response()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	const duration, stall = 400 * time.Millisecond, 300 * time.Millisecond
	began := time.Now()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for s := bufio.NewScanner(c); s.Scan(); {
					if s.Text() == "" {
						time.Sleep(time.Until(began.Add(stall))) // all connections at once, from the start on
						_, _ = c.Write(answer)
					}
				}
			}()
		}
	}()
	// 64 connections and 2,000 requests a second: 600 are due while nothing moves, and most of them find no free connection.
	last := lastEvent(t, loadSpec{To: l.Addr().String(), Scenario: "small", Duration: duration, Rate: 2000})
	if last.Latency == nil {
		t.Fatalf("the load ends with %+v, want a latency", last)
	}
	if n := last.Latency.Count; n < 600 || n > 1000 {
		t.Errorf("%d requests, want about 800", n)
	}
	// Three quarters of the requests were due in that time. Timed from when they were sent, only 64 of 800 would have waited.
	if got := last.Latency.P50; got < 30_000 {
		t.Errorf("p50 = %.0f us, want about 100,000: the wait for a free connection is missing", got)
	}
}
