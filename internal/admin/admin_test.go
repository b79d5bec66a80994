package admin

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// source is ready unless reasons are given.
func source(reasons ...string) Source {
	return Source{
		Ready:   func() (bool, []string) { return len(reasons) == 0, reasons },
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { text(w, 200, "poise_up 1\n") }),
		Status:  func() any { return map[string]any{"version": "1.2.3", "draining": false} },
	}
}

// answer asks h over a Unix socket's connection, where nothing is guarded but foreign pages.
func answer(h http.Handler, method, target string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, from(httptest.NewRequest(method, target, nil), unixSocket))
	return w
}

func TestPaths(t *testing.T) {
	tests := []struct {
		name, method, target string
		reasons              []string
		code                 int
		body                 string // the whole body, or its beginning where it ends in an ellipsis
	}{
		{"alive", "GET", "/livez", nil, 200, "ok\n"},
		{"alive while not ready", "GET", "/livez", []string{"pool app: no round yet"}, 200, "ok\n"},
		{"ready", "GET", "/readyz", nil, 200, "ok\n"},
		{"ready, verbose", "GET", "/readyz?verbose", nil, 200, "ok\n"},
		{"not ready", "GET", "/readyz", []string{"pool app: no round yet"}, 503, "not ready\n"},
		{"not ready, verbose", "GET", "/readyz?verbose", []string{"pool app: no round yet", "draining"}, 503, "not ready\npool app: no round yet\ndraining\n"},
		{"metrics", "GET", "/metrics", nil, 200, "poise_up 1\n"},
		{"index", "GET", "/", nil, 200, "Poise, the admin address\n…"},
		{"profiles", "GET", "/debug/pprof/", nil, 200, "<html>…"},
		{"one profile", "GET", "/debug/pprof/goroutine?debug=1", nil, 200, "goroutine profile: …"},
		{"unknown", "GET", "/v2/status", nil, 404, "404 page not found\n"},
		{"HEAD", "HEAD", "/livez", nil, 200, "…"},
		{"POST alive", "POST", "/livez", nil, 405, "…"},
		{"POST ready", "POST", "/readyz", nil, 405, "…"},
		{"PUT metrics", "PUT", "/metrics", nil, 405, "…"},
		{"POST status", "POST", "/v1/status", nil, 405, "…"},
		{"DELETE index", "DELETE", "/", nil, 405, "…"},
		{"POST symbol", "POST", "/debug/pprof/symbol", nil, 405, "…"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := answer(New(source(tt.reasons...)), tt.method, tt.target)
			if w.Code != tt.code {
				t.Errorf("%s %s = %d, want %d", tt.method, tt.target, w.Code, tt.code)
			}
			start, open := strings.CutSuffix(tt.body, "…")
			if got := w.Body.String(); open && !strings.HasPrefix(got, start) || !open && got != tt.body {
				t.Errorf("%s %s = %q, want %q", tt.method, tt.target, got, tt.body)
			}
			if tt.code == 405 && w.Header().Get("Allow") != "GET, HEAD" {
				t.Errorf("%s %s: Allow = %q, want %q", tt.method, tt.target, w.Header().Get("Allow"), "GET, HEAD")
			}
		})
	}
}

func TestStatus(t *testing.T) {
	w := answer(New(source()), "GET", "/v1/status")
	if got, want := w.Header().Get("Content-Type"), "application/json"; got != want {
		t.Errorf("Content-Type = %q, want %q", got, want)
	}
	var got any
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatalf("status is no JSON: %v", err)
	}
	if diff := cmp.Diff(map[string]any{"version": "1.2.3", "draining": false}, got); diff != "" {
		t.Errorf("status differs (-want +got):\n%s", diff)
	}
}

func TestStatusThatIsNoJSON(t *testing.T) {
	s := source()
	s.Status = func() any { return func() {} }
	if w := answer(New(s), "GET", "/v1/status"); w.Code != 500 || !strings.Contains(w.Body.String(), "unsupported type") {
		t.Errorf("status = %d %q, want 500 with the reason", w.Code, w.Body)
	}
}
