package cli

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"poise/internal/testkit"
)

// result is what a call of poise leaves.
type result struct {
	code     int
	out, err string
}

// call runs a command that ends by itself.
func call(env map[string]string, args ...string) result {
	var out, err bytes.Buffer
	p := &program{
		out: &out, err: &err, notify: notify,
		env: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
	}
	code := p.main(args)
	return result{code, out.String(), err.String()}
}

func write(t *testing.T, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "poise.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestUsage(t *testing.T) {
	tests := []struct {
		name string
		env  map[string]string
		args string
		code int
		want string // what Err has, or Out where the code is 0
	}{
		{"help", nil, "--help", 0, "Usage:\n  poise [command]"},
		{"no command", nil, "", 0, "Usage:\n  poise [command]"},
		{"help of a command", nil, "run --help", 0, "the configuration FILE (POISE_CONFIG)"},
		{"version", nil, "version", 0, "poise "},
		{"version as a flag", nil, "--version", 0, "poise "},
		{"schema", nil, "schema", 0, `"$schema"`},
		{"completion", nil, "completion bash", 0, "bash completion"},
		{"completion of a choice", nil, "__complete proxy --policy l", 0, "least_requests\n"},
		{"unknown command", nil, "chek", 2, `unknown command "chek" for "poise"; did you mean check?`},
		{"another product's command", nil, "validate", 2, "did you mean check?"},
		{"unknown command like none", nil, "frobnicate", 2, "poise: unknown command \"frobnicate\" for \"poise\"\nrun 'poise --help' for usage\n"},
		{"unknown flag", nil, "check --confg x", 2, "unknown flag: --confg; did you mean --config?\nrun 'poise check --help' for usage\n"},
		{"unknown flag like none", nil, "check --frobnicate", 2, "poise: unknown flag: --frobnicate\n"},
		{"unknown short flag", nil, "check -x", 2, "unknown shorthand flag: 'x' in -x"},
		{"flag without its value", nil, "check -c", 2, "flag needs an argument: 'c' in -c"},
		{"argument instead of a flag", nil, "check poise.yaml", 2, "did you mean -c poise.yaml?"},
		{"argument instead of --to", nil, "proxy 127.0.0.1:1", 2, "did you mean --to 127.0.0.1:1?"},
		{"argument of none", nil, "version 1", 2, `unexpected argument "1"`},
		{"proxy to nothing", nil, "proxy", 2, "no server to send requests to: name each with --to"},
		{"unknown policy", nil, "proxy --to 127.0.0.1:1 --policy best", 2, "must be one of least_requests, round_robin, random, ip_hash"},
		{"unknown output", nil, "version -o xml", 2, "must be one of text, json"},
		{"bad addresses", nil, "proxy --to a --to b:c", 2, "\"a\" has no port\n"},
		{"all bad addresses", nil, "proxy --to a --to b:c", 2, "2 mistakes"},
		{"bad duration", nil, "demo --for soon", 2, "invalid duration"},
		{"bad variable", map[string]string{"POISE_FOR": "soon"}, "demo", 2, `environment variable POISE_FOR: time: invalid duration "soon"`},
		{"variable", map[string]string{"POISE_OUTPUT": "json"}, "version", 0, "{\n"},
		{"flag before variable", map[string]string{"POISE_OUTPUT": "json"}, "version -o text", 0, "poise "},
		{"empty variable", map[string]string{"POISE_OUTPUT": ""}, "version", 0, "poise "},
		{"variable of a file", map[string]string{"POISE_CONFIG": "/nonexistent.yaml"}, "run", 1, "/nonexistent.yaml: cannot read the file"},
		{"no file", nil, "run -c /nonexistent.yaml", 1, "poise proxy --to ADDRESS, and poise demo"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := call(tt.env, strings.Fields(tt.args)...)
			got, other := r.err, r.out
			if tt.code == 0 {
				got, other = r.out, ""
			}
			if r.code != tt.code || !strings.Contains(got, tt.want) || other != "" {
				t.Errorf("poise %s = %d, %q, %q, want %d, %q", tt.args, r.code, r.out, r.err, tt.code, tt.want)
			}
		})
	}
}

const (
	fine   = "listen: 127.0.0.1:0\nservers: ['127.0.0.1:1']\n"
	broken = "listen: 127.0.0.1:0\nservres: ['127.0.0.1:1']\nloops: -1\n"
	odd    = `listeners:
  - address: 127.0.0.1:0
    routes:
      - { name: first, match: { path: /a }, pool: app }
      - { name: second, match: { path: /a }, pool: app }
pools:
  app: { servers: ['127.0.0.1:1'] }
`
)

