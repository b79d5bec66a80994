package app

import (
	"fmt"

	"poise/internal/affinity"
	"poise/internal/config"
	"poise/internal/pool"
)

// affinityOf is nil where no affinity is configured.
func affinityOf(c *config.Pool, p *pool.Pool, random []byte) (affinity.Kind, error) {
	if c.Affinity == nil || c.Affinity.Cookie == nil {
		return nil, nil
	}
	kind, err := affinity.NewCookie(cookieOf(c.Affinity.Cookie, random), p)
	if err != nil {
		return nil, fmt.Errorf("pool %s: affinity: %w", c.Name, err)
	}
	return kind, nil
}

func cookieOf(c *config.Cookie, random []byte) affinity.CookieSettings {
	return affinity.CookieSettings{
		Name: c.Name, Secret: secretOf(c.Secret, random), TTL: c.TTL, Path: c.Path, Domain: c.Domain, SameSite: c.SameSite, Secure: c.Secure,
	}
}

// secretOf is the secret that is configured, or else one that holds until the program ends.
func secretOf(s config.Secret, random []byte) []byte {
	if s == "" {
		return random
	}
	return []byte(string(s))
}
