package app_test

import (
	"bytes"
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

// TestTQ6Load: with files about clients' certificates that cannot be used, a check says so at their place, nothing starts, and a reload changes nothing.
func TestTQ6Load(t *testing.T) {
	cert, ca := testkit.NewCertificate(t, "good.test"), testkit.NewAuthority(t, "ca", nil)
	file := func(data []byte) string { return testkit.WriteFile(t, "file.pem", data) }
	good, list := file(ca.PEM()), file(ca.CRL(t, nil))
	parse := func(ca, crl string) *config.Config {
		t.Helper()
		text := fmt.Sprintf("driver: net\nlisteners:\n  - address: 127.0.0.1:0\n    pool: app\n    tls:\n      certificates: [%s]\n"+
			"      client_certificates: { ca: %q%s }\npools: { app: { servers: [\"127.0.0.1:1\"] } }\nadmin: { enabled: false }\naccess_log: { enabled: false }\n",
			cert.YAML(), ca, crl)
		c, problems := config.Parse("test.yaml", []byte(text), os.LookupEnv)
		if c == nil {
			t.Fatal(problems)
		}
		return c
	}
	now := parse(good, fmt.Sprintf(", crl: %q", list))
	running, err := app.Start(app.Options{Config: now, Log: slog.New(slog.DiscardHandler), Load: func() (*config.Config, config.Problems) { return now, nil }})
	if err != nil {
		t.Fatal(err)
	}
	defer running.Stop()
	if problems := app.Check(now); len(problems) > 0 {
		t.Errorf("good files: %v", problems)
	}
	large := file(bytes.Repeat([]byte("# comment\n"), 1<<20/10+1))
	another := file(ca.CRL(t, nil))
	for _, row := range []struct{ ca, crl, want string }{
		{filepath.Join(filepath.Dir(good), "none.pem"), "", "no such file"},
		{filepath.Dir(good), "", "is not a file"},
		{"/dev/null", "", "is not a file"},
		{file(nil), "", "empty"},
		{large, "", "is larger than 1048576 bytes"},
		{cert.KeyFile, "", "there is a PRIVATE KEY"},
		{file(bytes.Repeat(ca.PEM(), 1001)), "", "1001 certificates"},
		{good, filepath.Join(filepath.Dir(good), "none.pem"), "no such file"},
		{good, file(nil), "crl: empty"},
		{good, good, "there is a CERTIFICATE"},
		{file(testkit.NewAuthority(t, "ca", nil).PEM()), another, "is signed by none"},
	} {
		crl := ""
		if row.crl != "" {
			crl = fmt.Sprintf(", crl: %q", row.crl)
		}
		bad := parse(row.ca, crl)
		problems := app.Check(bad)
		if len(problems) != 1 || problems[0].Line != 7 || !strings.Contains(problems[0].Message, row.want) || !problems.HasErrors() {
			t.Errorf("problems %v, want one in line 7: %s", problems, row.want)
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
}
