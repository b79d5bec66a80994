package app

import (
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"poise/internal/config"
)

// parsed reads a configuration that is right as far as its text goes.
func parsed(t *testing.T, format string, args ...any) *config.Config {
	t.Helper()
	c, problems := config.Parse("test.yaml", fmt.Appendf(nil, format, args...), someVariables)
	if c == nil {
		t.Fatal(problems)
	}
	return c
}

func TestFilesOfCertificates(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good.pem"), filepath.Join(dir, "bad.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	for path, data := range map[string][]byte{good: block, bad: []byte("none")} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct{ path, want string }{
		{good, ""},
		{bad, "has no certificate in PEM"},
		{dir, "is not a file"},
		{filepath.Join(dir, "none.pem"), "no such file"},
	} {
		for _, shape := range []string{"tls: {ca: %s}", "http: {tls: {ca: %s}}"} {
			c := parsed(t, "listen: :1\nservers: [127.0.0.1:1]\nhealth:\n  "+shape+"\n", test.path)
			problems := Check(c)
			_, err := probesOf(c.Pools[0].Health, nil, false, nil)
			if test.want == "" {
				if len(problems) > 0 || err != nil {
					t.Errorf("%s: problems %v, error %v, want none", shape, problems, err)
				}
				continue
			}
			if len(problems) != 1 || problems[0].Line != 4 || !strings.Contains(problems[0].Message, test.want) || !problems.HasErrors() {
				t.Errorf("%s with %s: problems %v, want one in line 4: %s", shape, test.path, problems, test.want)
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s with %s: error %v, want %s", shape, test.path, err, test.want)
			}
		}
	}
}