func TestCheck(t *testing.T) {
	tests := []struct {
		name, text string
		code       int
		want       []string
	}{
		{"fine", fine, 0, []string{"poise.yaml: fine\n"}},
		{"every mistake", broken, 1, []string{"poise.yaml:2:1: ", "did you mean", "poise.yaml:3:", "mistakes\n"}},
		{"a route that can never match", odd, 0, []string{"poise.yaml:5:9: warning: route second can never match", "fine, with 1 warning\n"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := call(nil, "check", "-c", write(t, tt.text))
			if r.code != tt.code || r.err != "" {
				t.Errorf("check = %d, %q on Err; want %d and nothing", r.code, r.err, tt.code)
			}
			for _, want := range tt.want {
				if !strings.Contains(r.out, want) {
					t.Errorf("check prints %q, want %q in it", r.out, want)
				}
			}
		})
	}
}

func TestCheckJSON(t *testing.T) {
	path := write(t, fine)
	got := call(nil, "check", "-c", path, "-o", "json")
	want := result{out: "{\n  \"file\": \"" + path + "\",\n  \"ok\": true,\n  \"problems\": []\n}\n"}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(result{})); diff != "" {
		t.Errorf("check -o json differs (-want +got):\n%s", diff)
	}
	got = call(nil, "check", "-c", write(t, broken), "-o", "json")
	for _, want := range []string{`"ok": false`, `"line": 2`, `"severity": "error"`} {
		if !strings.Contains(got.out, want) || got.code != 1 {
			t.Errorf("check -o json = %d, %q, want 1 and %q", got.code, got.out, want)
		}
	}
}

// TestExamplesAreFine checks every file in examples as a person would.
func TestExamplesAreFine(t *testing.T) {
	files, err := filepath.Glob("../../examples/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("examples: %v, %v", files, err)
	}
	cert := testkit.NewCertificate(t, "example.com")
	ocsp := testkit.WriteFile(t, "ocsp", cert.OCSP(t, time.Hour))
	tickets := testkit.WriteFile(t, "tickets", []byte(base64.StdEncoding.EncodeToString(make([]byte, 48))))
	users := testkit.WriteFile(t, "users", []byte("ann:$2y$10$4v0sUS0sBZ2M/0BDtUV4FeCqEOTVSnCXCNEdTEi9QkWfUHnrA1oPu\n"))
	env := map[string]string{
		"POISE_USERS": users,
		"POISE_CERT":  cert.CertFile, "POISE_KEY": cert.KeyFile, "POISE_CA": cert.CertFile, "POISE_CLIENTS": cert.CertFile, "POISE_TICKETS": tickets, "POISE_OCSP": ocsp,
	}
	for _, f := range files {
		if r := call(env, "check", "-c", f); r.code != 0 || r.out != f+": fine\n" {
			t.Errorf("poise check -c %s = %d, %q, want 0 and no word more than fine", f, r.code, r.out)
		}
	}
}

// TestCheckReadsFiles: what a route has in files is looked at, and what is wrong stands at the route.
func TestCheckReadsFiles(t *testing.T) {
	users := testkit.WriteFile(t, "users", []byte("ann:secret\n"))
	file := write(t, fmt.Sprintf(`listeners:
  - address: 127.0.0.1:0
    error_pages: [{ status: 404, body_file: /nowhere/page }]
    routes:
      - { match: { path: /a }, reply: { body_file: /nowhere/reply } }
      - { match: { path: /b }, reply: {}, basic_auth: { users_file: %q } }
`, users))
	r := call(nil, "check", "-c", file)
	for _, want := range []string{
		":2:5: error_pages: read /nowhere/page: no such file or directory", ":5:9: reply: read /nowhere/reply: no such file or directory",
		":6:9: basic_auth: " + users + ": line 1: the password of ann is not hashed by bcrypt", "3 mistakes",
	} {
		if !strings.Contains(r.err+r.out, want) || r.code != 1 {
			t.Errorf("check = %d, %q, want 1 and %q", r.code, r.err+r.out, want)
		}
	}
}

func TestRunWithMistakesStartsNothing(t *testing.T) {
	r := call(nil, "run", "-c", write(t, broken))
	if r.code != 1 || !strings.Contains(r.err, "poise.yaml:2:1: ") || !strings.Contains(r.err, "poise: not started: 2 mistakes in ") {
		t.Errorf("run = %d, %q, want 1 with the mistakes", r.code, r.err)
	}
}

func TestColor(t *testing.T) {
	terminal, err := os.Open(os.DevNull) // a character device too
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	tests := []struct {
		name, variable, value string
		want                  bool
	}{
		{"plain", "", "", true},
		{"NO_COLOR", "NO_COLOR", "1", false},
		{"empty NO_COLOR", "NO_COLOR", "", true},
		{"dumb", "TERM", "dumb", false},
	}
	for _, tt := range tests {
		p := &program{env: func(name string) (string, bool) { return tt.value, name == tt.variable }}
		if got := p.color(terminal); got != tt.want {
			t.Errorf("%s: color(terminal) = %v, want %v", tt.name, got, tt.want)
		}
		if p.color(&bytes.Buffer{}) {
			t.Errorf("%s: color(buffer) = true, want false", tt.name)
		}
	}
}
