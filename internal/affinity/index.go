package affinity

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"

	"poise/internal/pool"
)

// index is all tokens of a pool's servers. It is immutable, and replaced when the pool's list of servers is.
type index struct {
	generation uint64                  // of the list of servers
	servers    map[string]*pool.Server // by token
	fields     map[*pool.Server]string // values of Set-Cookie
}

// current returns the index of the servers that the pool has now.
func (c *Cookie) current() *index {
	if x := c.index.Load(); x.generation == c.pool.Generation() {
		return x
	}
	return c.refresh(c.index.Load())
}

// refresh makes and publishes a new index, with old's tokens where there are some. Two loops that do so at the same time
// make equal ones.
func (c *Cookie) refresh(old *index) *index {
	servers, generation := c.pool.Members()
	x := &index{
		generation: generation,
		servers:    make(map[string]*pool.Server, len(servers)),
		fields:     make(map[*pool.Server]string, len(servers)),
	}
	for _, s := range servers {
		var field string
		if old != nil {
			field = old.fields[s]
		}
		if field == "" {
			field = c.name + "=" + token(c.secret, s) + c.attributes
		}
		x.fields[s] = field
		x.servers[field[len(c.name)+1:][:tokenLen]] = s
	}
	c.index.Store(x)
	return x
}

// A token is 16 bytes of a MAC in base64url: as hard to guess as an AES key, and it fits a cookie as it is.
const (
	tokenBytes = 16
	tokenLen   = (tokenBytes*8 + 5) / 6
)

// token makes the token of s: a MAC of the pool's name and the server's address, so that it says nothing to who lacks the
// secret, holds for this pool only, and is the same after a restart and on another balancer with the secret.
func token(secret []byte, s *pool.Server) string {
	mac := hmac.New(sha256.New, secret)
	var length [8]byte // of the name, so that no other name and address give the same input
	binary.BigEndian.PutUint64(length[:], uint64(len(s.Pool)))
	mac.Write(length[:])
	mac.Write([]byte(s.Pool))
	mac.Write([]byte(s.Address))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:tokenBytes])
}
