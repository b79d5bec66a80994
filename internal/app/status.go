package app

import (
	"time"
)

// Status is the program's state at one moment, as a person or a tool wants to see it. Its JSON form is part of the admin API.
type Status struct {
	Version   string           `json:"version"`
	Started   time.Time        `json:"started"`
	Driver    string           `json:"driver"`
	Loops     int              `json:"loops"`
	Draining  bool             `json:"draining"`
	Ready     bool             `json:"ready"`
	Listeners []ListenerStatus `json:"listeners"`
	Pools     []PoolStatus     `json:"pools"`
}

// ListenerStatus is a listener with the addresses that it really listens on.
type ListenerStatus struct {
	Name      string   `json:"name"`
	Addresses []string `json:"addresses"`
	TLS       bool     `json:"tls,omitempty"`
	// SelfSigned is the fingerprint, by SHA-256, of the certificate that Poise made for the listener; empty where it has files.
	SelfSigned  string `json:"self_signed_sha256,omitempty"`
	Connections int64  `json:"connections"`
	Requests    uint64 `json:"requests"`
}

// PoolStatus is a pool.
type PoolStatus struct {
	Name    string         `json:"name"`
	Policy  string         `json:"policy"`
	Waiting int            `json:"waiting"` // requests in the queue
	Levels  []LevelStatus  `json:"levels,omitempty"`
	Servers []ServerStatus `json:"servers"`
}

// LevelStatus is a tier of a pool that has several, or those of its servers that are in Poise's zone, or elsewhere.
type LevelStatus struct {
	Tier  string `json:"tier"`           // its number, or backup
	Zone  string `json:"zone,omitempty"` // local or other
	Share int    `json:"share"`          // of the pool's requests that it gets at present, in hundredths
}

// ServerStatus is a server of a pool.
type ServerStatus struct {
	Name     string `json:"name"`
	Address  string `json:"address"`
	State    string `json:"state"`  // draining or maint by order of a person or the agent, else as Health; down also by the agent
	Health   string `json:"health"` // checking, up, down, ejected
	Weight   int    `json:"weight"`
	Backup   bool   `json:"backup,omitempty"`
	Tier     int    `json:"tier,omitempty"`
	Zone     string `json:"zone,omitempty"`
	InFlight int    `json:"in_flight"`
	Requests uint64 `json:"requests"` // attempts that got a response
	Failures uint64 `json:"failures"`
	// Since is how long the server is in State, in seconds, whoever brought it about.
	Since float64 `json:"since_seconds"`
	// LastProbe says how the last probe ended; empty without probes.
	LastProbe string `json:"last_probe,omitempty"`
	// Agent says what the server's agent has brought about, in its words, and why it does not answer, if so; empty without one.
	Agent string `json:"agent,omitempty"`
}
