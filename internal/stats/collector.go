package stats

import (
	"slices"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"poise/internal/encode"
	"poise/internal/fault"
)

// collector makes constant metrics out of snapshots, anew for every scrape.
type collector struct{ source Source }

// Describe implements prometheus.Collector. It describes nothing, which is allowed: what it would make the registry check
// is whether another collector has the same names.
func (c *collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	loops, names := c.source.Snapshots(), c.source.Names()
	var sum Snapshot
	for i := range loops {
		sum.Add(&loops[i])
	}
	w := writer{out}
	for _, n := range names.Listeners {
		w.listener(slot(&sum.Listeners, n.ID), n.Name)
	}
	for _, n := range names.Routes {
		w.route(slot(&sum.Routes, n.ID), n.Listener, n.Route)
	}
	for _, n := range names.Pools {
		w.pool(slot(&sum.Pools, n.ID), &n, names.Servers)
	}
	for _, n := range names.Servers {
		w.server(slot(&sum.Servers, n.ID), &n)
	}
	for i := range loops {
		w.loop(&loops[i], strconv.Itoa(i))
	}
	if c.source.Reloads != nil {
		w.reloads(c.source.Reloads())
	}
	if c.source.Renewals != nil {
		n := c.source.Renewals()
		w.counter(certificateReloads, n.Succeeded, "success")
		w.counter(certificateReloads, n.Failed, "failure")
		for _, x := range n.Certificates {
			w.gauge(certificateEnd, float64(x.NotAfter.Unix()), x.Listener, x.Certificate)
		}
	}
	if c.source.LogDropped != nil {
		w.counter(accessLogDropped, c.source.LogDropped())
	}
	if c.source.LogWriteErrors != nil {
		w.counter(accessLogWriteErrors, c.source.LogWriteErrors())
	}
}

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("poise_"+name, help, labels, nil)
}

