package secure

import "poise/internal/sys"

// Held is how much memory the connection has for what comes.
func (s *Conn) Held() int {
	records, messages := sys.TLSBuffers(s.tls)
	return records.Cap() + messages.Cap()
}
