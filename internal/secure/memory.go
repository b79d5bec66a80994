package secure

import (
	"bytes"
	"crypto/tls"

	"poise/internal/sys"
)

// Memory is what connections of one loop share. A tls.Conn has memory for what comes only while it opens it, or makes its handshake.
type Memory struct {
	gather []byte
	hello  [][]byte // free buffers of handshakes
	record [][]byte // free buffers of records
}

const (
	// helloBuffer has room for the messages of most handshakes.
	helloBuffer = 4 << 10
	// recordBuffer has room for the largest record, its header, and what crypto/tls wants beyond that before it reads.
	recordBuffer = maxRecord + 1<<10
	// freeBuffers bounds how many buffers of a kind are kept.
	freeBuffers = 32
	// leaveFrom is how much of a record that is not complete stays where it is, since the next bytes will follow soon. Less is moved into memory of its own
	// size, so that a client that sends the beginnings of records does not hold whole buffers.
	leaveFrom = 4 << 10
)

// lendHello gives c memory for a handshake.
func (m *Memory) lendHello(c *tls.Conn) {
	if records, messages := sys.TLSBuffers(c); records != nil {
		*records = *bytes.NewBuffer(take(&m.hello, helloBuffer))
		*messages = *bytes.NewBuffer(take(&m.hello, helloBuffer))
	}
}

// lend gives c memory to collect what comes.
func (m *Memory) lend(c *tls.Conn) {
	if records, _ := sys.TLSBuffers(c); records != nil && records.Cap() < recordBuffer {
		*records = *bytes.NewBuffer(append(take(&m.record, recordBuffer), records.Bytes()...))
	}
}

// takeBack takes the memory that c does not need in order to wait.
func (m *Memory) takeBack(c *tls.Conn) {
	records, messages := sys.TLSBuffers(c)
	if records == nil {
		return
	}
	m.clear(messages)
	if n := records.Len(); n > 0 && n < leaveFrom {
		rest := append([]byte(nil), records.Bytes()...)
		records.Reset()
		m.clear(records)
		*records = *bytes.NewBuffer(rest)
	}
	m.clear(records)
}

// clear takes the memory of an empty buffer.
func (m *Memory) clear(b *bytes.Buffer) {
	if b.Len() > 0 || b.Cap() == 0 {
		return
	}
	b.Reset()
	mem := b.AvailableBuffer()
	switch *b = (bytes.Buffer{}); {
	case cap(mem) == helloBuffer && len(m.hello) < freeBuffers:
		m.hello = append(m.hello, mem)
	case cap(mem) == recordBuffer && len(m.record) < freeBuffers:
		m.record = append(m.record, mem)
	}
}

func take(free *[][]byte, size int) []byte {
	n := len(*free)
	if n == 0 {
		return make([]byte, 0, size)
	}
	b := (*free)[n-1]
	*free = (*free)[:n-1]
	return b
}
