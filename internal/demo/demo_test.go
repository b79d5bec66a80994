package demo

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestServersAnswer(t *testing.T) {
	all, err := Start()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := all.Close(); err != nil {
			t.Errorf("Close() = %v, want nil", err)
		}
	}()
	for i, s := range all {
		if got := all.Addresses()[i]; got != s.Address {
			t.Errorf("Addresses()[%d] = %q, want %q", i, got, s.Address)
		}
		for path, want := range map[string]string{"/a": "hello from " + s.Name + ": GET /a\n", HealthPath: "ok\n"} {
			resp, err := http.Get("http://" + s.Address + path)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if got := string(b); err != nil || got != want {
				t.Errorf("GET %s%s = %q, %v, want %q", s.Name, path, got, err, want)
			}
		}
	}
}

func TestSlowTakesItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		slow(hello("slow")).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
		if d := time.Since(began); d < 150*time.Millisecond || d > 250*time.Millisecond {
			t.Errorf("slow took %v, want 150 to 250 ms", d)
		}
	})
}

// ask returns the status code, or 0 where the connection is dropped.
func ask(h http.Handler, path string) (code int) {
	defer func() {
		if r := recover(); r == http.ErrAbortHandler {
			code = 0
		} else if r != nil {
			panic(r)
		}
	}()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	return w.Code
}

func TestFlakyFailsInTurn(t *testing.T) {
	f := &flaky{health: func() bool { return true }}
	var got []int
	for range 9 {
		got = append(got, ask(f, "/"))
	}
	if diff := cmp.Diff([]int{200, 200, 200, 503, 200, 200, 200, 0, 200}, got); diff != "" {
		t.Errorf("flaky's answers differ (-want +got):\n%s", diff)
	}
}

func TestFlakyProbes(t *testing.T) {
	tests := []struct {
		age  time.Duration
		want int
	}{{0, 200}, {21 * time.Second, 200}, {22 * time.Second, 503}, {29 * time.Second, 503}, {30 * time.Second, 200}, {53 * time.Second, 503}}
	for _, tt := range tests {
		f := &flaky{health: func() bool { return !sick(tt.age) }}
		if got := ask(f, HealthPath); got != tt.want {
			t.Errorf("probe after %v = %d, want %d", tt.age, got, tt.want)
		}
	}
}

func TestLoadCountsAnswers(t *testing.T) {
	asked := make(chan struct{}, 100)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTeapot)
		asked <- struct{}{}
	}))
	defer s.Close()
	c := Load(s.URL)
	for range 2 * clients { // so the first round is counted
		<-asked
	}
	c.Close()
	got := c.Answers()
	if got[http.StatusTeapot] < clients || len(got) != 1 {
		t.Errorf("Answers() = %v, want at least %d of %d and no others", got, clients, http.StatusTeapot)
	}
	if got := c.Answers(); len(got) != 0 {
		t.Errorf("Answers() again = %v, want none", got)
	}
}
