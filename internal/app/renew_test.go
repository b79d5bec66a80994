package app_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"poise/internal/app"
	"poise/internal/config"
	"poise/internal/testkit"
)

// lines is a log's text that may be read while it is written.
type lines struct {
	mu   sync.Mutex // guards text
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) count(part string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), part)
}

// served is Poise with a certificate in files.
type served struct {
	log          *lines
	addr, socket string
}

// serving starts Poise with a certificate in these files.
func serving(t *testing.T, cert, key string) *served {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "admin")
	text := fmt.Sprintf("driver: net\nloops: 1\nlisteners:\n  - address: 127.0.0.1:0\n    pool: app\n    tls: { certificates: [{ cert: %q, key: %q }] }\n"+
		"pools: { app: { servers: [\"127.0.0.1:1\"] } }\nadmin: { address: %q }\naccess_log: { enabled: false }\n", cert, key, "unix:"+socket)
	c, problems := config.Parse("test.yaml", []byte(text), os.LookupEnv)
	if c == nil {
		t.Fatal(problems)
	}
	log := &lines{}
	a, err := app.Start(app.Options{Config: c, Log: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Stop)
	return &served{log: log, addr: a.Status().Listeners[0].Addresses[0], socket: socket}
}

// shows waits until clients see a certificate.
func (s *served) shows(t *testing.T, what string, want *testkit.Certificate) {
	t.Helper()
	for begun := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		conn, err := tls.Dial("tcp", s.addr, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		got := conn.ConnectionState().PeerCertificates[0]
		_ = conn.Close()
		if got.Equal(want.Leaf) {
			return
		}
		if time.Since(begun) > 5*time.Second {
			t.Fatalf("%s: the certificate is not the new one after 5 s", what)
		}
	}
}

