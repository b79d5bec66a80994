package h1

import (
	"bytes"
	"net/netip"

	"poise/internal/msg"
)

// setHost finds the request's authority and checks it. The target's wins over the Host field (RFC 9112 §3.2.2), which must
// be right all the same.
func setHost(r *msg.Request, f *framing) error {
	if f.hosts > 1 {
		return errHosts
	}
	if f.hosts == 0 && f.minor == 1 {
		return errNoHost
	}
	var host []byte
	if f.hosts == 1 {
		var err error
		if host, err = parseAuthority(f.host); err != nil {
			return err
		}
	}
	if r.Authority == nil {
		r.Authority, r.Host = f.host, host
		return nil
	}
	var err error
	r.Host, err = parseAuthority(r.Authority)
	return err
}

// parseAuthority checks a host and optional port, makes them lower case in place, and returns the host as routes match it:
// without the port and without a trailing dot. An IPv6 address keeps its brackets.
//
// User information, lists, percent-encoding, empty labels and an empty port are refused, although a "reg-name" of RFC 3986 may
// hold almost anything: no host that exists needs them, and they are read in more than one way.
func parseAuthority(b []byte) ([]byte, error) {
	if len(b) == 0 {
		return nil, errNoHost
	}
	end := 0
	if b[0] == '[' {
		end = bytes.IndexByte(b, ']') + 1
		if !isIPv6(b[:end]) {
			return nil, errHost
		}
		lower(b[:end])
	} else if end = lowerName(b); end == 0 {
		return nil, errHost
	}
	if end < len(b) && !isPort(b[end:]) {
		return nil, errHost
	}
	host := b[:end:end]
	if host[end-1] == '.' {
		host = host[:end-1]
	}
	return host, nil
}

// lowerName makes the name or IPv4 address at the start of b lower case, in place, and returns its length; 0 if there is none.
func lowerName(b []byte) int {
	n := 0
	for ; n < len(b) && class[b[n]]&isHost != 0; n++ {
		if b[n] == '.' && (n == 0 || b[n-1] == '.') {
			return 0
		}
		b[n] = msg.Lower(b[n])
	}
	if n > maxHost {
		return 0
	}
	return n
}

// isIPv6 checks an address in brackets. ParseAddr wants a string, and so this is the one allocation of a parse; it is short, and
// few clients name a server so.
func isIPv6(b []byte) bool {
	const longest = len("[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]")
	if len(b) < 2 || len(b) > longest || bytes.IndexByte(b, '%') >= 0 {
		return false
	}
	a, err := netip.ParseAddr(string(b[1 : len(b)-1]))
	return err == nil && a.Is6()
}

// isPort checks ":" and a number up to 65535.
func isPort(b []byte) bool {
	if b[0] != ':' || len(b) < 2 || len(b) > len(":65535") {
		return false
	}
	n := 0
	for _, c := range b[1:] {
		if c < '0' || c > '9' {
			return false
		}
		n = n*10 + int(c-'0')
	}
	return n <= 65535
}
