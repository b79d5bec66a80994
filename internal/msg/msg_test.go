package msg

import (
	"strings"
	"testing"
)

func TestLookup(t *testing.T) {
	for id := Other + 1; id < numIDs; id++ {
		name := id.String()
		if name == "" {
			t.Fatalf("ID %d has no name", id)
		}
		for _, spelled := range []string{name, strings.ToUpper(name), strings.ToUpper(name[:1]) + name[1:]} {
			if got := Lookup([]byte(spelled)); got != id {
				t.Errorf("Lookup(%s) = %v, want %v", spelled, got, id)
			}
		}
		for _, near := range []string{name + "x", name[1:], strings.ReplaceAll(name, "-", "_"), name[:len(name)-1] + "\x01", name[:1] + "\r" + name[1:]} {
			if got := Lookup([]byte(near)); near != name && got != slowLookup(near) {
				t.Errorf("Lookup(%q) = %v, want %v", near, got, slowLookup(near))
			}
		}
	}
	for name, want := range map[string]ID{
		"": Other, "x": Other, "\xe2\x84\xaaeep-alive": Other, "content\rlength": Other, "X-Client-Cert-Chain": XClientCert,
		"X-CLIENT-CERTIFICATE": XClientCert, "x-client-cer": Other, "x-client-cers": Other, "y-client-cert": Other, "x_client_cert_chain": Other,
		"Client-Cert-Chain": ClientCert, "CLIENT-CERTS": ClientCert, "client-cer": Other, "client-cers": Other, "client_cert": Other, "x-forwarded-fo": Other,
	} {
		if got := Lookup([]byte(name)); got != want {
			t.Errorf("Lookup(%q) = %v, want %v", name, got, want)
		}
	}
}

// TestLookupSlots holds that every name has a slot of its own.
func TestLookupSlots(t *testing.T) {
	taken := map[uint8]ID{}
	for id := Other + 1; id < numIDs; id++ {
		s := slot([]byte(idNames[id]))
		if other, ok := taken[s]; ok {
			t.Errorf("slot(%v) = slot(%v) = %d, want two slots", id, other, s)
		}
		taken[s] = id
	}
}

// slowLookup is Lookup as a search. Whatever follows the prefix, be it no part of a name, it is a field of the kind that clients may not send.
func slowLookup(name string) ID {
	name = strings.Map(func(c rune) rune {
		if 'A' <= c && c <= 'Z' {
			return c + 'a' - 'A'
		}
		return c
	}, name)
	for id := Other + 1; id < numIDs; id++ {
		if idNames[id] == name {
			return id
		}
	}
	switch {
	case strings.HasPrefix(name, "x-"+clientCertPrefix):
		return XClientCert
	case strings.HasPrefix(name, clientCertPrefix):
		return ClientCert
	}
	return Other
}

func FuzzLookup(f *testing.F) {
	for id := range numIDs {
		f.Add(id.String())
	}
	f.Fuzz(func(t *testing.T, name string) {
		if got, want := Lookup([]byte(name)), slowLookup(name); got != want {
			t.Fatalf("Lookup(%q) = %v, want %v", name, got, want)
		}
	})
}

func TestFieldsGet(t *testing.T) {
	fs := Fields{
		{Name: []byte("X-A"), Value: []byte("1")},
		{Name: []byte("HOST"), Value: []byte("h"), ID: Host},
		{Name: []byte("x-a"), Value: []byte("2")},
	}
	if v, ok := fs.Get(Host); string(v) != "h" || !ok {
		t.Errorf("Get(Host) = %q, %t, want h, true", v, ok)
	}
	if v, ok := fs.Get(Cookie); v != nil || ok {
		t.Errorf("Get(Cookie) = %q, %t, want nothing", v, ok)
	}
}

func TestHasUnderscore(t *testing.T) {
	for name, want := range map[string]bool{"X_A": true, "_": true, "X-A": false, "": false} {
		f := Field{Name: []byte(name)}
		if got := f.HasUnderscore(); got != want {
			t.Errorf("HasUnderscore(%s) = %t, want %t", name, got, want)
		}
	}
}

func TestEqualFold(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"Host", "host", true},
		{"HOST", "host", true},
		{"", "", true},
		{"host", "hos", false},
		{"@", "`", false},
		{"[", "{", false},
		{"\r", "-", false},
		{"\u212a", "k", false},
		{"\u017f", "s", false},
	} {
		if got := EqualFold([]byte(c.a), c.b); got != c.want {
			t.Errorf("EqualFold(%q, %q) = %t, want %t", c.a, c.b, got, c.want)
		}
		if got := EqualFoldBytes([]byte(c.b), []byte(c.a)); got != c.want {
			t.Errorf("EqualFoldBytes(%q, %q) = %t, want %t", c.b, c.a, got, c.want)
		}
	}
}

func TestHopByHop(t *testing.T) {
	for id, want := range map[ID]bool{
		Connection: true, KeepAlive: true, ProxyConnection: true, TE: true, TransferEncoding: true, Upgrade: true, HTTP2Settings: true,
		ProxyAuthorization: true, ProxyAuthenticate: true, Trailer: false, Host: false, ContentLength: false, Other: false, Authorization: false,
	} {
		if got := HopByHop(id); got != want {
			t.Errorf("HopByHop(%v) = %t, want %t", id, got, want)
		}
	}
}

func TestTrailerAllowed(t *testing.T) {
	for name, want := range map[string]bool{
		"Grpc-Status": true, "ETag": true, "Server-Timing": true, "Digest": true, "X-Checksum": true, "Via": true,
		"Content-Length": false, "Transfer-Encoding": false, "Host": false, "Authorization": false, "Cookie": false, "Set-Cookie": false,
		"X-Forwarded-For": false, "X-Forwarded-New": false, "Trailer": false, "TE": false, "If-None-Match": false, "Age": false,
		"X_Checksum": false, "X-Client-Cert": false, "X-Client-Cert-Dn": false, "Expect": false, "Location": false, "Date": false,
	} {
		f := Field{Name: []byte(name), ID: Lookup([]byte(name))}
		if got := TrailerAllowed(&f); got != want {
			t.Errorf("TrailerAllowed(%s) = %t, want %t", name, got, want)
		}
	}
}

func TestReset(t *testing.T) {
	r := Request{Fields: make(Fields, 3, 10), Connection: make([][]byte, 1, 5), Path: []byte("/"), Length: 5}
	if r.Reset(); len(r.Fields) != 0 || cap(r.Fields) != 10 || cap(r.Connection) != 5 || r.Path != nil || r.Length != 0 {
		t.Errorf("Reset left %+v", r)
	}
	a := Response{Fields: make(Fields, 3, 10), Status: 200}
	if a.Reset(); len(a.Fields) != 0 || cap(a.Fields) != 10 || a.Status != 0 || a.KeepAliveTimeout != -1 {
		t.Errorf("Reset left %+v", a)
	}
}

func TestLookupDoesNotAllocate(t *testing.T) {
	name := []byte("X-Forwarded-Prefix")
	fs := Fields{{Name: name, ID: XForwardedPrefix}}
	if n := testing.AllocsPerRun(100, func() { _, _ = Lookup(name), HopByHop(fs[0].ID) }); n != 0 {
		t.Errorf("Lookup: %v allocations, want 0", n)
	}
}
