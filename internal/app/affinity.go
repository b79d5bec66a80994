package app

import (
	"crypto/sha256"
	"fmt"

	"poise/internal/affinity"
	"poise/internal/balance"
	"poise/internal/config"
	"poise/internal/pool"
	"poise/internal/siphash"
)

// affinityOf is nil where no affinity is configured.
func affinityOf(c *config.Pool, p *pool.Pool, random []byte) (affinity.Kind, error) {
	switch a := c.Affinity; {
	case a == nil:
		return nil, nil
	case a.Source != nil:
		s := affinity.SourceSettings{Key: keyOf(random), IPv6: a.Source.IPv6Prefix}
		return affinity.NewSource(s, affinity.NewTable(a.Source.Size, a.Source.Idle), p), nil
	case a.Hash != nil:
		return affinity.NewHash(affinity.HashSettings{Key: keyOf(secretOf(a.Hash.Secret, random)), Header: a.Hash.Header, Cookie: a.Hash.Cookie}), nil
	default:
		kind, err := affinity.NewCookie(cookieOf(a.Cookie, random), p)
		if err != nil {
			return nil, fmt.Errorf("pool %s: affinity: %w", c.Name, err)
		}
		return kind, nil
	}
}

// policyFor is the policy of a pool; where clients are known by a value, it chooses for those without one.
func policyFor(c *config.Pool, random []byte) pool.Policy {
	policy := policyOf(c.Policy)
	if c.Affinity != nil && c.Affinity.Hash != nil {
		policy = balance.ByKey(keyOf(secretOf(c.Affinity.Hash.Secret, random)), policy)
	}
	return policy
}

func cookieOf(c *config.Cookie, random []byte) affinity.CookieSettings {
	return affinity.CookieSettings{
		Name: c.Name, Secret: secretOf(c.Secret, random), TTL: c.TTL, Path: c.Path, Domain: c.Domain, SameSite: c.SameSite, Secure: c.Secure,
		Idle: c.Idle, Life: c.Life,
	}
}

// secretOf is the secret that is configured, or else one that holds until the program ends.
func secretOf(s config.Secret, random []byte) []byte {
	if s == "" {
		return random
	}
	return []byte(string(s))
}

// keyOf makes a hash's key of a secret.
func keyOf(secret []byte) siphash.Key {
	sum := sha256.Sum256(append([]byte("poise affinity\x00"), secret...))
	return siphash.KeyFrom([16]byte(sum[:16]))
}
