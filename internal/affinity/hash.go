package affinity

import (
	"bytes"
	"net/netip"

	"poise/internal/clock"
	"poise/internal/msg"
	"poise/internal/pool"
	"poise/internal/siphash"
)

// HashSettings say what a client is known by: one of Header and Cookie.
type HashSettings struct {
	Key    siphash.Key // balancers with the same one make the same keys
	Header string      // a field's name, in any case; of several such fields the first one that is not empty counts
	Cookie string      // a cookie's name
}

// Hash is a Kind: what a client sends decides, and nothing is remembered. It only makes the key; balance.ByKey chooses by it.
type Hash struct {
	key    siphash.Key
	header []byte
	cookie string
}

// NewHash returns the affinity by a value.
func NewHash(s HashSettings) *Hash {
	return &Hash{key: s.Key, header: []byte(s.Header), cookie: s.Cookie}
}

// Find makes a key of the request's value. Without one the policy chooses.
func (h *Hash) Find(_ clock.Instant, _ netip.Addr, fields msg.Fields) Found {
	value := h.value(fields)
	if len(value) == 0 {
		return Found{}
	}
	return Found{Key: max(1, siphash.Sum(h.key, value))}
}

// Keep has nothing to note: the value is the client's own.
func (h *Hash) Keep(_ clock.Instant, _ *Found, _ *pool.Server, dst []byte) []byte { return dst }

func (h *Hash) value(fields msg.Fields) []byte {
	if h.cookie != "" {
		value, _ := fields.Cookie(h.cookie, msg.AnyLength)
		return value
	}
	for i := range fields {
		f := &fields[i]
		if len(f.Name) == len(h.header) && len(f.Value) > 0 && bytes.EqualFold(f.Name, h.header) {
			return f.Value
		}
	}
	return nil
}
