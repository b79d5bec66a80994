// Package cert decides which certificate answers a ClientHello, and what is wrong with the files of one.
//
// It is told what is in the files and what time it is, and reads neither. A Store is a plain value: it never changes once it is made. Start reading at
// Store.Choose, and at Parse (pair.go, pem.go).
package cert

import (
	"crypto/tls"
	"strings"
)

// Store has the certificates of a listener by the names that they are for. A look-up takes as long with ten thousand certificates as with one.
type Store struct {
	exact    map[string][]*tls.Certificate // by name, in lower case
	wildcard map[string][]*tls.Certificate // by what follows "*."
	others   []*tls.Certificate            // for all other names; empty: they get none
}

// New makes a store of certificates, whose Leaf has to be there. Of several for one name the earlier ones come first. Unknown names, and clients that give
// none, get the first certificate, or one with another kind of key that is for the same name; with strict they get none.
func New(certificates []*tls.Certificate, strict bool) *Store {
	s := &Store{exact: map[string][]*tls.Certificate{}, wildcard: map[string][]*tls.Certificate{}}
	for _, c := range certificates {
		for _, name := range c.Leaf.DNSNames {
			s.add(normal(name), c)
		}
	}
	if strict || len(certificates) == 0 {
		return s
	}
	s.others = certificates[:1]
	if names := certificates[0].Leaf.DNSNames; len(names) > 0 {
		s.others = s.of(normal(names[0]))
	}
	return s
}

// add takes in that c is for name. A certificate may have a name twice.
func (s *Store) add(name string, c *tls.Certificate) {
	in := s.exact
	if rest, ok := strings.CutPrefix(name, "*."); ok {
		in, name = s.wildcard, rest
	}
	if list := in[name]; len(list) == 0 || list[len(list)-1] != c {
		in[name] = append(list, c)
	}
}

// of are the certificates that have this name, which may be a wildcard itself.
func (s *Store) of(name string) []*tls.Certificate {
	if rest, ok := strings.CutPrefix(name, "*."); ok {
		return s.wildcard[rest]
	}
	return s.exact[name]
}

// Choose returns the certificate for a client, or nil if it gets none: a tls.Config without certificates of its own then sends the alert unrecognized_name. It
// is what tls.Config.GetCertificate wants.
func (s *Store) Choose(hello *tls.ClientHelloInfo) *tls.Certificate {
	list := s.named(normal(hello.ServerName))
	if len(list) == 0 {
		list = s.others
	}
	switch len(list) {
	case 0:
		return nil
	case 1:
		return list[0]
	}
	nameless := *hello
	nameless.ServerName = "" // it has led here, or is nobody's: only the key matters now
	for _, c := range list {
		if nameless.SupportsCertificate(c) == nil {
			return c
		}
	}
	return list[0] // the handshake fails, and says by what
}

// named are the certificates for a name that a client asks for: those that have it, else those that have the wildcard for its first label.
func (s *Store) named(name string) []*tls.Certificate {
	if list := s.exact[name]; len(list) > 0 {
		return list
	}
	label, rest, _ := strings.Cut(name, ".")
	if label == "" || label == "*" {
		return nil
	}
	return s.wildcard[rest]
}

// normal is a name as the maps have it.
func normal(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }
