package sys

import (
	"bytes"
	"strings"
	"testing"
)

func TestParseAddr(t *testing.T) {
	for in, want := range map[string]string{
		"127.0.0.1:80": "127.0.0.1:80", "[::1]:80": "[::1]:80", ":80": "[::]:80", "unix:/run/x.sock": "unix:/run/x.sock",
		"": "", "80": "", "host:80": "", "127.0.0.1": "", "unix:": "", "unix:/" + strings.Repeat("x", 107): "", "127.0.0.1:65536": "",
	} {
		a, err := ParseAddr(in)
		if got := a.String(); (err == nil) != (want != "") || (err == nil && got != want) {
			t.Errorf("ParseAddr(%q) = %s, %v; want %q", in, got, err, want)
		}
	}
}

func TestSlab(t *testing.T) {
	for name, s := range map[string]*Slab{"heap": NewHeapSlab(64, 70, true), "mapped": NewMappedSlab(64, 70, true)} {
		seen := map[int32]bool{}
		for range 70 {
			b, id, ok := s.Get()
			if !ok || len(b) != 64 || seen[id] {
				t.Fatalf("%s: Get = %d bytes, id %d, %v", name, len(b), id, ok)
			}
			seen[id] = true
			copy(b, "in use")
		}
		if _, _, ok := s.Get(); ok || s.InUse() != 70 {
			t.Errorf("%s: Get gave more than the bound of 70; %d in use", name, s.InUse())
		}
		s.Put(7)
		if !bytes.Equal(s.Buf(7), bytes.Repeat([]byte{0xdb}, 64)) {
			t.Errorf("%s: a buffer that was given back is not poisoned", name)
		}
		if _, id, ok := s.Get(); id != 7 || !ok {
			t.Errorf("%s: Get = %d, %v; want 7, the last one given back", name, id, ok)
		}
		s.Close()
	}
}