var (
	listenerRequests     = describe("listener_requests_total", "Exchanges that ended, by the class of the status that the client got.", "listener", "code")
	listenerRejected     = describe("listener_rejected_requests_total", "Exchanges that Poise answered itself with an error, by status.", "listener", "status")
	listenerReceived     = describe("listener_received_bytes_total", "Bytes received from clients.", "listener")
	listenerSent         = describe("listener_sent_bytes_total", "Bytes sent to clients.", "listener")
	listenerOpened       = describe("listener_connections_opened_total", "Connections accepted from clients.", "listener")
	listenerHandshakes   = describe("listener_tls_handshakes_total", "TLS handshakes, by how they ended: ok, failed or displaced.", "listener", "result")
	listenerResumed      = describe("listener_tls_resumptions_total", "TLS handshakes that resumed a session.", "listener")
	listenerRefused      = describe("listener_connections_refused_total", "Connections closed at once because a limit was reached.", "listener")
	listenerConnections  = describe("listener_connections", "Connections with clients that are open.", "listener")
	listenerClientAborts = describe("listener_client_aborts_total", "Exchanges that the client left before they ended.", "listener")

	listenerStreams = streamMetrics{
		describe("listener_http2_streams", "Requests of HTTP/2 that are under way.", "listener"),
		describe("listener_http2_streams_opened_total", "Requests of HTTP/2.", "listener"),
		describe("listener_http2_resets_total", "Streams that were reset, by cause: the peer, refused, or a violation.", "listener", "cause"),
		describe("listener_http2_glitches_total", "Frames that brought nothing.", "listener"),
		describe("listener_http2_connections_ended_total", "Connections that were ended, for a violation or a flood of frames.", "listener", "cause"),
	}

	routeRequests  = describe("route_requests_total", "Exchanges that ended, by the class of the status that the client got.", "listener", "route", "code")
	routeDurations = describe("route_duration_seconds", "Time from a request's first byte to the response's last.", "listener", "route")
	routeReceived  = describe("route_received_bytes_total", "Bytes received from clients.", "listener", "route")
	routeSent      = describe("route_sent_bytes_total", "Bytes sent to clients.", "listener", "route")
	routeUpgraded  = describe("route_upgraded_requests", "Of the exchanges in flight, those whose connections were upgraded.", "listener", "route")
	routeInFlight  = describe("route_in_flight_requests", "Exchanges that have begun and not ended.", "listener", "route")
	routeCut       = describe("route_aborted_after_head_total", "Responses that broke off after their head was sent.", "listener", "route")

	routeCompressed    = describe("route_compressed_responses_total", "Responses that were compressed, by coding.", "listener", "route", "encoding")
	routeCompressedIn  = describe("route_compressed_in_bytes_total", "Bytes of their bodies before.", "listener", "route", "encoding")
	routeCompressedOut = describe("route_compressed_out_bytes_total", "Bytes of their bodies after.", "listener", "route", "encoding")
	routeNotCompressed = describe("route_compressions_skipped_total", "Responses that stayed as they were because too many were compressed at once.",
		"listener", "route")
	routeRefused  = describe("route_refused_requests_total", "Requests that did not go on, by the rule of the route.", "listener", "route", "by")
	routeMirrored = describe("route_mirrored_requests_total", "Copies of requests for mirror, by what became of them.", "listener", "route", "result")

	poolRequests    = describe("pool_requests_total", "Exchanges that ended, by the class of the status that the client got.", "pool", "code")
	poolRetries     = describe("pool_retries_total", "Attempts after an exchange's first.", "pool")
	poolUnpaid      = describe("pool_retries_refused_total", "Exchanges that failed, or kept a server's failure, because the retry budget was used up.", "pool")
	poolUnavailable = describe("pool_unavailable_total", "Exchanges for which no server was usable.", "pool")
	poolInFlight    = describe("pool_in_flight_requests", "Requests that are at the pool's servers.", "pool")
	poolWaiting     = describe("pool_queue_length", "Requests that wait for a server.", "pool")
	poolLimit       = describe("pool_request_limit", "Requests that may be at the pool's servers at present; 0: any number.", "pool")
	poolHedges      = describe("pool_hedges_total", "Exchanges for which a second server was asked while the first had not answered.", "pool")
	poolHedgesWon   = describe("pool_hedges_won_total", "Of them, those whose answer was the second server's.", "pool")
	poolLevel       = describe("pool_level_share", "Share of the pool's requests that a tier, or its part in or out of the zone, gets at present, from 0 to 1.",
		"pool", "tier", "zone")
	poolQueued    = describe("pool_queued_total", "Exchanges that had to wait for a server.", "pool")
	poolQueueLate = describe("pool_queue_timeouts_total", "Exchanges that waited for a server for too long.", "pool")
	poolQueueFull = describe("pool_queue_overflows_total", "Exchanges that found all servers full and no room to wait.", "pool")
	poolOpened    = describe("pool_fail_open", "1 while servers that are down get requests, since too few are up, else 0.", "pool")
	poolServers   = describe("pool_servers", "Servers of the pool, by state.", "pool", "state")

	serverUp          = describe("server_up", "1 where the server gets requests, as far as its health and orders go, else 0.", "pool", "server")
	serverWeight      = describe("server_weight", "The server's weight at present: less than its own while it starts slowly.", "pool", "server")
	serverInFlight    = describe("server_in_flight_requests", "Requests that are at the server.", "pool", "server")
	serverRequests    = describe("server_requests_total", "Attempts that were answered, by the class of the status.", "pool", "server", "code")
	serverDurations   = describe("server_duration_seconds", "Time that an attempt took, with those that failed.", "pool", "server")
	serverReceived    = describe("server_received_bytes_total", "Bytes received from the server.", "pool", "server")
	serverSent        = describe("server_sent_bytes_total", "Bytes sent to the server.", "pool", "server")
	serverFailures    = describe("server_failures_total", "Attempts that failed, by how.", "pool", "server", "kind")
	serverOpened      = describe("server_connections_opened_total", "Connections made to the server.", "pool", "server")
	serverReused      = describe("server_connection_reuses_total", "Attempts on a connection that was there already.", "pool", "server")
	serverConnections = describe("server_connections", "Connections with the server that are open, idle ones too.", "pool", "server")
	serverMost        = describe("server_connection_limit", "Connections with the server that may be open; 0: any number.", "pool", "server")
	serverEjections   = describe("server_ejections_total", "Times at which the server was ejected, by cause.", "pool", "server", "cause")
	serverProbes      = describe("server_probes_total", "Active health checks, by result.", "pool", "server", "result")

	serverStreams = streamMetrics{
		describe("server_http2_streams", "Requests of HTTP/2 that are under way.", "pool", "server"),
		describe("server_http2_streams_opened_total", "Requests of HTTP/2.", "pool", "server"),
		describe("server_http2_resets_total", "Streams that were reset, by cause: the peer, refused, or a violation.", "pool", "server", "cause"),
		describe("server_http2_glitches_total", "Frames that brought nothing.", "pool", "server"),
		describe("server_http2_connections_ended_total", "Connections that were ended, for a violation or a flood of frames.", "pool", "server", "cause"),
	}

	serverAgentAnswers = describe("server_agent_answers_total", "Questions to the server's agent, by result.", "pool", "server", "result")
	serverAgentWeight  = describe("server_agent_weight_ratio", "Share of the server's weight that its agent lets count; 1: the whole.", "pool", "server")

	loopClients      = describe("loop_client_connections", "Open connections with clients that the loop serves.", "loop")
	loopPanics       = describe("loop_panics_total", "Panics, each of which ended one exchange.", "loop")
	loopAcceptPauses = describe("loop_accept_pauses_total", "Times at which accepting rested: no descriptors, no memory, or the connection limit.", "loop")
	loopLongTurns    = describe("loop_long_turns_total", "Turns in which one piece of work kept the loop's other connections waiting.", "loop")

	configOK     = describe("config_last_reload_successful", "1 where the last reload of the configuration took effect, or there was none, else 0.")
	configAt     = describe("config_last_reload_timestamp_seconds", "When the configuration that runs was read, in seconds since 1970.")
	configCounts = describe("config_reloads_total", "Reloads of the configuration, by result.", "result")

	certificateReloads = describe("certificate_reloads_total", "Certificates whose files have changed, by whether the new ones could be used.", "result")
	certificateEnd     = describe("certificate_not_after_timestamp_seconds", "When a certificate that clients are shown expires, in seconds since 1970.",
		"listener", "certificate")

	accessLogDropped     = describe("access_log_dropped_total", "Records that were not written, because the sink did not take them.")
	accessLogWriteErrors = describe("access_log_write_errors_total", "Writes of the access log that failed; their records are kept, and tried again every second.")
)

