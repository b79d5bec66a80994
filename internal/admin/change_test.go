package admin

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// token writes a token into a directory of the test's own.
func token(t *testing.T) (*Token, string) {
	t.Helper()
	tok, err := WriteToken(filepath.Join(t.TempDir(), "own", "token"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tok.Close)
	text, err := ReadToken(tok.Path)
	if err != nil {
		t.Fatal(err)
	}
	return tok, text
}

// TestPA5WhoMayChange has a row for each refusal, and sees that nothing was changed by it.
func TestPA5WhoMayChange(t *testing.T) {
	tok, text := token(t)
	const json, path, fine = "application/json", "/v1/pools/app/servers/a:1", `{"state":"drain"}`
	bearer := "Bearer " + text
	tests := []struct {
		name         string
		peer         peer
		method, path string
		kind, auth   string
		header       [2]string
		body         string
		code         int
	}{
		{"over a Unix socket, without a token", unixSocket, "POST", path, json, "", [2]string{}, fine, 200},
		{"over loopback, with the token", loopback, "POST", path, json, bearer, [2]string{}, fine, 200},
		{"scheme in other letters, charset", loopback6, "POST", path, "application/json; charset=utf-8", "bearer " + text, [2]string{}, fine, 200},
		{"reload with the token", loopback, "POST", "/v1/reload", json, bearer, [2]string{}, "", 200},

		{"no token", loopback, "POST", path, json, "", [2]string{}, fine, 401},
		{"another token", loopback, "POST", path, json, bearer + "0", [2]string{}, fine, 401},
		{"no token at a reload", loopback, "POST", "/v1/reload", json, "", [2]string{}, "", 401},
		{"the token in another scheme", loopback, "POST", path, json, "Basic " + text, [2]string{}, fine, 401},
		{"from the network", network, "POST", path, json, bearer, [2]string{}, fine, 403},
		{"from the network to loopback", spoofed, "POST", path, json, bearer, [2]string{}, fine, 403},
		{"from nowhere", unknown, "POST", path, json, bearer, [2]string{}, fine, 421},
		{"GET", loopback, "GET", path, json, bearer, [2]string{}, "", 405},
		{"PUT", unixSocket, "PUT", path, json, "", [2]string{}, fine, 405},
		{"GET of reload", unixSocket, "GET", "/v1/reload", json, "", [2]string{}, "", 405},
		{"a form", unixSocket, "POST", path, "application/x-www-form-urlencoded", "", [2]string{}, fine, 415},
		{"plain text", loopback, "POST", path, "text/plain", bearer, [2]string{}, fine, 415},
		{"no type", unixSocket, "POST", path, "", "", [2]string{}, fine, 415},
		{"another site's page", loopback, "POST", path, json, bearer, [2]string{"Origin", "http://evil.example"}, fine, 403},
		{"another site's page over a Unix socket", unixSocket, "POST", path, json, "", [2]string{"Sec-Fetch-Site", "cross-site"}, fine, 403},
		{"rebound name", loopback, "POST", path, json, bearer, [2]string{"Host", "evil.example"}, fine, 421},
		{"large body", unixSocket, "POST", path, json, "", [2]string{}, `{"state":"` + strings.Repeat("x", maxBody) + `"}`, 413},
		{"no JSON", unixSocket, "POST", path, json, "", [2]string{}, "drain", 400},
		{"two orders", unixSocket, "POST", path, json, "", [2]string{}, fine + fine, 400},
		{"unknown key", unixSocket, "POST", path, json, "", [2]string{}, `{"status":"drain"}`, 400},
		{"empty order", unixSocket, "POST", path, json, "", [2]string{}, `{}`, 400},
		{"unknown state", unixSocket, "POST", path, json, "", [2]string{}, `{"state":"gone"}`, 400},
		{"time for maint", unixSocket, "POST", path, json, "", [2]string{}, `{"state":"maint","for":"5m"}`, 400},
		{"time that is none", unixSocket, "POST", path, json, "", [2]string{}, `{"state":"drain","for":"soon"}`, 400},
		{"time below 0", unixSocket, "POST", path, json, "", [2]string{}, `{"state":"drain","for":"-5m"}`, 400},
		{"weight below 0", unixSocket, "POST", path, json, "", [2]string{}, `{"weight":-1}`, 400},
		{"great weight", unixSocket, "POST", path, json, "", [2]string{}, `{"weight":257}`, 400},
		{"unknown server", unixSocket, "POST", "/v1/pools/app/servers/none", json, "", [2]string{}, fine, 404},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			done := 0
			s := source()
			s.Token = tok
			s.Reload = func() (string, error) { done++; return "reloaded", nil }
			s.Order = func(_, server string, _ Order) (string, error) {
				if server == "none" {
					return "", &Refused{http.StatusNotFound, "no such server"}
				}
				done++
				return "done", nil
			}
			r := from(httptest.NewRequest(tt.method, tt.path, strings.NewReader(tt.body)), tt.peer)
			r.Host = "localhost:9900"
			if tt.peer == network {
				r.Host = "192.0.2.1:9900"
			}
			if tt.peer == unknown {
				r.Host = "poise.example"
			}
			r.Header.Set("Content-Type", tt.kind)
			r.Header.Set("Authorization", tt.auth)
			if tt.header[0] == "Host" {
				r.Host = tt.header[1]
			} else if tt.header[0] != "" {
				r.Header.Set(tt.header[0], tt.header[1])
			}
			w := httptest.NewRecorder()
			New(s).ServeHTTP(w, r)
			if want := map[bool]int{true: 1}[tt.code == 200]; w.Code != tt.code || done != want {
				t.Errorf("%s %s = %d %q and %d changes, want %d and %d", tt.method, tt.path, w.Code, w.Body, done, tt.code, want)
			}
		})
	}
}

