package admin

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// guard lets through to next only who may ask. Reading is free over a Unix socket, where file rights decide, and over loopback. What
// is left to fear there is a browser on the same machine that a foreign page sends here: under a name of its own that it lets point
// to 127.0.0.1 (Host), or across sites (Origin, Sec-Fetch-Site). On other addresses only the two health paths are open.
func guard(configured string, next http.Handler) http.Handler {
	name := hostOf(configured)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		local, tcp := localIP(r)
		switch {
		case tcp && !knownHost(hostOf(r.Host), name, local):
			text(w, http.StatusMisdirectedRequest, "this is Poise's admin address, and it does not answer to the name in the Host field\n")
		case foreign(r):
			text(w, http.StatusForbidden, "requests that another site's page starts are refused\n")
		case tcp && !(local.IsLoopback() && remoteIsLoopback(r)) && r.URL.Path != "/livez" && r.URL.Path != "/readyz":
			text(w, http.StatusForbidden, "only /livez and /readyz are open over the network; ask over loopback or a Unix socket for the rest\n")
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// localIP returns the address that the connection came in on. Only a Unix socket has none; what cannot be told counts as the network.
func localIP(r *http.Request) (ip netip.Addr, tcp bool) {
	switch a := r.Context().Value(http.LocalAddrContextKey).(type) {
	case *net.UnixAddr:
		return netip.Addr{}, false
	case *net.TCPAddr:
		return a.AddrPort().Addr().Unmap(), true
	}
	return netip.Addr{}, true
}

func remoteIsLoopback(r *http.Request) bool {
	a, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && a.Addr().Unmap().IsLoopback()
}

// knownHost tells whether host is a name that only we have here. No Host at all (HTTP/1.0, as some load balancers probe) is no
// browser's doing. From the network any address will do, as it may be translated on the way: only names can be made to point here.
func knownHost(host, configured string, local netip.Addr) bool {
	if host == "" || host == "localhost" || host == configured {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && (ip.Unmap().IsLoopback() || ip.Unmap() == local || !local.IsLoopback())
}

// foreign tells whether a browser says that something other than our own page, or the person at the address line, asks.
func foreign(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "none", "same-origin":
	default:
		return true
	}
	for _, origin := range r.Header.Values("Origin") {
		// "null", which sandboxed pages send, has no host and so is foreign.
		u, err := url.Parse(origin)
		if err != nil || u.Host == "" || !strings.EqualFold(u.Host, r.Host) {
			return true
		}
	}
	return false
}

// hostOf returns the host of host or host:port, without brackets and a trailing dot, in lower case.
func hostOf(hostport string) string {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	return strings.ToLower(strings.TrimSuffix(host, "."))
}