// states are the states that pool_servers always has a series for.
var states = []string{"checking", "up", "down", "ejected", "draining", "maint"}

// writer sends metrics to a scrape.
type writer struct{ out chan<- prometheus.Metric }

func (w writer) listener(l *Listener, name string) {
	w.codes(listenerRequests, &l.Codes, name)
	for i, n := range l.Rejected {
		if i < len(rejections) {
			w.counter(listenerRejected, n, name, strconv.Itoa(rejections[i]))
		} else {
			w.counter(listenerRejected, n, name, "other")
		}
	}
	w.counter(listenerReceived, l.In, name)
	w.counter(listenerSent, l.Out, name)
	w.counter(listenerOpened, l.Opened, name)
	w.counter(listenerRefused, l.Refused, name)
	w.counter(listenerHandshakes, l.Shaken, name, "ok")
	w.counter(listenerHandshakes, l.Unshaken, name, "failed")
	w.counter(listenerHandshakes, l.Displaced, name, "displaced")
	w.counter(listenerResumed, l.Resumed, name)
	w.gauge(listenerConnections, float64(l.Connections), name)
	w.counter(listenerClientAborts, l.ClientAborts, name)
	w.streams(&listenerStreams, &l.Streams, name)
}

// streamMetrics are those of one side's connections of HTTP/2.
type streamMetrics struct{ open, opened, resets, glitches, ended *prometheus.Desc }

