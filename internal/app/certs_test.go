package app_test

import (
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

// TestCertificatesThatCannotBeUsed wants each told with its place by a check, and no start.
func TestCertificatesThatCannotBeUsed(t *testing.T) {
	good, other := testkit.NewCertificate(t, "good.test"), testkit.NewCertificate(t, "other.test")
	bad := filepath.Join(t.TempDir(), "bad.pem")
	if err := os.WriteFile(bad, []byte("none"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ cert, key, want string }{
		{good.CertFile, good.KeyFile, ""},
		{good.CertFile, other.KeyFile, "does not match"},
		{good.KeyFile, good.CertFile, "failed to find certificate PEM data"},
		{bad, good.KeyFile, "failed to find any PEM data in certificate input"},
		{good.CertFile, bad, "failed to find any PEM data in key input"},
		{filepath.Dir(bad), good.KeyFile, "is not a file"},
		{good.CertFile, filepath.Join(filepath.Dir(bad), "none.pem"), "no such file"},
	} {
		text := fmt.Sprintf("driver: net\nlisteners:\n  - address: 127.0.0.1:0\n    pool: app\n    tls: { certificates: [{ cert: %q, key: %q }] }\n"+
			"pools: { app: { servers: [\"127.0.0.1:1\"] } }\nadmin: { enabled: false }\naccess_log: { enabled: false }\n", tt.cert, tt.key)
		c, problems := config.Parse("test.yaml", []byte(text), os.LookupEnv)
		if c == nil {
			t.Fatal(problems)
		}
		problems = app.Check(c)
		a, err := app.Start(app.Options{Config: c, Log: slog.New(slog.DiscardHandler)})
		if err == nil {
			a.Stop()
		}
		if tt.want == "" {
			if len(problems) > 0 || err != nil {
				t.Errorf("a good certificate: %v, %v", problems, err)
			}
			continue
		}
		if len(problems) != 1 || problems[0].Line != 5 || !strings.Contains(problems[0].Message, tt.want) || !problems.HasErrors() {
			t.Errorf("problems %v, want one in line 5: %s", problems, tt.want)
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Start() = %v, want %s", err, tt.want)
		}
	}
}
