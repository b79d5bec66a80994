package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// candidate is one of the programs that are compared, with its settings.
type candidate struct {
	name    string // among all that run side by side
	product string // "poise", or one of peers
	driver  string // of Poise
	binary  string
	mirror  string // where Poise's copies of requests go; "": none are made
	loops   int    // Poise's loops, HAProxy's threads, nginx's processes
}

// peers are what Poise is compared with: ratios are to the better of them.
var peers = []string{"haproxy", "nginx"}

// drivers are those of Poise. A binary that does not know one of them is measured without it.
var drivers = []string{"io_uring", "epoll", "net"}

// candidateNamed has no binary yet.
func candidateNamed(name string) candidate {
	c := candidate{name: name, product: name, loops: 1}
	if driver, ok := strings.CutPrefix(name, "poise-"); ok {
		c.product, c.driver = "poise", driver
	}
	return c
}

func (c *candidate) isPeer() bool { return slices.Contains(peers, c.product) }

// candidateNames are all that --balancers may name.
func candidateNames() []string {
	var names []string
	for _, d := range drivers {
		names = append(names, "poise-"+d)
	}
	return append(names, peers...)
}

// place is where a candidate is to run, and on what terms.
type place struct {
	dir     string // for its files; nginx reads them as another user
	port    int
	server  string // the address to pass requests to; of Poise also several, with settings
	pool    string // more settings of Poise's pool, in lines
	logs    bool   // to a file
	buffers bool   // peers have buffers of 64 KiB
	admin   int    // Poise's port to ask for its state; 0: none
	tls     bool   // clients speak it
	http2   bool   // likewise, and nothing else
}

// command writes the candidate's configuration, and returns what runs it.
func (c *candidate) command(p place) ([]string, error) {
	path := filepath.Join(p.dir, c.name+".conf")
	text, command := c.poise(p), []string{c.binary, "run", "-c", path}
	switch c.product {
	case "haproxy":
		text, command = c.haproxy(p), []string{c.binary, "-f", path}
	case "nginx":
		text, command = c.nginx(p), []string{c.binary, "-c", path, "-e", "stderr"}
	}
	return command, os.WriteFile(path, []byte(text), 0o644)
}

// All products keep connections on both sides, set X-Forwarded-For, bound the times of both sides alike, and check no server. HAProxy splices,
// which halves its cost of a
// body of 1 MiB and is off as it comes. Else each is as it comes, but for what would write bodies to files, or bound connections or the requests on one.

func (c *candidate) poise(p place) string {
	listen := fmt.Sprintf("listen: 127.0.0.1:%d\nservers: [%s]\n%s", p.port, p.server, p.pool)
	if p.tls {
		listen = fmt.Sprintf(`listeners:
  - { address: "127.0.0.1:%d", pool: p, tls: { certificates: [{ cert: %[2]s/cert.pem, key: %[2]s/key.pem }] } }
pools: { p: { servers: [%[3]s] } }
`, p.port, p.dir, p.server)
	}
	if c.mirror != "" {
		listen = fmt.Sprintf(`listeners: [{ address: "127.0.0.1:%d", routes: [{ pool: p, mirror: { pool: m } }] }]
pools: { p: { servers: [%s] }, m: { servers: [%s] } }
`, p.port, p.server, c.mirror)
	}
	text := fmt.Sprintf(`loops: %d
driver: %s
%slimits: { connections: %d, connections_per_client: %d }
`, c.loops, c.driver, listen, maxConnections, maxConnections)
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
	var log, buffers, shards, secured string
	if p.logs {
		log = "\tlog stdout format raw local0\n\toption httplog\n" // its standard output is a file
	}
	if p.buffers {
		buffers = "\ttune.bufsize 65536\n"
	}
	if c.loops > 1 {
		shards = " shards by-thread"
	}
	if p.tls {
		secured = fmt.Sprintf(" ssl crt %s/both.pem ciphersuites %s", p.dir, ciphersuite)
		if p.http2 {
			secured += " alpn h2"
		}
	}
	return fmt.Sprintf(`global
	nbthread %d
	maxconn %d
	maxpipes 256
%sdefaults
	mode http
%s	timeout connect 5s
	timeout client 75s
	timeout server 60s
	option forwardfor
	option splice-request
	option splice-response
	http-reuse always
frontend f
	bind 127.0.0.1:%d backlog 4096%s%s
	default_backend b
backend b
	server s1 %s pool-max-conn %d
`, c.loops, maxConnections, buffers, log, p.port, shards, secured, p.server, keptConnections)
}

func (c *candidate) nginx(p place) string {
	log, temporary, buffers, reuseport, secured := "off", "", "", "", ""
	if p.logs {
		log = p.dir + "/" + c.name + ".access combined buffer=64k flush=1s"
	}
	if p.buffers {
		buffers = "\tproxy_buffer_size 64k; proxy_buffers 8 64k; proxy_busy_buffers_size 128k; client_body_buffer_size 64k;\n"
	}
	if c.loops > 1 {
		reuseport = " reuseport"
	}
	if p.tls {
		reuseport += " ssl"
		secured = fmt.Sprintf("\t\tssl_certificate %[1]s/cert.pem; ssl_certificate_key %[1]s/key.pem; ssl_protocols TLSv1.3; ssl_conf_command Ciphersuites %s;\n",
			p.dir, ciphersuite)
	}
	if p.http2 {
		reuseport += " http2"
	}
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		temporary += fmt.Sprintf("\t%s_temp_path %s/nginx-%s;\n", kind, p.dir, kind)
	}
	return fmt.Sprintf(`worker_processes %d; pid %s/%s.pid; error_log stderr; daemon off; worker_rlimit_nofile %d;
events { worker_connections %d; }
http {
%s%s	access_log %s; keepalive_requests 1000000000; keepalive_timeout 75s; client_max_body_size 0;
	upstream u { server %s; keepalive %d; keepalive_requests 1000000000; }
	server {
		listen 127.0.0.1:%d backlog=4096%s;
%s		location / {
			proxy_pass http://u; proxy_http_version 1.1; proxy_set_header Connection "";
			proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For $remote_addr;
			proxy_request_buffering off; proxy_max_temp_file_size 0;
		}
		location /ws {
			proxy_pass http://u; proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;
			proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For $remote_addr;
		}
	}
}
`, c.loops, p.dir, c.name, 2*maxConnections, maxConnections+keptConnections, temporary, buffers, log, p.server, keptConnections, p.port, reuseport, secured)
}

// version asks the program itself.
func (c *candidate) version() string {
	argument := "version"
	if c.isPeer() {
		argument = "-v"
	}
	first, _, _ := strings.Cut(strings.TrimSpace(output(c.binary, argument)), "\n")
	return first
}
