package sys

import (
	"errors"
	"net/netip"
	"strings"
)

// Addr is where a socket listens or connects: an IP address with a port, or the path of a Unix socket.
type Addr struct {
	IP   netip.AddrPort
	Path string
}

// ParseAddr reads "ip:port", "[ip]:port", ":port" (every address) or "unix:/path". Names are not looked up.
func ParseAddr(s string) (Addr, error) {
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		if path == "" || len(path) > 107 { // sun_path has 108 bytes with its end
			return Addr{}, errors.New("a Unix socket's path has 1 to 107 bytes")
		}
		return Addr{Path: path}, nil
	}
	if strings.HasPrefix(s, ":") {
		s = "[::]" + s
	}
	ap, err := netip.ParseAddrPort(s)
	if err != nil {
		return Addr{}, errors.New("not an address of the form ip:port")
	}
	return Addr{IP: ap}, nil
}

// Network is the name that package net gives the address's kind.
func (a Addr) Network() string {
	if a.Path != "" {
		return "unix"
	}
	return "tcp"
}

func (a Addr) String() string {
	if a.Path != "" {
		return "unix:" + a.Path
	}
	return a.IP.String()
}

// Dialable is the address as package net wants it.
func (a Addr) Dialable() string {
	if a.Path != "" {
		return a.Path
	}
	return a.IP.String()
}
