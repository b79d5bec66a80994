package main

import (
	"fmt"
	"slices"
	"strings"
)

// scenario is one kind of load.
type scenario struct {
	Name        string `json:"name"`
	About       string `json:"about"`
	Connections int    `json:"connections"`
	// Fresh: every request has a connection of its own, which the balancer closes.
	Fresh bool `json:"fresh,omitempty"`
	// Streams, if not 0, is how many requests of HTTP/2 each connection has under way.
	Streams int `json:"streams,omitempty"`
	// TLS is how clients speak it; "": not at all.
	TLS string `json:"tls,omitempty"`
	// Socket: each connection becomes a WebSocket, and a request is a message on it that is answered by one.
	Socket bool `json:"websocket,omitempty"`

	path   string
	fields []string // of the request, beside Host
	upload int      // bytes of the request's body, or of a message
	answer page
}

// page is what the servers answer to one path.
type page struct {
	fields []string
	length int // of the body, in bytes
}

const (
	kib = 1 << 10
	mib = 1 << 20
)

// scenarios are all loads that are measured alike. What is special, such as idle connections, has a file of its own.
func scenarios() []scenario {
	return []scenario{
		{Name: "small", About: "100 bytes down, 64 keep-alive connections", Connections: 64, path: "/small", answer: page{length: 100}},
		{Name: "connection", About: "100 bytes down, a connection per request, 64 at once", Connections: 64, Fresh: true, path: "/small", answer: page{length: 100}},
		{Name: "64k", About: "64 KiB down, 32 keep-alive connections", Connections: 32, path: "/64k", answer: page{length: 64 * kib}},
		{Name: "1m", About: "1 MiB down, 16 keep-alive connections", Connections: 16, path: "/1m", answer: page{length: mib}},
		{Name: "upload", About: "1 MiB up, 16 keep-alive connections", Connections: 16, path: "/upload", upload: mib, answer: page{length: 2}},
		{
			Name: "headers", About: "40 request fields, 20 response fields, 64 keep-alive connections", Connections: 64, path: "/headers",
			fields: browserFields(), answer: page{fields: applicationFields(), length: 100},
		},
		{Name: "https", About: "small over TLS 1.3, 64 keep-alive connections", Connections: 64, TLS: tlsFull, path: "/small", answer: page{length: 100}},
		{
			Name: "https-1m", About: "1 MiB down over TLS 1.3, 16 keep-alive connections", Connections: 16, TLS: tlsFull, path: "/1m",
			answer: page{length: mib},
		},
		{
			Name: "handshake", About: "connection over TLS 1.3: a full handshake (P-256, X25519) per request, 16 at once", Connections: 16, Fresh: true, TLS: tlsFull,
			path: "/small", answer: page{length: 100},
		},
		{
			Name: "resumed", About: "the same with a session that is resumed by its ticket", Connections: 16, Fresh: true, TLS: tlsResumed,
			path: "/small", answer: page{length: 100},
		},
		{Name: "h2", About: "small over HTTP/2, 16 connections with 16 streams each", Connections: 16, Streams: 16, path: "/small", answer: page{length: 100}},
		{
			Name: "h2s", About: "the same over TLS 1.3", Connections: 16, Streams: 16, TLS: tlsFull, path: "/small",
			answer: page{length: 100},
		},
		{Name: "h2-1m", About: "1 MiB down over HTTP/2, 16 connections with 16 streams each", Connections: 16, Streams: 16, path: "/1m", answer: page{length: mib}},
		{
			Name: "h2s-1m", About: "the same over TLS 1.3", Connections: 16, Streams: 16, TLS: tlsFull, path: "/1m",
			answer: page{length: mib},
		},
		{
			Name: "websocket", About: "64 bytes up and down by WebSocket, 64 connections", Connections: 64,
			Socket: true, path: "/ws", upload: 64, answer: page{length: 64},
		},
		{Name: "wss", About: "the same over TLS 1.3", Connections: 64, Socket: true, TLS: tlsFull, path: "/ws", upload: 64, answer: page{length: 64}},
		{
			Name: "websocket-1m", About: "64 bytes up, 1 MiB down by WebSocket, 16 connections", Connections: 16, Socket: true, path: "/ws-1m", upload: 64,
			answer: page{length: mib},
		},
	}
}

