package admin

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"poise/internal/sys"
)

// Token is what a request over TCP must carry to change something. It lies in a file that only our user can read, for as long as the program runs.
type Token struct {
	Path string

	hash [sha256.Size]byte
	once sync.Once
}

// tokenForm is what a token looks like. A file with something else in it is nobody's token, and is left alone.
var tokenForm = regexp.MustCompile(`^poise-[0-9a-f]{64}\n?$`)

// maxToken is more than a token's file has.
const maxToken = 100

// WriteToken makes a token and writes it to a new file of mode 0600, in a directory that nobody else can change; if that is missing, it is made with mode 0700.
// The file of a process that has died is replaced: bind the admin address first, so that there is no living one.
func WriteToken(path string) (*Token, error) {
	t, err := writeToken(path)
	if err != nil {
		return nil, fmt.Errorf("write the admin address's token to %s: %w", path, err)
	}
	return t, nil
}

func writeToken(path string) (_ *Token, err error) {
	if err := private(filepath.Dir(path)); err != nil {
		return nil, err
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	var random [32]byte
	_, _ = rand.Read(random[:]) // never fails: it would end the program
	text := "poise-" + hex.EncodeToString(random[:])
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	_, err = io.WriteString(f, text+"\n")
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, errors.Join(err, os.Remove(path))
	}
	return &Token{Path: path, hash: sha256.Sum256([]byte(text))}, nil
}

// private makes the directory if it is not there, and tells why a token cannot lie in it.
func private(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	info, err := os.Lstat(dir)
	switch {
	case err != nil:
		return err
	case !info.IsDir() || !sys.IsOwn(info) || info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("others can change the directory %s: it must be a directory of our own that only we can write", dir)
	}
	return nil
}

func removeStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.Mode().IsRegular() || info.Size() > maxToken:
		return errors.New("something else is in its place")
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if !tokenForm.Match(b) {
		return errors.New("something else is in its place")
	}
	return os.Remove(path)
}

// is compares in a time that does not depend on what is asked.
func (t *Token) is(text string) bool {
	hash := sha256.Sum256([]byte(text))
	return subtle.ConstantTimeCompare(hash[:], t.hash[:]) == 1
}

// Close removes the file, unless a successor has written it.
func (t *Token) Close() {
	t.once.Do(func() {
		if now, err := ReadToken(t.Path); err == nil && t.is(now) {
			_ = os.Remove(t.Path) // what stays behind is replaced at the next start
		}
	})
}

// ReadToken reads the token in a file.
func ReadToken(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }() // only read
	b, err := io.ReadAll(io.LimitReader(f, maxToken))
	if err != nil {
		return "", err
	}
	if !tokenForm.Match(b) {
		return "", fmt.Errorf("%s holds no token", path)
	}
	return strings.TrimSpace(string(b)), nil
}

// TokenPath is where the token of an admin address, host:port as it is bound, lies by default: in /run/poise for root, else below XDG_RUNTIME_DIR, else in a
// directory of our own among the temporary files.
func TokenPath(address string) string {
	name := strings.NewReplacer("/", "_", "%", "_").Replace(address) + ".token"
	switch runtime := os.Getenv("XDG_RUNTIME_DIR"); {
	case os.Geteuid() == 0:
		return filepath.Join("/run/poise", name)
	case filepath.IsAbs(runtime):
		return filepath.Join(runtime, "poise", name)
	}
	return filepath.Join(os.TempDir(), "poise-"+strconv.Itoa(os.Geteuid()), name)
}

// FindToken reads the token of the admin address that a person names: it may be bound to all of the machine's addresses.
func FindToken(address string) (string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", err
	}
	hosts := []string{host, "::", "0.0.0.0"}
	if host == "localhost" || host == "" {
		hosts = append([]string{"127.0.0.1", "::1"}, hosts...)
	}
	var first error
	for _, h := range hosts {
		text, err := ReadToken(TokenPath(net.JoinHostPort(h, port)))
		if err == nil {
			return text, nil
		}
		if first == nil {
			first = err
		}
	}
	return "", first
}
