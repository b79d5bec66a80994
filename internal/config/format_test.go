package config

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

func format(t *testing.T, p Problems, color bool) string {
	t.Helper()
	var b strings.Builder
	if err := p.Format(&b, color); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestFormat(t *testing.T) {
	for name, x := range map[string]struct {
		p    Problem
		want string
	}{
		"plain": {
			Problem{Pos: Pos{"poise.yaml", 12, 3}, Message: `unknown key "polcy" in a pool`, Hint: `did you mean "policy"?`, Source: "  polcy: x"},
			"poise.yaml:12:3: unknown key \"polcy\" in a pool\n   12 |   polcy: x\n      |   ^ did you mean \"policy\"?\n",
		},
		"tabs keep the caret below": {
			Problem{Pos: Pos{"p", 1, 6}, Message: "m", Source: "a:\t\tb: c"}, "p:1:6: m\n    1 | a:\t\tb: c\n      |   \t\t ^\n",
		},
		"characters, not bytes": {Problem{Pos: Pos{"p", 1, 4}, Message: "m", Source: "öäü: x"}, "p:1:4: m\n    1 | öäü: x\n      |    ^\n"},
		"warning":               {Problem{Pos: Pos{"p", 1, 1}, Severity: Warning, Message: "m", Source: "x"}, "p:1:1: warning: m\n    1 | x\n      | ^\n"},
		"no line":               {Problem{Pos: Pos{File: "p"}, Message: "m", Hint: "h"}, "p: m\n      = h\n"},
		"hostile line":          {Problem{Pos: Pos{"p", 1, 2}, Message: "m\x1b[2J", Source: "a\x1b[31m"}, "p:1:2: m\ufffd[2J\n    1 | a\ufffd[31m\n      |  ^\n"},
		"beyond the line":       {Problem{Pos: Pos{"p", 1, 99}, Message: "m", Source: "ab"}, "p:1:99: m\n    1 | ab\n      |   ^\n"},
	} {
		if got := format(t, Problems{x.p}, false); got != x.want {
			t.Errorf("%s: Format = %q, want %q", name, got, x.want)
		}
	}
}

func TestFormatCutsLongLines(t *testing.T) {
	source := strings.Repeat("x", 500) + "HERE" + strings.Repeat("y", 500)
	lines := strings.Split(format(t, Problems{{Pos: Pos{"p", 1, 501}, Message: "m", Source: source}}, false), "\n")
	if len(lines[1]) > maxQuoted+20 || lines[1][strings.Index(lines[2], "^")] != 'H' {
		t.Errorf("Format = %q, want a caret below HERE", lines)
	}
}

func TestFormatInColor(t *testing.T) {
	got := format(t, Problems{{Pos: Pos{"p", 1, 1}, Message: "m", Source: "x"}}, true)
	if !strings.Contains(got, "\x1b[31mm\x1b[0m") || strings.Count(got, "\x1b[") != 2*strings.Count(got, "\x1b[0m") {
		t.Errorf("Format = %q, want each color ended", got)
	}
}

func TestProblemAsJSON(t *testing.T) {
	got, err := json.Marshal(Problem{Pos: Pos{"p", 1, 2}, Severity: Warning, Message: "m"})
	want := `{"file":"p","line":1,"col":2,"severity":"warning","message":"m"}`
	if err != nil || string(got) != want {
		t.Errorf("Marshal = %s, %v, want %s", got, err, want)
	}
}

func TestNearest(t *testing.T) {
	allowed := []string{"listen", "servers", "policy", "health", "affinity", "listeners", "pools", "timeouts", "access_log"}
	for word, want := range map[string]string{
		"listn": "listen", "server": "servers", "Policy": "policy", "polciy": "policy", "access-log": "access_log", "listener": "listeners",
		"backends": "pools", "sticky": "affinity", "zzz": "", "": "", "timeoust": "timeouts", "averyveryverylongword": "",
	} {
		if got := nearest(word, allowed); got != want {
			t.Errorf("nearest(%q) = %q, want %q", word, got, want)
		}
	}
	for _, x := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"ab", "ba", 1}, {"kitten", "sitting", 3}, {"größe", "grösse", 2}, {"abc", "abc", 0}} {
		if got := distance(x.a, x.b); got != x.want {
			t.Errorf("distance(%q, %q) = %d, want %d", x.a, x.b, got, x.want)
		}
	}
}