// metric is what the admin socket says of a metric now; "": nothing.
func (s *served) metric(t *testing.T, name string) string {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", s.socket)
	}}}
	resp, err := client.Get("http://localhost/metrics")
	must(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	must(t, err)
	_, rest, _ := strings.Cut(string(body), "\n"+name+" ")
	value, _, _ := strings.Cut(rest, "\n")
	return value
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestRenewedThroughLinks exchanges what Kubernetes does: a link to the directory that has the files, by renaming another one over it.
func TestRenewedThroughLinks(t *testing.T) {
	dir := t.TempDir()
	place := func(version string) *testkit.Certificate {
		c := testkit.NewCertificate(t, "localhost")
		data := filepath.Join(dir, version)
		must(t, os.Mkdir(data, 0o700), os.Rename(c.CertFile, filepath.Join(data, "tls.crt")), os.Rename(c.KeyFile, filepath.Join(data, "tls.key")),
			os.Symlink(version, filepath.Join(dir, "..next")), os.Rename(filepath.Join(dir, "..next"), filepath.Join(dir, "..data")))
		return c
	}
	first := place("..1")
	crt, key := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	must(t, os.Symlink("..data/tls.crt", crt), os.Symlink("..data/tls.key", key))
	s := serving(t, crt, key)
	s.shows(t, "at the start", first)
	for _, v := range []string{"..2", "..3", "..4"} {
		s.shows(t, "version "+v, place(v))
	}
	for i, file := range []string{crt, key} { // and a file over a link
		c := testkit.NewCertificate(t, "localhost")
		if i == 0 {
			must(t, os.Rename(c.KeyFile, key), os.Rename(c.CertFile, file))
		} else {
			must(t, os.Rename(c.CertFile, crt), os.Rename(c.KeyFile, file))
		}
		s.shows(t, "a file in the place of a link", c)
	}
}

// TestRenewedBehindLinks exchanges a link on the way to the files, and then a file that a link leads to, elsewhere.
func TestRenewedBehindLinks(t *testing.T) {
	dir := t.TempDir()
	first, second := testkit.NewCertificate(t, "localhost"), testkit.NewCertificate(t, "localhost")
	live := filepath.Join(dir, "live")
	must(t, os.Symlink(filepath.Dir(first.CertFile), live))
	s := serving(t, filepath.Join(live, filepath.Base(first.CertFile)), filepath.Join(live, filepath.Base(first.KeyFile)))
	s.shows(t, "at the start", first)
	time.Sleep(500 * time.Millisecond) // the first look is over: what follows is seen by watching
	must(t, os.Symlink(filepath.Dir(second.CertFile), live+".next"), os.Rename(live+".next", live))
	s.shows(t, "another link", second)
	time.Sleep(500 * time.Millisecond)
	second.Renew(t, "localhost")
	s.shows(t, "files behind the link", second)
}

// TestRenewedFilesThatAreBroken are complained about once, and not before both files could have been written.
func TestRenewedFilesThatAreBroken(t *testing.T) {
	t.Parallel()
	c, other := testkit.NewCertificate(t, "localhost"), testkit.NewCertificate(t, "localhost")
	s := serving(t, c.CertFile, c.KeyFile)
	const complaint = "new files cannot be used"
	must(t, os.Rename(other.CertFile, c.CertFile))
	time.Sleep(time.Second) // as long as the writer takes
	must(t, os.Rename(other.KeyFile, c.KeyFile))
	s.shows(t, "once the key is there", other)
	if n := s.log.count(complaint); n != 0 {
		t.Errorf("%d complaints of a certificate whose key came a second later, want none", n)
	}
	must(t, os.WriteFile(c.CertFile, []byte("none"), 0o600))
	for begun := time.Now(); s.log.count(complaint) == 0 && time.Since(begun) < 10*time.Second; {
		time.Sleep(10 * time.Millisecond)
	}
	must(t, os.WriteFile(c.CertFile+".other", nil, 0o600)) // has all be looked at again
	time.Sleep(500 * time.Millisecond)
	s.shows(t, "with a broken file", other)
	if n := s.log.count(complaint); n != 1 {
		t.Errorf("%d complaints of a broken file, want 1", n)
	}
	if n := s.metric(t, `poise_certificate_reloads_total{result="failure"}`); n != "1" {
		t.Errorf("a broken file is counted %s times, want 1", n)
	}
	c.Renew(t, "localhost")
	s.shows(t, "once it is good again", c)
}

// TestExpiryIsShown looks at the metric and the log, at the start and after the certificate was exchanged.
func TestExpiryIsShown(t *testing.T) {
	c := testkit.NewCertificate(t, "localhost")
	short := issue(t, "localhost", issued{}, newKey(t), func(c *x509.Certificate) { c.NotAfter = time.Now().Add(5 * 24 * time.Hour) })
	must(t, os.WriteFile(c.CertFile, []byte(pems(short)), 0o600), os.WriteFile(c.KeyFile, []byte(block("PRIVATE KEY", short.keyDER(t))), 0o600))
	s := serving(t, c.CertFile, c.KeyFile)
	name := fmt.Sprintf("poise_certificate_not_after_timestamp_seconds{certificate=%q,listener=\"127.0.0.1:0\"}", c.CertFile)
	shown := func() int64 {
		v, err := strconv.ParseFloat(s.metric(t, name), 64)
		must(t, err)
		return int64(v)
	}
	if got, want := shown(), short.NotAfter.Unix(); got != want {
		t.Errorf("%s = %d, want %d", name, got, want)
	}
	if n := s.log.count("a certificate expires within 7 days"); n != 1 {
		t.Errorf("%d warnings of a certificate that expires in 5 days, want 1", n)
	}
	c.Renew(t, "localhost")
	s.shows(t, "after an exchange", c)
	for begun := time.Now(); shown() != c.Leaf.NotAfter.Unix(); time.Sleep(5 * time.Millisecond) {
		if time.Since(begun) > 5*time.Second {
			t.Fatalf("%s = %d after an exchange, want %d", name, shown(), c.Leaf.NotAfter.Unix())
		}
	}
	if n := s.log.count("expires within"); n != 1 {
		t.Errorf("%d warnings after the certificate was exchanged, want those of before", n)
	}
}
