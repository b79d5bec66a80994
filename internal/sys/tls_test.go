package sys

import (
	"bytes"
	"crypto/tls"
	"net"
	"testing"
)

// TestTLSBuffers fails where crypto/tls has its buffers elsewhere: what comes has to be found in the one for records.
func TestTLSBuffers(t *testing.T) {
	client, server := net.Pipe()
	c := tls.Server(server, &tls.Config{})
	go func() {
		_, _ = client.Write([]byte{22, 3, 1})
		_ = client.Close()
	}()
	if err := c.Handshake(); err == nil {
		t.Fatal("the handshake succeeds with 3 bytes")
	}
	records, messages := TLSBuffers(c)
	if records == nil || messages == nil {
		t.Fatal("TLSBuffers() = nil: this crypto/tls is unknown, and every idle connection keeps the memory of its largest record")
	}
	if got := records.Bytes(); !bytes.Equal(got, []byte{22, 3, 1}) {
		t.Errorf("the buffer of records has % x, want 16 03 01", got)
	}
	if messages.Len() != 0 {
		t.Errorf("the buffer of messages has % x, want nothing", messages.Bytes())
	}
}
