package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Address is host:port, [v6]:port, :port or unix:/path, checked.
type Address string

// Addresses is a list of addresses that may be written as a single one.
type Addresses []Address

// Unix returns the path of a Unix socket's address.
func (a Address) Unix() (path string, ok bool) { return strings.CutPrefix(string(a), "unix:") }

// HostPort splits an address that is no Unix socket. host is empty for every address of the machine, has no brackets, and may be a name.
func (a Address) HostPort() (host string, port uint16) {
	host, p, err := net.SplitHostPort(string(a))
	if err != nil {
		return "", 0
	}
	n, err := strconv.ParseUint(p, 10, 16)
	if err != nil {
		return "", 0
	}
	return host, uint16(n)
}

// role is what an address is for.
type role uint8

const (
	toListen role = iota // host and port may be left open
	toDial
)

// maxUnixPath is the longest path of a Unix socket: sun_path of 108 bytes with its final zero (unix(7)).
const maxUnixPath = 107

// parseAddress checks an address and writes it in its one form: IP addresses as RFC 5952 has them, names in lower case.
func parseAddress(text string, as role) (Address, error) {
	if path, ok := strings.CutPrefix(text, "unix:"); ok {
		return unixAddress(text, path)
	}
	if strings.HasPrefix(text, "/") {
		return "", &mistake{fmt.Sprintf("%q is no address", text), "write unix:" + text}
	}
	if u, err := url.Parse(text); err == nil && u.Host != "" && strings.Contains(text, "://") {
		host := u.Host
		if u.Port() == "" {
			host += map[string]string{"http": ":80", "https": ":443"}[u.Scheme]
		}
		return "", &mistake{fmt.Sprintf("%q is a URL, not an address", text), "write " + host}
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return "", noPort(text, as)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	switch {
	case port == "":
		return "", &mistake{fmt.Sprintf("%q has no port", text), "write host:port"}
	case err != nil && !digits(port):
		return "", &mistake{fmt.Sprintf("the port %q is not a number", port), ""}
	case err != nil:
		return "", &mistake{fmt.Sprintf("the port %s is more than 65535", port), ""}
	case n == 0 && as == toDial:
		return "", &mistake{fmt.Sprintf("%q has port 0", text), "a server's port is from 1 to 65535"}
	case host == "" && as == toDial:
		return "", &mistake{fmt.Sprintf("%q has no host", text), "write 127.0.0.1:" + port}
	}
	host, err = parseHost(host, strings.HasPrefix(text, "["))
	if err != nil {
		return "", err
	}
	return Address(net.JoinHostPort(host, strconv.FormatUint(n, 10))), nil
}

func unixAddress(text, path string) (Address, error) {
	switch {
	case strings.HasPrefix(path, "//"):
		return "", &mistake{fmt.Sprintf("%q is no address", text), "write unix:/" + strings.TrimLeft(path, "/")}
	case !strings.HasPrefix(path, "/") || path == "/":
		return "", &mistake{fmt.Sprintf("%q has no absolute path", text), "write unix:/run/app.sock"}
	case len(path) > maxUnixPath:
		return "", &mistake{fmt.Sprintf("the path of a Unix socket has at most %d bytes, this one %d", maxUnixPath, len(path)), ""}
	case strings.ContainsRune(path, 0):
		return "", &mistake{"a path cannot hold a zero byte", ""}
	}
	return Address(text), nil
}

// noPort explains an address that does not split into host and port.
func noPort(text string, as role) error {
	m := &mistake{message: fmt.Sprintf("%q has no port", text), hint: "write host:port"}
	addr, err := netip.ParseAddr(strings.Trim(text, "[]"))
	switch {
	case err == nil && addr.Is6():
		m.hint = "write [" + addr.String() + "]:80"
	case text == "":
		m.message = "an empty address"
	case digits(text) && as == toListen:
		m.message, m.hint = fmt.Sprintf("%q is no address", text), `write ":`+text+`"`
	case digits(text):
		m.message, m.hint = fmt.Sprintf("%q is no address", text), "write 127.0.0.1:"+text
	case strings.Count(text, ":") > 1:
		m.message, m.hint = fmt.Sprintf("%q is no address", text), "write host:port, an IPv6 address in brackets"
	case !strings.Contains(text, ":"):
		m.hint = "write " + text + ":80"
	}
	return m
}

func digits(s string) bool {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return s != ""
}

// parseHost checks an IP address or a host name. An empty one is fine.
func parseHost(host string, bracketed bool) (string, error) {
	addr, err := netip.ParseAddr(host)
	switch {
	case err == nil && addr.Is4() && bracketed:
		return "", &mistake{fmt.Sprintf("%q is not an IPv6 address", host), "only those stand in brackets"}
	case err == nil:
		return addr.String(), nil
	case bracketed:
		return "", &mistake{fmt.Sprintf("%q is not an IPv6 address", host), ""}
	case host == "":
		return "", nil
	case host == "*":
		return "", &mistake{`"*" is not a host`, "leave it out, as in :80"}
	}
	if err := checkHostName(host); err != nil {
		return "", err
	}
	return strings.ToLower(host), nil
}

// checkHostName holds a name against RFC 1123 section 2.1, with the underscore that container networks use. A last label of
// digits is taken for a mistyped IPv4 address.
func checkHostName(name string) error {
	name = strings.TrimSuffix(name, ".")
	labels := strings.Split(name, ".")
	if digits(labels[len(labels)-1]) {
		return &mistake{fmt.Sprintf("%q is not an IPv4 address", name), ""}
	}
	if len(name) > 253 {
		return &mistake{"a host name has at most 253 bytes", ""}
	}
	for _, label := range labels {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return &mistake{fmt.Sprintf("%q is not a host name", name), ""}
		}
		for _, c := range []byte(label) {
			if c != '-' && c != '_' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
				return &mistake{fmt.Sprintf("%q is not a host name", name), nonASCII(name)}
			}
		}
	}
	return nil
}

// nonASCII is the hint for a name that is not in ASCII.
func nonASCII(name string) string {
	for _, c := range []byte(name) {
		if c >= 0x80 {
			return "write the form with xn--"
		}
	}
	return ""
}
