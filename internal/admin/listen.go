package admin

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"poise/internal/sys"
)

// maxSocketPath is what fits into sun_path with its final zero on Linux; the BSDs have four less.
const maxSocketPath = 107

// Listen binds host:port or unix:/path. A Unix socket can be used by its owner alone (0600). One that a dead process left behind is
// replaced; one that somebody answers on is an error.
func Listen(address string) (net.Listener, error) {
	path, ok := strings.CutPrefix(address, "unix:")
	if !ok {
		l, err := net.Listen("tcp", address)
		if sys.IsAddrInUse(err) {
			err = errors.New("the address is in use by another process; stop that one, or change the admin address")
		}
		if err != nil {
			return nil, fmt.Errorf("listen on the admin address %s: %w", address, err)
		}
		return l, nil
	}
	l, err := listenUnix(path)
	if err != nil {
		return nil, fmt.Errorf("listen on the admin socket %s: %w", path, err)
	}
	return l, nil
}

// listenUnix binds in a directory that nobody else can enter, sets the rights there, and moves the socket to its place: so nobody can
// connect before the rights are right, and a stale socket is replaced in one step.
func listenUnix(path string) (_ net.Listener, err error) {
	if err := replaceable(path); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), ".")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	private := filepath.Join(dir, "s")
	if n := max(len(path), len(private)); n > maxSocketPath {
		return nil, fmt.Errorf("the path is %d bytes too long for a socket", n-maxSocketPath)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: private, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false) // it would look for the private path
	if err = errors.Join(os.Chmod(private, 0o600), os.Rename(private, path)); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	made, err := os.Lstat(path)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return &socket{UnixListener: l, path: path, made: made}, nil
}

// replaceable tells why the path cannot be taken, if so.
func replaceable(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return errors.New("something that is not a socket is in its place")
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	switch {
	case err == nil:
		return errors.Join(errors.New("another process answers there; is Poise running already?"), c.Close())
	case sys.IsRefused(err):
		return nil // nobody listens there any more
	}
	return fmt.Errorf("the socket there cannot be replaced, as it may be in use: %w", err)
}

// socket is a Unix listener that goes by the path it was moved to, and removes it when closed, unless a successor has taken it.
type socket struct {
	*net.UnixListener
	path string
	made os.FileInfo
	once sync.Once
}

func (s *socket) Addr() net.Addr { return &net.UnixAddr{Name: s.path, Net: "unix"} }

func (s *socket) Close() error {
	s.once.Do(func() {
		if now, err := os.Lstat(s.path); err == nil && os.SameFile(now, s.made) {
			_ = os.Remove(s.path) // what stays behind is replaced at the next start
		}
	})
	return s.UnixListener.Close()
}
