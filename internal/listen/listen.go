// Package listen binds listening sockets: one per loop for a TCP address, so that the kernel spreads connections over the loops.
//
// It never accepts: the loops do. Start reading at Bind.
package listen

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"poise/internal/sys"
)

// Socket is one address with its listening descriptors, one for each loop.
type Socket struct {
	Address string // as it is really bound: with the port that the system chose for port 0
	FDs     []int

	path string // of a Unix socket's file, to be removed
}

// Bind opens n listening sockets on "ip:port", ":port" or "unix:/path". The error names the address and says what to change. The sockets belong
// to the caller; Close removes a Unix socket's file.
func Bind(address string, n int) (*Socket, error) {
	a, err := sys.ParseAddr(address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	if a.Path != "" {
		return bindUnix(a, n)
	}
	if strings.HasPrefix(address, ":") && !sys.HasIPv6() {
		a.IP = netip.AddrPortFrom(netip.IPv4Unspecified(), a.IP.Port())
	}
	if a.IP.Port() != 0 {
		// Sockets that share a port would also join those of another process of the same user, and take a part of its connections: a socket that does not
		// share finds that out.
		fd, err := sys.Listen(a, false)
		if err != nil {
			return nil, explain(address, err)
		}
		_ = sys.Close(fd)
	}
	s := &Socket{}
	for range n {
		fd, err := sys.Listen(a, true)
		if err != nil {
			s.closeAll()
			return nil, explain(address, err)
		}
		s.FDs = append(s.FDs, fd)
		if a.IP.Port() == 0 {
			a.IP = sys.LocalAddr(fd).IP
		}
	}
	s.Address = a.String()
	return s, nil
}

// bindUnix opens one socket, which all loops share: the kernel has no sharing by copies for these.
func bindUnix(a sys.Addr, n int) (*Socket, error) {
	if err := removeStale(a.Path); err != nil {
		return nil, err
	}
	fd, err := sys.Listen(a, false)
	if err != nil {
		return nil, explain(a.String(), err)
	}
	s := &Socket{Address: a.String(), path: a.Path, FDs: []int{fd}}
	for len(s.FDs) < n {
		d, err := sys.Dup(fd)
		if err != nil {
			s.closeAll()
			return nil, explain(a.String(), err)
		}
		s.FDs = append(s.FDs, d)
	}
	return s, nil
}

// removeStale removes a socket's file that nobody listens on any more. Other files are left alone.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return nil // not there; whatever else is wrong, bind tells
	}
	if info.Mode()&os.ModeSocket == 0 {
		return fmt.Errorf("listen on unix:%s: a file that is no socket is there; remove it or choose another path", path)
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		_ = c.Close()
		return fmt.Errorf("listen on unix:%s: another process listens there; stop it or choose another path", path)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("listen on unix:%s: a stale socket cannot be removed: %w", path, err)
	}
	return nil
}

// Close removes a Unix socket's file. The descriptors are closed by those who took them over.
func (s *Socket) Close() {
	if s.path != "" {
		_ = os.Remove(s.path)
	}
}

func (s *Socket) closeAll() {
	for _, fd := range s.FDs {
		_ = sys.Close(fd)
	}
	s.Close()
}

// Abandon closes the descriptors too: nobody took them over.
func (s *Socket) Abandon() { s.closeAll() }

func explain(address string, err error) error {
	switch {
	case sys.IsAddrInUse(err):
		return fmt.Errorf("listen on %s: the address is in use by another process; stop that one, or change the address in the configuration", address)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("listen on %s: not allowed; ports below 1024 need root or CAP_NET_BIND_SERVICE", address)
	case sys.IsNotLocal(err):
		return fmt.Errorf("listen on %s: no interface of this machine has the address", address)
	}
	return fmt.Errorf("listen on %s: %w", address, err)
}