func TestSynonymsAreWords(t *testing.T) {
	known := append([]string{"epoll"}, policies...)
	for _, s := range structs() {
		for _, f := range fieldsOf(s) {
			known = append(append(known, f.name), f.enum...)
		}
	}
	for word, meant := range synonyms {
		for _, m := range meant {
			if !slices.Contains(known, m) {
				t.Errorf("synonyms[%q] has %q, which is no word of the configuration", word, m)
			}
		}
	}
}

func TestSizesAndDurations(t *testing.T) {
	for text, want := range map[string]Size{"0": 0, "100": 100, "64KiB": 64 << 10, "1 MiB": 1 << 20, "2GiB": 2 << 30, "5KB": 5000, "7B": 7} {
		got, err := parseSize(text)
		if got != want || err != nil {
			t.Errorf("parseSize(%q) = %d, %v, want %d", text, got, err, want)
		}
		if again, err := parseSize(got.String()); again != got || err != nil {
			t.Errorf("parseSize(%q) = %d, %v, want %d", got.String(), again, err, got)
		}
	}
	for _, text := range []string{"", "KiB", "-1", "1.5MiB", "1e3", "9223372036854775808", "9007199254740992KiB", "1XiB", "0x10"} {
		if got, err := parseSize(text); err == nil {
			t.Errorf("parseSize(%q) = %d, want an error", text, got)
		}
	}
	for want, d := range map[string]time.Duration{"1m30s": 90 * time.Second, "2h": 2 * time.Hour, "5m": 5 * time.Minute, "250ms": 250 * time.Millisecond, "0s": 0, "10s": 10 * time.Second, "1h10m": 70 * time.Minute, "20h": 20 * time.Hour} {
		if got := formatDuration(d); got != want {
			t.Errorf("formatDuration(%d) = %q, want %q", d, got, want)
		}
	}
}

func TestMarshal(t *testing.T) {
	c := Default()
	c.Listen = Addresses{":8080"}
	c.Single.Servers = []*Server{{Address: "127.0.0.1:9001"}, {Address: "127.0.0.1:9002", Weight: 3}}
	c.Single.Policy = Policy{Name: LeastRequests, Choices: AllChoices}
	c.AccessLog.Enabled = false
	c.Timeouts.Connect = 250 * time.Millisecond
	got, err := c.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	want := "listen: :8080\npolicy: {least_requests: {choices: all}}\nservers:\n- 127.0.0.1:9001\n- {address: '127.0.0.1:9002', weight: 3}\n" +
		"timeouts:\n  connect: 250ms\naccess_log:\n  enabled: false\n"
	if string(got) != want {
		t.Errorf("Marshal() =\n%s, want\n%s", got, want)
	}
	again := mustParse(t, string(got))
	if again.AccessLog.Enabled || again.Timeouts.Connect != c.Timeouts.Connect || again.Pools[0].Policy != c.Single.Policy {
		t.Errorf("Parse(Marshal()) = %+v", again)
	}
}

// TestMarshalRoundTrip writes what was parsed, and parses what was written.
func TestMarshalRoundTrip(t *testing.T) {
	texts := []string{`
listeners:
  - addresses: [":1", ":2"]
    pool: p
    timeouts: { response: 0s }
    routes: [{ pool: p, match: { headers: { x: "$${A}" } }, timeouts: { request: 3s } }]
pools: { p: { servers: [{ address: a:1, weight: 0 }, b:1], health: { tcp: {}, port: 9 } } }
access_log: { enabled: false }
`}
	for _, path := range examples(t) {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(data))
	}
	for _, text := range texts {
		c := mustParse(t, text)
		written, err := c.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if diff := compareConfigs(c, mustParse(t, string(written))); diff != "" {
			t.Errorf("Parse(Marshal(c)) differs from c (-want +got):\n%s\nwritten:\n%s", diff, written)
		}
	}
}
