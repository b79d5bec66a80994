package config

import "net/netip"

// certificate checks that there is a key with it.
func (c *checker) certificate(x *Certificate) {
	if c.broken[x] {
		return
	}
	for _, k := range []struct {
		key  string
		file *string
	}{{"cert", &x.Cert}, {"key", &x.Key}} {
		if *k.file == "" && !c.broken[k.file] {
			at := c.at[x]
			if c.set(k.file) {
				at = c.at[k.file]
			}
			c.report(at, "a certificate without "+k.key, "add "+k.key+": FILE, in PEM")
		}
	}
	if x.OCSP == "" && c.good(&x.OCSP) {
		c.complain(&x.OCSP, "ocsp: empty", "leave it out to send none")
	}
}

// serverTLS checks how a pool's servers are known.
func (c *checker) serverTLS(p *Pool) {
	x := p.ServerTLS
	c.knownBy(&x.ServerName, &x.CA, &x.Insecure)
	if x.ClientCertificate != nil {
		c.certificate(x.ClientCertificate)
		if ocsp := &x.ClientCertificate.OCSP; c.good(ocsp) {
			c.warn(c.at[ocsp], "ocsp has no effect: servers are not sent it", "leave it out")
		}
	}
	if x.Insecure && !c.broken[&x.Insecure] {
		c.warn(c.at[&x.Insecure], "insecure: who stands between can read and change everything", "name who signs the servers' certificates: ca: FILE")
	}
	if x.ServerName != "" || x.Insecure {
		return
	}
	for _, s := range p.Servers {
		if _, unix := s.Address.Unix(); unix && c.good(&s.Address) {
			c.complain(&s.Address, "a server at a Unix socket has no name that its certificate could be for", "add server_name: NAME to server_tls")
		}
	}
}

// knownBy checks how a server is known over TLS.
func (c *checker) knownBy(name, ca *string, insecure *bool) {
	if c.good(name) {
		if _, err := netip.ParseAddr(*name); err != nil {
			if err := checkHostName(*name); err != nil {
				c.fault(name, "server_name", err)
			}
		}
	}
	switch {
	case !c.good(ca):
	case *ca == "":
		c.complain(ca, "ca: empty", "leave it out to trust whom the system trusts")
	case *insecure && !c.broken[insecure]:
		c.warn(c.at[ca], "ca has no effect: insecure takes any certificate", "")
	}
}
