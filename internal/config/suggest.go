package config

import (
	"slices"
	"strings"
)

// synonyms are other products' words and common habits, each with the words used here, the likeliest first.
var synonyms = map[string][]string{
	"algorithm": {"policy"}, "balance": {"policy"}, "lb_policy": {"policy"}, "strategy": {"policy"}, "lb": {"policy"},
	"load_balancing": {"policy"}, "balancer": {"policy"},
	"backend": {"pool", "pools"}, "backends": {"pools", "servers"}, "cluster": {"pool", "pools"}, "clusters": {"pools"},
	"upstream": {"pool", "pools", "servers"}, "upstreams": {"pools", "servers"}, "services": {"pools"}, "service": {"pool"},
	"endpoints": {"servers"}, "targets": {"servers"}, "members": {"servers"}, "nodes": {"servers"}, "hosts": {"servers", "host"}, "to": {"pool", "servers"},
	"frontend": {"listeners"}, "frontends": {"listeners"}, "entrypoints": {"listeners"},
	"bind": {"addresses", "listen"}, "listen": {"addresses"}, "port": {"address", "addresses", "listen"}, "ports": {"addresses", "listen"}, "url": {"address"},
	"host": {"address"}, "ip": {"address"}, "addr": {"address"},
	"rules": {"routes"}, "locations": {"routes"}, "paths": {"path"}, "prefix": {"path"}, "path_prefix": {"path"}, "domain": {"host"},
	"check": {"health"}, "checks": {"health"}, "health_check": {"health"}, "healthcheck": {"health"}, "health_checks": {"health"},
	"sticky": {"affinity"}, "stickiness": {"affinity"}, "persistence": {"affinity"}, "session_affinity": {"affinity"},
	"maxidle": {"idle"}, "max_idle": {"idle"}, "maxlife": {"life"}, "max_life": {"life"}, "max_age": {"ttl"}, "maxage": {"ttl"}, "expires": {"ttl"},
	"consistent_hash": {"hash"}, "consistent": {"hash"}, "source_ip": {"source", IPHash}, "client_ip": {"source"},
	"threads": {"loops"}, "workers": {"loops"}, "cpus": {"loops"}, "log": {"access_log"}, "logs": {"access_log"}, "logging": {"access_log"},
	"metrics": {"admin"}, "expected_status": {"status"}, "unhealthy_threshold": {"fall"}, "healthy_threshold": {"rise"},
	"max_connections": {"connections"}, "trusted": {"trusted_proxies"}, "method": {"methods"}, "header": {"headers"},
	"roundrobin": {RoundRobin}, "rr": {RoundRobin}, "wrr": {RoundRobin}, "weighted": {RoundRobin},
	"leastconn": {LeastRequests}, "least_conn": {LeastRequests}, "least_connections": {LeastRequests}, "least_request": {LeastRequests}, "p2c": {LeastRequests},
	"source": {IPHash}, "iphash": {IPHash}, "rand": {Random}, "uring": {"io_uring"},
}

// nearest returns the allowed word that was probably meant, or "".
func nearest(word string, allowed []string) string {
	folded := strings.ReplaceAll(strings.ToLower(word), "-", "_")
	for _, s := range synonyms[folded] {
		if slices.Contains(allowed, s) {
			return s
		}
	}
	best, bestDistance := "", max(1, len([]rune(word))/3)+1
	for _, a := range allowed {
		if d := distance(folded, a); d < bestDistance {
			best, bestDistance = a, d
		}
	}
	return best
}

// distance counts the letters to add, drop, change or swap with their neighbour to come from a to b (optimal string alignment).
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	if d := len(x) - len(y); d > 8 || d < -8 {
		return 9
	}
	before, last, row := make([]int, len(y)+1), make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(x); i++ {
		row[0] = i
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(y)]
}

// didYouMean is the hint for a word that is not one of allowed.
func didYouMean(word string, allowed []string) string {
	if s := nearest(word, allowed); s != "" {
		return `did you mean "` + s + `"?`
	}
	if len(allowed) == 1 {
		return "only " + allowed[0] + " is known"
	}
	return "one of " + strings.Join(allowed, ", ")
}
