package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// candidate is one of the programs that are compared, with its settings.
type candidate struct {
	name   string
	driver string // of Poise; empty for another product
	binary string
	loops  int // Poise's loops, HAProxy's threads, nginx's processes
}

// peers are what Poise is compared with: ratios are to the better of them.
var peers = []string{"haproxy", "nginx"}

var drivers = []string{"io_uring", "epoll", "net"}

// candidateNames are all that --balancers may name.
func candidateNames() []string {
	var names []string
	for _, d := range drivers {
		names = append(names, "poise-"+d)
	}
	return append(names, peers...)
}

// place is where a candidate is to run.
type place struct {
	dir    string // for its files; nginx reads them as another user
	port   int
	server string // the address to pass requests to
	logs   bool   // to a file
	admin  int    // Poise's port to ask for its state; 0: none
}

// command writes the candidate's configuration, and returns what runs it.
func (c *candidate) command(p place) ([]string, error) {
	path := filepath.Join(p.dir, c.name+".conf")
	text, command := c.poise(p), []string{c.binary, "run", "-c", path}
	switch c.name {
	case "haproxy":
		text, command = c.haproxy(p), []string{c.binary, "-f", path}
	case "nginx":
		text, command = c.nginx(p), []string{c.binary, "-c", path, "-e", "stderr"}
	}
	return command, os.WriteFile(path, []byte(text), 0o644)
}

// Every product keeps connections on both sides, sets X-Forwarded-For, and checks no server. Where one is much better with a setting than with its default, it has
// the setting; docs/performance.md says which.

func (c *candidate) poise(p place) string {
	text := fmt.Sprintf(`loops: %d
driver: %s
listen: 127.0.0.1:%d
servers: [%s]
limits: { connections: %d, connections_per_client: %d }
`, c.loops, c.driver, p.port, p.server, maxConnections, maxConnections)
	if p.logs {
		text += fmt.Sprintf("access_log: { path: %s/%s.access }\n", p.dir, c.name)
	} else {
		text += "access_log: { enabled: false }\n"
	}
	if p.admin != 0 {
		return text + fmt.Sprintf("admin: { address: \"127.0.0.1:%d\" }\n", p.admin)
	}
	return text + "admin: { enabled: false }\n"
}

// maxConnections is what every candidate allows, and keptConnections how many unused connections to the server it keeps. A process may have 20,000 descriptors.
const maxConnections, keptConnections = 9000, 256

func (c *candidate) haproxy(p place) string {
	log := ""
	if p.logs {
		log = "\tlog stdout format raw local0\n\toption httplog\n" // its standard output is a file
	}
	shards := ""
	if c.loops > 1 {
		shards = " shards by-thread"
	}
	return fmt.Sprintf(`global
	nbthread %d
	maxconn %d
	maxpipes 256
defaults
	mode http
%s	timeout connect 5s
	timeout client 75s
	timeout server 60s
	option forwardfor
	option splice-auto
	http-reuse always
frontend f
	bind 127.0.0.1:%d backlog 4096%s
	default_backend b
backend b
	server s1 %s pool-max-conn %d
`, c.loops, maxConnections, log, p.port, shards, p.server, keptConnections)
}

func (c *candidate) nginx(p place) string {
	log := "off"
	if p.logs {
		log = p.dir + "/nginx.access combined buffer=64k flush=1s"
	}
	reuseport := ""
	if c.loops > 1 {
		reuseport = " reuseport"
	}
	temporary := ""
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		temporary += fmt.Sprintf("\t%s_temp_path %s/nginx-%s;\n", kind, p.dir, kind)
	}
	return fmt.Sprintf(`worker_processes %d; pid %s/nginx.pid; error_log stderr; daemon off; worker_rlimit_nofile %d;
events { worker_connections %d; }
http {
%s	access_log %s; keepalive_requests 1000000000; keepalive_timeout 75s; client_max_body_size 0;
	upstream u { server %s; keepalive %d; keepalive_requests 1000000000; }
	server {
		listen 127.0.0.1:%d backlog=4096%s;
		location / {
			proxy_pass http://u; proxy_http_version 1.1; proxy_set_header Connection "";
			proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For $remote_addr;
			proxy_request_buffering off; proxy_max_temp_file_size 0;
		}
	}
}
`, c.loops, p.dir, 2*maxConnections, maxConnections+keptConnections, temporary, log, p.server, keptConnections, p.port, reuseport)
}

// version asks the program itself.
func (c *candidate) version() string {
	argument := "version"
	switch c.name {
	case "haproxy", "nginx":
		argument = "-v"
	}
	first, _, _ := strings.Cut(strings.TrimSpace(output(c.binary, argument)), "\n")
	return first
}
