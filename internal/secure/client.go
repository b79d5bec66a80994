package secure

import (
	"crypto/tls"

	"poise/internal/fiber"
)

// Client is Server for a connection that was dialled.
func Client(c *fiber.Conn, config *tls.Config, m *Memory) (*Conn, error) {
	return handshake(c, m, func(w *wire) *tls.Conn { return tls.Client(w, config) })
}
