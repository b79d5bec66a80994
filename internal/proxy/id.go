package proxy

import "encoding/binary"

const hexDigits = "0123456789abcdef"

// newID makes a UUID of version 7 (RFC 9562 section 5.7): 48 bits of milliseconds, then random bits.
func (p *Loop) newID() (id [36]byte) {
	var b [16]byte
	ms := uint64(p.loop.Now().Wall().UnixMilli())
	binary.BigEndian.PutUint64(b[:8], ms<<16|p.random.Uint64()&0x0fff|0x7000)
	binary.BigEndian.PutUint64(b[8:], p.random.Uint64()&(1<<62-1)|1<<63)
	at := 0
	for i, v := range b {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			id[at] = '-'
			at++
		}
		id[at], id[at+1] = hexDigits[v>>4], hexDigits[v&15]
		at += 2
	}
	return id
}
