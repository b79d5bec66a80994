package app_test

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"poise/internal/app"
	"poise/internal/config"
	"poise/internal/testkit"
)

// TestTicketKeysThatCannotBeUsed: a check names their place, nothing starts with them, a reload changes nothing, and a file that becomes so is told of once,
// while its keys go on.
func TestTicketKeysThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	cert := testkit.NewCertificate(t, "localhost")
	key := []byte(base64.StdEncoding.EncodeToString(make([]byte, 48)) + "\n")
	file := func(data []byte) string { return testkit.WriteFile(t, "keys", data) }
	good := file(key)
	parse := func(path string) *config.Config {
		t.Helper()
		text := fmt.Sprintf("driver: net\nlisteners:\n  - address: 127.0.0.1:0\n    pool: app\n    tls:\n      certificates: [%s]\n      session_ticket_keys: %q\n"+
			"pools: { app: { servers: [\"127.0.0.1:1\"] } }\nadmin: { enabled: false }\naccess_log: { enabled: false }\n", cert.YAML(), path)
		c, problems := config.Parse("test.yaml", []byte(text), os.LookupEnv)
		if c == nil {
			t.Fatal(problems)
		}
		return c
	}
	now, log := parse(good), &lines{}
	running, err := app.Start(app.Options{Config: now, Log: slog.New(slog.NewTextHandler(log, nil)), Load: func() (*config.Config, config.Problems) { return now, nil }})
	if err != nil {
		t.Fatal(err)
	}
	defer running.Stop()
	if problems := app.Check(now); len(problems) > 0 {
		t.Errorf("good keys: %v", problems)
	}
	for _, row := range []struct{ path, want string }{
		{filepath.Join(filepath.Dir(good), "none"), "session_ticket_keys: read "},
		{filepath.Dir(good), "is not a file"},
		{file(nil), "no keys"},
		{file(key[:20]), "line 1 has 15 bytes"},
		{file(bytes.Repeat([]byte("# comment\n"), 7000)), "is larger than 65536 bytes"},
	} {
		bad := parse(row.path)
		if got := app.Check(bad); len(got) != 1 || got[0].Line != 7 || !strings.Contains(got[0].Message, row.want) || !got.HasErrors() {
			t.Errorf("problems %v, want one in line 7: %s", got, row.want)
		}
		a, err := app.Start(app.Options{Config: bad, Log: slog.New(slog.DiscardHandler)})
		if err == nil {
			a.Stop()
		}
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("Start() = %v, want %s", err, row.want)
		}
		now = bad
		if _, err := running.Reload(); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("Reload() = %v, want %s", err, row.want)
		}
	}

	client := cert.Client("localhost")
	client.MaxVersion, client.ClientSessionCache = tls.VersionTLS12, tls.NewLRUClientSessionCache(1)
	resumed := func() bool {
		t.Helper()
		c, err := tls.Dial("tcp", running.Status().Listeners[0].Addresses[0], client)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		return c.ConnectionState().DidResume
	}
	resumed()
	if err := os.WriteFile(good, []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "the log tells of the broken file", func() bool { return log.count("keys of session tickets cannot be used") == 1 })
	if !resumed() {
		t.Error("once the file is broken, sessions are not resumed any more")
	}
}
