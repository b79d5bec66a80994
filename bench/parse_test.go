package main

import (
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseCalls(t *testing.T) {
	const table = `% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 61.20    0.010000          10      1000           sendto
 38.80    0.006340          12       500        20 recvfrom
------ ----------- ----------- --------- --------- ----------------
100.00    0.016340          10      1500        20 total
`
	got, err := parseCalls(table, 500)
	want := &calls{Requests: 500, All: 3, Each: map[string]float64{"sendto": 2, "recvfrom": 1}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("parseCalls: %v (-want +got):\n%s", err, diff)
	}
	if _, err := parseCalls("", 500); err == nil {
		t.Error("parseCalls of nothing: no error")
	}
	if _, err := parseCalls(table, 0); err == nil {
		t.Error("parseCalls without a request: no error")
	}
}

func TestCPUList(t *testing.T) {
	tests := []struct {
		text string
		want []string
	}{{"0", []string{"0"}}, {"0-1", []string{"0", "1"}}, {"0-2,8,10-11", []string{"0", "1", "2", "8", "10", "11"}}, {"none", nil}}
	for _, tt := range tests {
		got, err := cpuList(tt.text)
		if !slices.Equal(got, tt.want) || (err != nil) != (tt.want == nil) {
			t.Errorf("cpuList(%q) = %v, %v, want %v", tt.text, got, err, tt.want)
		}
	}
}

func TestLengthOf(t *testing.T) {
	tests := []struct {
		head string
		want int
	}{
		{"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n", 12},
		{"HTTP/1.1 200 OK\r\nX: content-length: 5\r\ncontent-length:12\r\n\r\n", 12},
		{"HTTP/1.1 200 OK\r\nContent-Lengths: 12\r\n\r\n", -1},
		{"HTTP/1.1 200 OK\r\n\r\n", -1},
	}
	for _, tt := range tests {
		if got := lengthOf([]byte(tt.head)); got != tt.want {
			t.Errorf("lengthOf(%q) = %d, want %d", tt.head, got, tt.want)
		}
	}
}

func TestPattern(t *testing.T) {
	b := pattern(3 * 64 * kib)
	for _, at := range []int{0, 1, 4096, 64 * kib} {
		if !isPattern(b[at:at+1000], at) {
			t.Errorf("isPattern says no to what begins at %d", at)
		}
	}
	for _, moved := range []int{1, 100, 4096, 16 * kib, 64 * kib} {
		if isPattern(b[moved:moved+1000], 0) {
			t.Errorf("isPattern says yes to what is moved by %d", moved)
		}
	}
}

// TestFieldsAreAsManyAsPromised: the scenario says 40 and 20, and about 2 KB.
func TestFieldsAreAsManyAsPromised(t *testing.T) {
	s, _ := scenarioNamed("headers")
	head, _ := s.request("127.0.0.1:8080")
	if n := strings.Count(string(head), "\r\n") - 2; n != 40 || len(head) < 1500 || len(head) > 2600 {
		t.Errorf("the request has %d fields and %d bytes, want 40 and 1,500 to 2,600", n, len(head))
	}
	answer := string(s.answer.response())
	fields, _, _ := strings.Cut(answer, "\r\n\r\n")
	if n := strings.Count(fields, "\r\n"); n != 20 {
		t.Errorf("the answer has %d fields, want 20", n)
	}
}

func TestShortVersion(t *testing.T) {
	for name, text := range map[string]string{"haproxy": "HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://haproxy.org/", "nginx": "nginx version: nginx/1.22.1"} {
		want := map[string]string{"haproxy": "HAProxy 2.6.12.", "nginx": "nginx 1.22.1."}[name]
		if got := shortVersion(name, text); got != want {
			t.Errorf("shortVersion(%q, %q) = %q, want %q", name, text, got, want)
		}
	}
}

func TestUsageOfThisProcess(t *testing.T) {
	pids := tree(os.Getpid())
	before, err := usageOf(pids[:1])
	if err != nil {
		t.Fatal(err)
	}
	x := 1.5
	for range 20_000_000 {
		x = math.Sqrt(x + 1)
	}
	after, err := usageOf(pids[:1])
	if err != nil {
		t.Fatal(err)
	}
	if d := after.since(before); d.cpu <= 0 || d.over <= 0 || d.cores() <= 0 {
		t.Errorf("after some work (%v) the usage has grown by %+v, want more than nothing", x, d)
	}
	if n, err := resident(pids[:1]); err != nil || n < mib {
		t.Errorf("resident = %d, %v, want a megabyte or more", n, err)
	}
}

func TestPicture(t *testing.T) {
	slow := sample(map[string]float64{"poise-io_uring": 10, "poise-net": 90, "haproxy": 20, "nginx": 25})
	r := &report{System: "Linux <6>", Versions: map[string]string{"nginx": "nginx/1.22.1"}, results: results{Scenarios: []*compared{slow}}}
	b := r.svg()
	wellFormed(t, b)
	for _, want := range []string{">0.50<", ">4.50 (cut)<", "bytes &amp; more", "Linux &lt;6&gt;", "nginx 1.22.1", "better of HAProxy and nginx", "prefers-color-scheme: dark"} {
		if !strings.Contains(string(b), want) {
			t.Errorf("the picture has no %q", want)
		}
	}
	alone := &report{results: results{Scenarios: []*compared{sample(map[string]float64{"poise-net": 10})}}}
	if b := alone.svg(); !strings.Contains(string(b), "relative to poise-net") {
		t.Errorf("a picture without peers does not say what 1 is:\n%s", b)
	}
}