func (w writer) streams(m *streamMetrics, s *Streams, labels ...string) {
	with := func(cause string) []string { return append(labels[:len(labels):len(labels)], cause) }
	w.gauge(m.open, float64(s.Open), labels...)
	w.counter(m.opened, s.Events[StreamOpened], labels...)
	w.counter(m.resets, s.Events[StreamReset], with("peer")...)
	w.counter(m.resets, s.Events[StreamRefused], with("refused")...)
	w.counter(m.resets, s.Events[StreamViolation], with("violation")...)
	w.counter(m.glitches, s.Events[Glitch], labels...)
	w.counter(m.ended, s.Events[ConnViolation], with("violation")...)
	w.counter(m.ended, s.Events[ConnFlood], with("flood")...)
}

func (w writer) route(r *Route, listener, name string) {
	w.codes(routeRequests, &r.Codes, listener, name)
	w.histogram(routeDurations, &r.Durations, listener, name)
	w.counter(routeReceived, r.In, listener, name)
	w.counter(routeSent, r.Out, listener, name)
	w.gauge(routeInFlight, float64(r.InFlight), listener, name)
	w.gauge(routeUpgraded, float64(r.Upgraded), listener, name)
	w.counter(routeCut, r.Cut, listener, name)
	w.compressions(r, listener, name)
	for i := fault.NoRule + 1; int(i) < fault.Rules; i++ {
		w.counter(routeRefused, r.Refused[i], listener, name, i.String())
	}
	for i, n := range r.Mirrored {
		w.counter(routeMirrored, n, listener, name, copyEndNames[i])
	}
}

func (w writer) compressions(r *Route, listener, name string) {
	for i := encode.None + 1; int(i) < encode.Codings; i++ {
		c, coding := &r.Compressed[i], i.String()
		w.counter(routeCompressed, c.N, listener, name, coding)
		w.counter(routeCompressedIn, c.In, listener, name, coding)
		w.counter(routeCompressedOut, c.Out, listener, name, coding)
	}
	w.counter(routeNotCompressed, r.NotCompressed, listener, name)
}

func (w writer) pool(p *Pool, now *PoolNow, servers []ServerNow) {
	name := now.Name
	inFlight, count := 0, make([]int, len(states))
	for i := range servers {
		if servers[i].Pool != name {
			continue
		}
		inFlight += servers[i].InFlight
		if j := slices.Index(states, servers[i].State); j >= 0 {
			count[j]++
		}
	}
	w.codes(poolRequests, &p.Codes, name)
	w.counter(poolRetries, p.Retries, name)
	w.counter(poolUnpaid, p.Unpaid, name)
	w.counter(poolHedges, p.Hedges, name)
	w.counter(poolHedgesWon, p.HedgesWon, name)
	w.counter(poolUnavailable, p.Unavailable, name)
	w.gauge(poolInFlight, float64(inFlight), name)
	w.gauge(poolWaiting, float64(now.Waiting), name)
	w.gauge(poolLimit, float64(now.Limit), name)
	for _, l := range now.Levels {
		w.gauge(poolLevel, l.Share, name, l.Tier, l.Zone)
	}
	w.counter(poolQueued, p.Queued, name)
	w.counter(poolQueueLate, p.QueueLate, name)
	w.counter(poolQueueFull, p.QueueFull, name)
	w.gauge(poolOpened, oneIf(now.Opened), name)
	for i, state := range states {
		w.gauge(poolServers, float64(count[i]), name, state)
	}
}