func TestNoChangesOverTCPWithoutATokenOfOurs(t *testing.T) {
	s := source()
	s.Reload = func() (string, error) { t.Error("reloaded"); return "", nil }
	r := from(httptest.NewRequest("POST", "/v1/reload", nil), loopback)
	r.Host = "localhost"
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer ")
	w := httptest.NewRecorder()
	New(s).ServeHTTP(w, r)
	if w.Code != 403 {
		t.Errorf("reload = %d %q, want 403", w.Code, w.Body)
	}
}

// TestOrderPath takes names that hold a slash, a colon and an escape.
func TestOrderPath(t *testing.T) {
	s := source()
	var got [2]string
	var order Order
	s.Order = func(pool, server string, o Order) (string, error) {
		got, order = [2]string{pool, server}, o
		return "done", nil
	}
	r := from(httptest.NewRequest("POST", "/v1/pools/a%2Fb/servers/unix:%2Frun%2F%252F..%2Fs", strings.NewReader(`{"state":"drain","for":"90s","weight":0}`)), unixSocket)
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	New(s).ServeHTTP(w, r)
	if want := [2]string{"a/b", "unix:/run/%2F../s"}; w.Code != 200 || got != want {
		t.Errorf("order = %d for %q, want 200 for %q", w.Code, got, want)
	}
	if order.State != Drain || order.For != 90*time.Second || order.Weight == nil || *order.Weight != 0 {
		t.Errorf("order = %+v, want a drain for 90 s and the weight 0", order)
	}
}

func TestTokenFile(t *testing.T) {
	tok, text := token(t)
	info, err := os.Stat(tok.Path)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.Stat(filepath.Dir(tok.Path))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 || dir.Mode().Perm() != 0o700 {
		t.Errorf("the file has mode %o and its directory %o, want 600 and 700", info.Mode().Perm(), dir.Mode().Perm())
	}
	next, err := WriteToken(tok.Path) // as after a crash
	if err != nil {
		t.Fatal(err)
	}
	if now, _ := ReadToken(tok.Path); now == text || !next.is(now) || next.is(text) || next.is("") {
		t.Error("the next token is the one of before, or not the one in the file")
	}
	tok.Close()
	if _, err := os.Stat(tok.Path); err != nil {
		t.Errorf("the predecessor's end removed the token: %v", err)
	}
	next.Close()
	if _, err := os.Stat(tok.Path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after the end: %v, want the file gone", err)
	}
}

func TestTokenFileRefusals(t *testing.T) {
	dir := t.TempDir()
	open := filepath.Join(dir, "open")
	mine := filepath.Join(dir, "mine")
	for path, mode := range map[string]os.FileMode{open: 0o777, mine: 0o700} {
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil { // whatever the umask is
			t.Fatal(err)
		}
	}
	letter, link := filepath.Join(mine, "letter"), filepath.Join(mine, "link")
	if err := os.WriteFile(letter, []byte("dear"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(letter, link); err != nil {
		t.Fatal(err)
	}
	linked := filepath.Join(dir, "linked")
	if err := os.Symlink(mine, linked); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{
		"a directory that others can write": filepath.Join(open, "token"), "a file that is no token": letter, "a link": link,
		"a link to a directory": filepath.Join(linked, "token"),
	} {
		if tok, err := WriteToken(path); err == nil {
			tok.Close()
			t.Errorf("WriteToken takes %s, want an error", name)
		}
	}
	if b, err := os.ReadFile(letter); string(b) != "dear" || err != nil {
		t.Errorf("the letter is %q, %v; want it untouched", b, err)
	}
}