// pages are all paths that the servers know.
func pages() map[string]page {
	all := map[string]page{}
	for _, s := range scenarios() {
		all[s.path] = s.answer
	}
	return all
}

// chosen are the scenarios of these names; all for none.
func chosen(names []string, known []string) ([]string, error) {
	if len(names) == 0 {
		return known, nil
	}
	for _, n := range names {
		if !slices.Contains(known, n) {
			return nil, fmt.Errorf("%q is none of %s", n, strings.Join(known, ", "))
		}
	}
	return slices.DeleteFunc(slices.Clone(known), func(k string) bool { return !slices.Contains(names, k) }), nil
}

func scenarioNamed(name string) (scenario, bool) {
	all := scenarios()
	i := slices.IndexFunc(all, func(s scenario) bool { return s.Name == name })
	if i < 0 {
		return scenario{}, false
	}
	return all[i], true
}

// request is the scenario's request as it is sent, head and body.
func (s *scenario) request(host string) (head, body []byte) {
	method, fields, upload := "GET", s.fields, s.upload
	if s.Socket {
		fields, upload = socketFields, 0
	}
	if upload > 0 {
		method = "POST"
	}
	head = fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: %s\r\n", method, s.path, host)
	for _, f := range fields {
		head = append(head, f+"\r\n"...)
	}
	if upload > 0 {
		head = fmt.Appendf(head, "Content-Type: application/octet-stream\r\nContent-Length: %d\r\n", s.upload)
	}
	if s.Fresh {
		head = append(head, "Connection: close\r\n"...)
	}
	return append(head, "\r\n"...), pattern(upload)
}

// response is what the servers send, head and body in one piece.
func (p *page) response() []byte {
	head := "HTTP/1.1 200 OK\r\nServer: bench\r\nContent-Type: application/octet-stream\r\n"
	for _, f := range p.fields {
		head += f + "\r\n"
	}
	head += fmt.Sprintf("Content-Length: %d\r\n\r\n", p.length)
	return append([]byte(head), pattern(p.length)...)
}

// period of the bytes of a body: prime, so that a piece that is lost, doubled or moved by any usual buffer's size shows at the ends of the pieces that come.
const period = 251

func patternAt(offset int) byte { return byte(offset % period) }

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = patternAt(i)
	}
	return b
}

// isPattern looks at the ends of a piece of a body that begins at offset: to look at every byte would cost more than to receive it.
func isPattern(b []byte, offset int) bool {
	return b[0] == patternAt(offset) && b[len(b)-1] == patternAt(offset+len(b)-1)
}

// scenarioNames are all that --only may name.
func scenarioNames() []string {
	var names []string
	for _, s := range scenarios() {
		names = append(names, s.Name)
	}
	return append(names, idleName, httpsIdleName, socketIdleName, secureSocketIdleName, loopsName, mirrorName, overloadName)
}

// describe is a line for each scenario.
func describe() string {
	var b strings.Builder
	for _, s := range scenarios() {
		fmt.Fprintf(&b, "  %-14s %s\n", s.Name, s.About)
	}
	fmt.Fprintf(&b, "  %-14s memory of connections that do nothing\n  %-14s the same of half as many over TLS\n"+
		"  %-14s the same of half as many WebSockets\n  %-14s and of those over TLS\n  %-14s %s\n  %-14s %s\n  %-14s %s\n",
		idleName, httpsIdleName, socketIdleName, secureSocketIdleName, loopsName, loopsAbout, mirrorName, mirrorAbout, overloadName, overloadAbout)
	return b.String()
}