func (w writer) server(s *Server, n *ServerNow) {
	w.gauge(serverUp, oneIf(n.State == "up"), n.Pool, n.Server)
	w.gauge(serverWeight, n.Weight, n.Pool, n.Server)
	w.gauge(serverInFlight, float64(n.InFlight), n.Pool, n.Server)
	w.codes(serverRequests, &s.Codes, n.Pool, n.Server)
	w.histogram(serverDurations, &s.Durations, n.Pool, n.Server)
	w.counter(serverReceived, s.In, n.Pool, n.Server)
	w.counter(serverSent, s.Out, n.Pool, n.Server)
	for i, count := range s.Failures {
		w.counter(serverFailures, count, n.Pool, n.Server, kindNames[i])
	}
	w.counter(serverOpened, s.Opened, n.Pool, n.Server)
	w.counter(serverReused, s.Reused, n.Pool, n.Server)
	w.gauge(serverConnections, float64(s.Connections), n.Pool, n.Server)
	w.streams(&serverStreams, &s.Streams, n.Pool, n.Server)
	w.gauge(serverMost, float64(n.MaxConnections), n.Pool, n.Server)
	for _, c := range n.Ejections {
		w.counter(serverEjections, c.N, n.Pool, n.Server, c.Name)
	}
	w.counter(serverProbes, n.ProbesPassed, n.Pool, n.Server, "passed")
	w.counter(serverProbes, n.ProbesFailed, n.Pool, n.Server, "failed")
	if n.Agent != nil {
		w.counter(serverAgentAnswers, n.Agent.Answered, n.Pool, n.Server, "answered")
		w.counter(serverAgentAnswers, n.Agent.Failed, n.Pool, n.Server, "failed")
		w.gauge(serverAgentWeight, n.Agent.Share, n.Pool, n.Server)
	}
}

func (w writer) loop(s *Snapshot, name string) {
	clients := int64(0)
	for i := range s.Listeners {
		clients += int64(s.Listeners[i].Connections)
	}
	w.gauge(loopClients, float64(clients), name)
	w.counter(loopPanics, s.Panics, name)
	w.counter(loopAcceptPauses, s.AcceptPauses, name)
	w.counter(loopLongTurns, s.LongTurns, name)
}

func (w writer) reloads(r Reloads) {
	w.gauge(configOK, oneIf(r.OK))
	w.gauge(configAt, float64(r.Last.UnixMilli())/1000)
	w.counter(configCounts, r.Succeeded, "success")
	w.counter(configCounts, r.Failed, "failure")
}

// oneIf is the gauge of something that is or is not so.
func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func (w writer) counter(d *prometheus.Desc, n uint64, labels ...string) {
	m, err := prometheus.NewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	w.send(d, m, err)
}

func (w writer) gauge(d *prometheus.Desc, v float64, labels ...string) {
	m, err := prometheus.NewConstMetric(d, prometheus.GaugeValue, v, labels...)
	w.send(d, m, err)
}

// codes sends one counter for each class; the class is the last label.
func (w writer) codes(d *prometheus.Desc, c *Codes, labels ...string) {
	for i, n := range c {
		w.counter(d, n, append(slices.Clip(labels), codeNames[i])...)
	}
}

func (w writer) histogram(d *prometheus.Desc, h *Histogram, labels ...string) {
	buckets, count := make(map[float64]uint64, len(bounds)), uint64(0)
	for i, bound := range bounds {
		count += h.Buckets[i]
		buckets[bound.Seconds()] = count
	}
	count += h.Buckets[len(bounds)]
	m, err := prometheus.NewConstHistogram(d, count, h.Sum.Seconds(), buckets, labels...)
	w.send(d, m, err)
}

// send sends m. The error is that of a name that is not UTF-8: the scrape reports it, and goes on with the others.
func (w writer) send(d *prometheus.Desc, m prometheus.Metric, err error) {
	if err != nil {
		m = prometheus.NewInvalidMetric(d, err)
	}
	w.out <- m
}
