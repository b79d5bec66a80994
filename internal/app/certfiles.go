package app

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strings"
	"time"

	"poise/internal/cert"
	"poise/internal/config"
)

// maxCertificate is what the file of a certificate or key may have: far more than any chain.
const maxCertificate = 1 << 20

// flaws is the error of files of a certificate that cannot be used.
type flaws struct {
	of   *config.Certificate
	list []cert.Flaw
}

func (f *flaws) Error() string {
	var all []string
	for i := range f.list {
		message, _ := f.text(&f.list[i])
		all = append(all, message)
	}
	return strings.Join(all, "; ")
}

// text is a flaw with its file.
func (f *flaws) text(x *cert.Flaw) (message, hint string) {
	file := *fileOf(f.of, x.In)
	at := file
	if x.Line > 0 {
		at = fmt.Sprintf("%s:%d", file, x.Line)
	}
	return at + ": " + strings.ReplaceAll(x.Message, "FILE", file), strings.ReplaceAll(x.Hint, "FILE", file)
}

// fileOf is the field that names a file.
func fileOf(x *config.Certificate, in cert.File) *string {
	switch in {
	case cert.InKey:
		return &x.Key
	case cert.InOCSP:
		return &x.OCSP
	}
	return &x.Cert
}

// problems are the flaws at their places in a configuration.
func (f *flaws) problems(c *config.Config) (problems config.Problems) {
	for i := range f.list {
		x := &f.list[i]
		severity := config.Error
		if x.Warning {
			severity = config.Warning
		}
		message, hint := f.text(x)
		problems = append(problems, c.Problem(fileOf(f.of, x.In), severity, message, hint))
	}
	return problems
}

// certificateOf reads a certificate and its key; nil: the files are those whose sum was before.
func certificateOf(x *config.Certificate, before [sha256.Size]byte) (*tls.Certificate, [sha256.Size]byte, error) {
	pair, sum, err := pairOf(x, before)
	if pair == nil {
		return nil, before, err
	}
	return pair.Certificate, sum, nil
}

// pairOf is certificateOf with what more is known of the files. Errors are flaws.
func pairOf(x *config.Certificate, before [sha256.Size]byte) (*cert.Pair, [sha256.Size]byte, error) {
	bad := &flaws{of: x}
	chain, err := readUpTo(x.Cert, maxCertificate)
	if err != nil {
		bad.list = append(bad.list, unread(err, x.Cert, cert.InCert))
	}
	key, err := readUpTo(x.Key, maxCertificate)
	if err != nil {
		bad.list = append(bad.list, unread(err, x.Key, cert.InKey))
	}
	if len(bad.list) > 0 {
		return nil, before, bad
	}
	chainSum, keySum := sha256.Sum256(chain), sha256.Sum256(key)
	sum := sha256.Sum256(append(chainSum[:], keySum[:]...))
	if sum == before {
		return nil, before, nil
	}
	pair, list := cert.Parse(chain, key)
	if pair == nil {
		bad.list = list
		return nil, before, bad
	}
	return pair, sum, nil
}

// unread is the flaw of a file that cannot be read. The error has its path already.
func unread(err error, path string, in cert.File) cert.Flaw {
	f := cert.Flaw{In: in, Message: strings.TrimSpace(strings.TrimPrefix(strings.TrimPrefix(err.Error(), "read "+path+":"), path))}
	switch {
	case errors.Is(err, fs.ErrPermission):
		f.Hint = "let " + runsAs() + " read the file, and look into the directories on the way to it"
	case errors.Is(err, fs.ErrNotExist):
		f.Hint = "relative paths begin at the directory that Poise is started in"
	}
	return f
}

// runsAs is who the program is to the file system.
func runsAs() string {
	if u, err := user.Current(); err == nil {
		return "the user " + u.Username
	}
	return fmt.Sprintf("the user %d", os.Geteuid())
}

// checkCertificates finds what is wrong with the certificates that are shown to clients, and to servers.
func checkCertificates(c *config.Config) (problems config.Problems) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool() // then none is trusted
	}
	for _, l := range c.Listeners {
		if l.TLS == nil {
			continue
		}
		for _, x := range l.TLS.Certificates {
			problems = append(problems, checkCertificate(c, x, roots, true)...)
		}
	}
	for _, p := range c.Pools {
		if p.ServerTLS != nil && p.ServerTLS.ClientCertificate != nil {
			problems = append(problems, checkCertificate(c, p.ServerTLS.ClientCertificate, roots, false)...)
		}
	}
	return problems
}

// checkCertificate finds what is wrong with a certificate; listens: clients look for names in it.
func checkCertificate(c *config.Config, x *config.Certificate, roots *x509.CertPool, listens bool) config.Problems {
	pair, _, err := pairOf(x, [sha256.Size]byte{})
	var bad *flaws
	if errors.As(err, &bad) {
		return bad.problems(c)
	}
	doubts := &flaws{of: x, list: pair.Doubts(time.Now(), roots)}
	if listens {
		doubts.list = append(doubts.list, pair.Names()...)
	}
	if info, err := os.Stat(x.Key); err == nil && info.Mode()&0o004 != 0 {
		doubts.list = append(doubts.list, cert.Flaw{
			In: cert.InKey, Warning: true, Message: fmt.Sprintf("every user of this system can read the key (its mode is %04o)", info.Mode().Perm()),
			Hint: "chmod o-rwx FILE",
		})
	}
	if x.OCSP != "" && listens {
		var s staple
		if s.renew(x, pair, true, time.Now()); s.flaw != nil {
			doubts.list = append(doubts.list, *s.flaw)
		}
	}
	return doubts.problems(c)
}
