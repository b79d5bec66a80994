package exchange

import (
	"encoding/base64"
	"net/netip"

	"poise/internal/msg"
	"poise/internal/route"
)

// Identity is what is known of a client at a listener that asks for certificates. It is made once for a connection.
type Identity struct {
	name  []byte // the host that the handshake was for, in lower case; empty: it named none
	cert  []byte // the values of Client-Cert and Client-Cert-Chain; empty: none
	chain []byte
	// subject is the certificate's, as RFC 4514 writes it.
	subject []byte
}

// about is what routes can be for of a request, beside its head.
func (x *Exchange) about() route.About {
	a := route.About{From: x.From, ServerName: x.Client.ServerName}
	if i := x.Client.Identity; i != nil {
		a.Identified, a.Subject = len(i.cert) > 0, i.subject
	}
	return a
}

// NewIdentity is that of a client whose handshake was for the host name, and which has shown the certificates of chain, in DER: its own, whose subject is
// given too, and those between it and the authority that is trusted. Empty: it has shown none.
func NewIdentity(name string, chain [][]byte, subject string) *Identity {
	i := &Identity{name: []byte(name), subject: []byte(subject)}
	for at, c := range i.name {
		i.name[at] = msg.Lower(c)
	}
	for at, der := range chain {
		switch at {
		case 0:
			i.cert = byteSequence(nil, der)
		case 1:
			i.chain = byteSequence(nil, der)
		default:
			i.chain = byteSequence(append(i.chain, ", "...), der)
		}
	}
	return i
}

// byteSequence appends b as RFC 8941 section 3.3.5 has it.
func byteSequence(dst, b []byte) []byte {
	return append(base64.StdEncoding.AppendEncode(append(dst, ':'), b), ':')
}

// misdirected tells that a request is for another host than its handshake: what the client has proved there says nothing of the rules here. Who named no host
// in its handshake, as is right for an address (RFC 6066 section 3), may ask for an address.
func (i *Identity) misdirected(host []byte) bool {
	if len(i.name) > 0 {
		return string(i.name) != string(host)
	}
	if n := len(host); n > 1 && host[0] == '[' {
		host = host[1 : n-1]
	}
	_, err := netip.ParseAddr(string(host))
	return err != nil
}

var (
	nameClientCert      = []byte("Client-Cert")
	nameClientCertChain = []byte("Client-Cert-Chain")
)

// identityFields appends what tells a server who the client has proved to be (RFC 9440).
func (x *Exchange) identityFields(dst msg.Fields) msg.Fields {
	i := x.Client.Identity
	if i == nil || len(i.cert) == 0 {
		return dst
	}
	dst = append(dst, msg.Field{Name: nameClientCert, Value: i.cert, ID: msg.ClientCert})
	if len(i.chain) > 0 {
		dst = append(dst, msg.Field{Name: nameClientCertChain, Value: i.chain, ID: msg.ClientCert})
	}
	return dst
}
