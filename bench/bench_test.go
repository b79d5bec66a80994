package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestMain lets the test's own binary be the children that the program starts.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && (os.Args[1] == "serve" || os.Args[1] == "load") {
		main()
		return
	}
	os.Exit(m.Run())
}

// poiseHere is the Poise to test with: the first driver of POISE_TEST_SETUPS, such as "epoll/2,net/2", which leaves out what the system refuses.
func poiseHere() string {
	if driver, _, ok := strings.Cut(os.Getenv("POISE_TEST_SETUPS"), "/"); ok {
		return "poise-" + driver
	}
	return "poise-io_uring"
}

// TestWholeComparison runs the program with the shortest of runs, over Poise and whatever peers are installed.
func TestWholeComparison(t *testing.T) {
	dir := t.TempDir()
	jsonFile, svgFile := filepath.Join(dir, "out.json"), filepath.Join(dir, "out.svg")
	var out, progress bytes.Buffer
	cmd := command(&out, &progress)
	cmd.SetArgs([]string{
		"--only", "connection,upload,resumed,idle,https-idle", "--runs", "1", "--seconds", "0.2", "--idle-connections", "50", "--calls=false",
		"--balancers", poiseHere() + ",haproxy,nginx", "--json", jsonFile, "--svg", svgFile,
	})
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		t.Fatalf("%v\n%s", err, progress.String())
	}
	for _, want := range []string{"connection: 100 bytes down", "upload: ", "idle: 50 keep-alive connections", "resumed: ", "https-idle: 25 keep-alive connections", "CPU us/request", "Latency in us"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the table has no %q:\n%s", want, out.String())
		}
	}
	if !strings.Contains(progress.String(), "upload, saturated: run 1 of 1, "+poiseHere()) {
		t.Errorf("the progress does not name each run:\n%s", progress.String())
	}
	var r report
	b, err := os.ReadFile(jsonFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatal(err)
	}
	checkReport(t, &r)
	if b, err = os.ReadFile(svgFile); err != nil {
		t.Fatal(err)
	}
	wellFormed(t, b)
}

// checkReport looks whether every run of Poise has what a run has.
func checkReport(t *testing.T, r *report) {
	t.Helper()
	if len(r.Scenarios) != 3 {
		t.Fatalf("%d scenarios, want 3", len(r.Scenarios))
	}
	for _, c := range r.Scenarios {
		i := slices.IndexFunc(c.Outcomes, func(o *outcome) bool { return o.Name == poiseHere() })
		if i < 0 {
			t.Fatalf("%s has no %s", c.Scenario.Name, poiseHere())
		}
		o := c.Outcomes[i]
		if len(o.Runs) != 1 || len(o.Open) != 1 {
			t.Errorf("%s: %d runs and %d open ones, want 1 and 1", c.Scenario.Name, len(o.Runs), len(o.Open))
		}
		for _, run := range slices.Concat(o.Runs, o.Open) {
			if run.Requests <= 0 || run.CPU <= 0 || run.Rate <= 0 || run.Resident <= 0 || run.Busy.Candidate <= 0 || run.Busy.Servers <= 0 || run.Busy.Load <= 0 {
				t.Errorf("%s: a run without figures: %+v", c.Scenario.Name, run)
			}
		}
		for _, run := range o.Open {
			if l := run.Latency; l == nil || l.Count == 0 || l.P50 <= 0 || l.P50 > l.P99 || l.P99 > l.P999 || l.P999 > l.Max {
				t.Errorf("%s: latency %+v", c.Scenario.Name, l)
			}
		}
	}
	for _, o := range slices.Concat(r.Idle.Outcomes, r.HTTPSIdle.Outcomes) {
		for _, run := range o.Runs {
			if run.After < run.Before/2 || (run.Collection != 0) != strings.HasPrefix(o.Name, "poise") {
				t.Errorf("idle, %s: %+v", o.Name, run)
			}
		}
	}
}

func wellFormed(t *testing.T, b []byte) {
	t.Helper()
	for d := xml.NewDecoder(bytes.NewReader(b)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("the picture is no XML: %v", err)
		}
	}
}

func TestWrongUsage(t *testing.T) {
	tests := []struct {
		args, want string
	}{
		{"--only smal", `--only: "smal" is none of small`},
		{"--balancers apache", `--balancers: "apache" is none of poise-io_uring`},
		{"--runs -1", "--runs, --seconds, --idle-connections, --slots and --service must be above 0"},
		{"--against HEAD --only idle", `"idle" is none of small`},
		{"--against HEAD --svg x", "leave out --against"},
	}
	for _, tt := range tests {
		cmd := command(io.Discard, io.Discard)
		cmd.SetArgs(strings.Fields(tt.args))
		if err := cmd.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("bench %s: %v, want %q", tt.args, err, tt.want)
		}
	}
}
