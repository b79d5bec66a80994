// Package siphash is SipHash-2-4, a keyed hash made against chosen input: who does not know the key cannot find values that
// collide. [Aumasson and Bernstein 2012]
//
// It is for hash tables and choices, and for tags of 64 bits that can only be tried one by one. Start reading at Sum.
package siphash

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
)

// Key is the secret; the zero Key is one that everybody knows.
type Key [2]uint64

// KeyFrom reads a key from 16 bytes, the first ones counting least as in the reference.
func KeyFrom(b [16]byte) Key {
	return Key{binary.LittleEndian.Uint64(b[:8]), binary.LittleEndian.Uint64(b[8:])}
}

// Sum hashes b.
func Sum(key Key, b []byte) uint64 {
	s := state{key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d, key[0] ^ 0x6c7967656e657261, key[1] ^ 0x7465646279746573}
	length := uint64(len(b)) << 56
	for ; len(b) >= 8; b = b[8:] {
		s.add(binary.LittleEndian.Uint64(b))
	}
	var last [8]byte
	copy(last[:], b)
	s.add(binary.LittleEndian.Uint64(last[:]) | length)
	s.v2 ^= 0xff
	for range 4 {
		s.round()
	}
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3
}

// Address hashes an address, of an IPv6 one so many leading bits. An IPv4 address and its IPv6-mapped form are one.
func Address(key Key, a netip.Addr, ipv6 int) uint64 {
	a = a.Unmap()
	b := a.As16()
	if a.Is6() {
		for i := range b {
			b[i] &= ^byte(0) << min(8, max(0, (i+1)*8-ipv6))
		}
	}
	return Sum(key, b[:])
}

// state is what the hash goes on from, 8 bytes at a time.
type state struct{ v0, v1, v2, v3 uint64 }

func (s *state) add(m uint64) {
	s.v3 ^= m
	s.round()
	s.round()
	s.v0 ^= m
}

func (s *state) round() {
	s.v0 += s.v1
	s.v1 = bits.RotateLeft64(s.v1, 13) ^ s.v0
	s.v0 = bits.RotateLeft64(s.v0, 32)
	s.v2 += s.v3
	s.v3 = bits.RotateLeft64(s.v3, 16) ^ s.v2
	s.v0 += s.v3
	s.v3 = bits.RotateLeft64(s.v3, 21) ^ s.v0
	s.v2 += s.v1
	s.v1 = bits.RotateLeft64(s.v1, 17) ^ s.v2
	s.v2 = bits.RotateLeft64(s.v2, 32)
}
