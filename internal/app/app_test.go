package app_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"poise/internal/app"
	"poise/internal/config"
	"poise/internal/testkit"
)

func start(t *testing.T, yaml string) *app.App {
	t.Helper()
	c, problems := config.Parse("test.yaml", []byte(yaml), func(string) (string, bool) { return "", false })
	if problems.HasErrors() {
		t.Fatalf("config: %v", problems)
	}
	a, err := app.Start(app.Options{Config: c, Log: slog.New(slog.DiscardHandler), Poison: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Stop)
	return a
}

func TestProxiesRequests(t *testing.T) {
	for _, driver := range testkit.Drivers(t) {
		t.Run(driver, func(t *testing.T) {
			var servers []string
			for i := range 3 {
				s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					b, _ := io.ReadAll(r.Body)
					fmt.Fprintf(w, "%d %s %s %d %s", i, r.Method, r.URL, len(b), r.Header.Get("X-Forwarded-For"))
				}))
				t.Cleanup(s.Close)
				servers = append(servers, strings.TrimPrefix(s.URL, "http://"))
			}
			a := start(t, fmt.Sprintf("driver: %s\nloops: 2\nlisten: 127.0.0.1:0\nservers: [%s]\npolicy: round_robin\naccess_log: {enabled: false}\nadmin: {enabled: false}\n", driver, strings.Join(servers, ", ")))
			url := "http://" + a.Status().Listeners[0].Addresses[0]
			for _, size := range []int{0, 10, 1000, 100_000, 5_000_000} {
				body := strings.Repeat("x", size)
				resp, err := http.Post(url+"/p?q=1", "text/plain", strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				b, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if want := fmt.Sprintf(" POST /p?q=1 %d 127.0.0.1", size); err != nil || resp.StatusCode != 200 || !strings.HasSuffix(string(b), want) {
					t.Errorf("POST of %d bytes = %d %q, %v; want ...%q", size, resp.StatusCode, b, err, want)
				}
			}
		})
	}
}
