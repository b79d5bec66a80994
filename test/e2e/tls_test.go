package e2e

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"poise/internal/testkit"
)

// selfSigned is the certificate that Poise shows, which has to be the one whose fingerprint it printed, as a file.
func selfSigned(t *testing.T, p *poise) (der, file string) {
	t.Helper()
	conn, err := tls.Dial("tcp", p.Addr, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c := conn.ConnectionState().PeerCertificates[0]
	var want []string
	for _, b := range sha256.Sum256(c.Raw) {
		want = append(want, fmt.Sprintf("%02X", b))
	}
	testkit.Eventually(t, "fingerprint", func() bool {
		return strings.Contains(p.out.String(), "SHA-256 fingerprint "+strings.Join(want, ":")+"\n")
	})
	return string(c.Raw), fileOf(t, "cert.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
}

func fileOf(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// curl returns what it printed, and its exit code.
func curl(t *testing.T, args ...string) (out string, code int) {
	t.Helper()
	cmd := exec.Command("curl", append([]string{"-sS", "--noproxy", "*"}, args...)...)
	data, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(data), cmd.ProcessState.ExitCode()
}

// TestSelfSigned starts HTTPS with one flag. curl takes the certificate that was printed, for all its names, and no other.
func TestSelfSigned(t *testing.T) {
	to := server(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Header.Get("X-Forwarded-Proto"))
	})
	saved := filepath.Join(t.TempDir(), "saved.yaml")
	p := start(t, "proxy", "--listen", "127.0.0.1:0", "--tls-self-signed", "--to", to, "--admin", "off", "--access-log=false", "--save", saved)
	if !strings.Contains(p.out.String(), "https://"+p.Addr) {
		t.Errorf("the start does not show https://%s:\n%s", p.Addr, p.out.String())
	}
	_, file := selfSigned(t, p)
	_, port, err := net.SplitHostPort(p.Addr)
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"127.0.0.1", "localhost"} {
		if out, code := curl(t, "--cacert", file, "https://"+host+":"+port+"/"); out != "https" || code != 0 {
			t.Errorf("curl --cacert https://%s = %q, exit code %d; want https, 0", host, out, code)
		}
	}
	if out, code := curl(t, "https://"+p.Addr+"/"); code != 60 { // curl: the certificate cannot be verified
		t.Errorf("curl that trusts nobody = %q, exit code %d; want 60", out, code)
	}
	if out, code := command(t, "check", "-c", saved); code != 0 || !strings.Contains(out, "saved.yaml: fine") {
		t.Errorf("check of what was saved = %s, exit code %d; want fine, 0", out, code)
	}
}

// TestSelfSignedStays reloads: the certificate is the same then.
func TestSelfSignedStays(t *testing.T) {
	const text = "listeners: [{ address: \"127.0.0.1:0\", pool: app, tls: { self_signed: true } }]\npools: { app: { servers: [\"127.0.0.1:1\"] } }\n" +
		"admin: { enabled: false }\naccess_log: { enabled: false }\n"
	file := fileOf(t, "poise.yaml", []byte(text))
	p := start(t, "run", "-c", file)
	before, _ := selfSigned(t, p)
	if err := os.WriteFile(file, []byte("zone: b\n"+text), 0o600); err != nil {
		t.Fatal(err)
	}
	p.signal(t, syscall.SIGHUP)
	testkit.Eventually(t, "word of the reload", func() bool { return strings.Contains(p.out.String(), "the configuration was reloaded") })
	if after, _ := selfSigned(t, p); after != before {
		t.Error("after a reload the certificate is another one")
	}
}

// TestOCSPByOpenSSL has OpenSSL make the authority, the certificate and the response, and ask for it as a client.
func TestOCSPByOpenSSL(t *testing.T) {
	dir := t.TempDir()
	openssl := func(args ...string) string {
		t.Helper()
		cmd := exec.Command("openssl", args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("openssl %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	key := []string{"-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"}
	openssl(append([]string{"req", "-x509", "-subj", "/CN=ca", "-days", "30", "-keyout", "ca.key", "-out", "ca.pem"}, key...)...)
	openssl(append([]string{"req", "-subj", "/CN=leaf", "-keyout", "leaf.key", "-out", "leaf.csr"}, key...)...)
	write("names", "subjectAltName=DNS:localhost\n")
	openssl("x509", "-req", "-in", "leaf.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-set_serial", "7", "-extfile", "names", "-days", "30", "-out", "leaf.pem")
	write("index", "V\t491231000000Z\t\t07\tunknown\t/CN=leaf\n")
	openssl("ocsp", "-issuer", "ca.pem", "-cert", "leaf.pem", "-reqout", "request")
	openssl("ocsp", "-index", "index", "-CA", "ca.pem", "-rsigner", "ca.pem", "-rkey", "ca.key", "-reqin", "request", "-respout", "response", "-ndays", "3")
	var chain []byte
	for _, name := range []string{"leaf.pem", "ca.pem"} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		chain = append(chain, data...)
	}
	write("chain.pem", string(chain))
	p := run(t, fmt.Sprintf("listeners: [{ address: \"127.0.0.1:0\", pool: app, tls: { certificates: [{ cert: %[1]s/chain.pem, key: %[1]s/leaf.key, ocsp: %[1]s/response }] } }]\n"+
		"pools: { app: { servers: [\"127.0.0.1:1\"] } }\nadmin: { enabled: false }\naccess_log: { enabled: false }\n", dir))
	out := openssl("s_client", "-connect", p.Addr, "-status", "-CAfile", "ca.pem", "-verify_return_error")
	if !strings.Contains(out, "OCSP Response Status: successful") || !strings.Contains(out, "Cert Status: good") {
		t.Errorf("openssl s_client -status shows no good response:\n%s\n%s", out, p.out.String())
	}
}
