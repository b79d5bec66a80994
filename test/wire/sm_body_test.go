package wire

import (
	"strconv"
	"strings"
	"testing"

	"poise/internal/testkit"
)

// A body is forwarded with any method, and the next request begins behind it.
func TestSM19BodyWithAnyMethod(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		server := serveReader(t, func(f *forwarded) string {
			if strings.HasPrefix(f.line, "HEAD") {
				return "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
			}
			return testkit.OK
		})
		p := short(t, s, server.Server)
		c := testkit.Dial(t, p.Addr)
		n := 0
		for _, method := range []string{"GET", "HEAD", "OPTIONS", "DELETE", "TRACE", "PUT", "POST", "PATCH", "PURGE"} {
			large := strings.Repeat(second, 1000)
			for _, row := range []struct{ name, framing, send, want string }{
				{"a request as body", "Content-Length: " + strconv.Itoa(len(second)), second, second},
				{"in chunks", "Transfer-Encoding: chunked", strconv.FormatInt(int64(len(second)), 16) + "\r\n" + second + "\r\n0\r\n\r\n", second},
				{"none", "Content-Length: 0", "", ""},
				{"no chunk", "Transfer-Encoding: chunked", "0\r\n\r\n", ""},
				{"large", "Content-Length: " + strconv.Itoa(len(large)), large, large},
			} {
				c.Send(method + " /first HTTP/1.1\r\nHost: a\r\n" + row.framing + "\r\n\r\n" + row.send)
				if r := c.Read(method); r.StatusCode != 200 {
					t.Fatalf("%s, %s: status %d, want 200", method, row.name, r.StatusCode)
				} else if r.Close {
					t.Errorf("%s, %s: the connection closes, want it kept", method, row.name)
				}
				n++
				f := server.requests(t, n)[n-1]
				name, value, _ := strings.Cut(row.framing, ": ")
				if v := f.all(name); f.body != row.want || !f.whole || !s.HTTP2 && (len(v) != 1 || v[0] != value) {
					t.Errorf("%s, %s: the server got %s %q and %d bytes, want %s and %d bytes", method, row.name, name, v, len(f.body), value, len(row.want))
				}
			}
		}
		if all := server.requests(t, n); len(all) != n {
			t.Errorf("the server got %d requests, want %d", len(all), n)
		}
		if got := len(readLog(t, p, n)); got != n {
			t.Errorf("%d records, want %d", got, n)
		}
	})
}

func TestSM19ConnectWithBody(t *testing.T) {
	t.Parallel()
	refuse(t, []attack{
		{"length", "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\nContent-Length: " + strconv.Itoa(len(second)) + "\r\n\r\n" + second, 501},
		{"chunks", "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\nTransfer-Encoding: chunked\r\n\r\n" + chunkedHello + second, 501},
		{"none", "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n" + second, 501},
	})
}

// A body that is not forwarded, since Poise answers itself, is no request either (the gadget "CL.0").
func TestSM19BodyThatNobodyTakes(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		server := serveReader(t, ok)
		down := testkit.Serve(t, testkit.Answer(testkit.OK))
		down.Stop()
		p := testkit.Start(t, s, `
listeners:
  - address: 127.0.0.1:0
    routes:
      - { match: { path: /second }, pool: app }
      - { match: { path: /neighbour }, pool: app }
      - { match: { path: /down }, pool: down }
pools:
  app: { servers: [`+server.Addr+`] }
  down: { servers: [`+down.Addr+`] }
`)
		log := newExpectedLog()
		for _, row := range []struct {
			name, path, framing, body string
			status                    int
		}{
			{"no route, length", "/nowhere", "Content-Length: " + strconv.Itoa(len(second)), second, 404},
			{"no route, chunks", "/nowhere", "Transfer-Encoding: chunked", chunkedHello, 404},
			{"no route, chunks that are no chunks", "/nowhere", "Transfer-Encoding: chunked", second, 404},
			{"no route, large", "/nowhere", "Content-Length: 200000", strings.Repeat("x", 200000-len(second)) + second, 404},
			{"no route, not all of it", "/nowhere", "Content-Length: 200000", second, 404},
			{"no server, length", "/down", "Content-Length: " + strconv.Itoa(len(second)), second, 503},
			{"no server, chunks", "/down", "Transfer-Encoding: chunked", chunkedHello, 503},
			{"no server, large", "/down", "Content-Length: 200000", strings.Repeat("x", 200000-len(second)) + second, 503},
		} {
			t.Run(row.name, func(t *testing.T) {
				if strings.Contains(row.name, "no chunks") {
					s.ClientHTTP1(t)
				}
				c := testkit.Dial(t, p.Addr)
				neighbourServed(t, c) // what an earlier exchange leaves behind makes no difference
				c.Send("POST " + row.path + " HTTP/1.1\r\nHost: a\r\n" + row.framing + "\r\n\r\n" + row.body)
				r := c.Read("POST")
				if r.StatusCode != row.status {
					t.Errorf("status %d, want %d", r.StatusCode, row.status)
				}
				log.add(c, 200, row.status)
				if rest := strings.Contains(row.framing, "200000"); !r.Close && !(s.HTTP2 && rest) { // over HTTP/2 the rest of the request is refused
					neighbourServed(t, c) // drained
					log.add(c, 200)
					return
				}
				wantCleanEnd(t, c)
			})
		}
		for _, f := range server.requests(t, 1) {
			if !strings.Contains(f.line, "/neighbour") {
				t.Errorf("the server got %q, which was a body", f.line)
			}
		}
		log.check(t, p)
	})
}

// A server that answers before it has read the request's body leaves two views of where the next request begins; neither connection may see one.
func TestSM20AnswerBeforeTheBody(t *testing.T) {
	t.Parallel()
	const answer = "HTTP/1.1 %s\r\nContent-Length: 5\r\n\r\nearly"
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		server := startReader(t, func(f *forwarded) string {
			if _, path, _ := strings.Cut(f.line, " "); strings.HasPrefix(path, "/early") {
				return strings.Replace(answer, "%s", strings.TrimSuffix(strings.SplitN(path, "/", 4)[2], " HTTP"), 1)
			}
			return ""
		}, func(f *forwarded) string {
			if strings.Contains(f.line, "/early") {
				return "HTTP/1.1 200 OK\r\nX-Late: 1\r\nContent-Length: 4\r\n\r\nlate"
			}
			return testkit.OK
		})
		p := short(t, s, server.Server)
		log := newExpectedLog()
		for _, row := range []struct{ name, status, framing, begin string }{
			{"nothing sent", "200", "Content-Length: " + strconv.Itoa(len(second)+1), ""},
			{"nothing sent, refused", "403", "Content-Length: " + strconv.Itoa(len(second)+1), ""},
			{"a part sent", "200", "Content-Length: 70000", strings.Repeat("x", 69000)},
			{"a part sent, refused", "413", "Content-Length: 70000", strings.Repeat("x", 69000)},
			{"a chunk sent", "200", "Transfer-Encoding: chunked", "5\r\nhello\r\n"},
			{"a chunk sent, refused", "401", "Transfer-Encoding: chunked", "5\r\nhello\r\n"},
			{"no chunk sent", "404", "Transfer-Encoding: chunked", ""},
		} {
			t.Run(row.name, func(t *testing.T) {
				c := testkit.Dial(t, p.Addr)
				c.Send("POST /early/" + row.status + " HTTP/1.1\r\nHost: a\r\n" + row.framing + "\r\n\r\n" + row.begin)
				r := c.Read("POST")
				if strconv.Itoa(r.StatusCode) != row.status || r.Body != "early" || r.Err != nil {
					t.Errorf("answer %d %q, %v, want %s early", r.StatusCode, r.Body, r.Err, row.status)
				}
				status, _ := strconv.Atoi(row.status)
				log.add(c, status)
				if !s.HTTP2 || !strings.Contains(row.framing, "chunked") { // else it would have to be a chunk
					c.Send(second) // the pause is over: more of the body, which looks like a request
				}
				wantCleanEnd(t, c)
			})
		}
		neighbour := testkit.Dial(t, p.Addr)
		neighbourServed(t, neighbour)
		log.add(neighbour, 200)
		conns := map[int]bool{}
		for _, f := range server.requests(t, 1) {
			if strings.Contains(f.line, "/second") || conns[f.conn] {
				t.Errorf("%s came on a connection that had an unfinished request: %t, want none", f.line, conns[f.conn])
			}
			conns[f.conn] = !f.whole
		}
		log.check(t, p)
	})
}

// An answer that comes before the body was read is no harm when all of the request was sent: the connections go on, in step.
func TestSM20EarlyAnswerToAWholeRequest(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		server := startReader(t, func(*forwarded) string { return testkit.OK }, func(*forwarded) string { return "" })
		server.silent = true
		c := testkit.Dial(t, short(t, s, server.Server).Addr)
		for i := range 4 {
			body := second + strconv.Itoa(i)
			c.Send(post(body, "Content-Length: "+strconv.Itoa(len(body))))
			if r := c.Read("POST"); r.StatusCode != 200 {
				t.Fatalf("status %d, want 200", r.StatusCode)
			}
			if f := server.find(t, "/smuggled", body); f.conn != 1 && !s.ServerHTTP2 {
				t.Errorf("request %d came on connection %d, want 1", i, f.conn)
			}
		}
		if n := len(server.requests(t, 4)); n != 4 {
			t.Errorf("the server got %d requests, want 4", n)
		}
	})
}

// Bytes behind a response that has no body, or behind its body, reach nobody, and end the connection they came on.
func TestSM25BodyWhereNoneMayBe(t *testing.T) {
	t.Parallel()
	const smuggled = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled"
	answers := map[string]string{
		"HEAD with a body":                    "HEAD HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled",
		"HEAD with chunks":                    "HEAD HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nsmuggled\r\n0\r\n\r\n",
		"HEAD with another response":          "HEAD HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + smuggled,
		"HEAD without length":                 "HEAD HTTP/1.1 200 OK\r\n\r\nsmuggled",
		"HEAD refused, with a body":           "HEAD HTTP/1.1 404 Not Found\r\nContent-Length: 8\r\n\r\nsmuggled",
		"204 with a body":                     "GET HTTP/1.1 204 No Content\r\nContent-Length: 8\r\n\r\nsmuggled",
		"204 with chunks":                     "GET HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nsmuggled\r\n0\r\n\r\n",
		"204 with another response":           "GET HTTP/1.1 204 No Content\r\n\r\n" + smuggled,
		"304 with a body":                     "GET HTTP/1.1 304 Not Modified\r\nContent-Length: 8\r\n\r\nsmuggled",
		"304 with another response":           "GET HTTP/1.1 304 Not Modified\r\n\r\n" + smuggled,
		"more than its length":                "GET HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\noksmuggled",
		"another response behind its length":  "GET HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" + smuggled,
		"another response behind no body":     "GET HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" + smuggled,
		"another response behind its chunks":  "GET HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n" + smuggled,
		"an interim response behind the last": "GET HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 103 Early Hints\r\n\r\n",
	}
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		s.ServersHTTP1(t) // bytes behind an answer
		server := serveReader(t, func(f *forwarded) string {
			for name, a := range answers {
				if f.line != "" && strings.Contains(f.line, pathOf(name)+" ") {
					_, response, _ := strings.Cut(a, " ")
					return response
				}
			}
			return testkit.OK
		})
		p := short(t, s, server.Server)
		n := 0
		for name, a := range answers {
			t.Run(name, func(t *testing.T) {
				method, response, _ := strings.Cut(a, " ")
				want := ""
				if strings.Contains(response, "ok") {
					want = "ok"
				}
				c := testkit.Dial(t, p.Addr)
				c.Send(method + " " + pathOf(name) + " HTTP/1.1\r\nHost: a\r\n\r\n")
				if r := c.Read(method); !strings.HasPrefix(response, "HTTP/1.1 "+strconv.Itoa(r.StatusCode)) || r.Body != want || r.Err != nil {
					t.Errorf("answer %d %q, want that of %.20q with %q", r.StatusCode, r.Body, response, want)
				}
				first := server.requests(t, n+1)[n]
				server.waitEnd(t, first.conn)
				neighbourServed(t, c) // on the same connection of the client, over another to the server
				if f := server.requests(t, n+2)[n+1]; f.conn == first.conn {
					t.Errorf("the connection was used again")
				}
				n += 2
				_ = c.CloseWrite()
				wantCleanEnd(t, c)
			})
		}
		if got := len(readLog(t, p, n)); got != n {
			t.Errorf("%d records, want %d", got, n)
		}
	})
}

func pathOf(name string) string { return "/" + strings.NewReplacer(" ", "-", ",", "").Replace(name) }

// An interim response has no body either: what follows it is the next head, or nothing that can be understood.
func TestSM25InterimWithBody(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		s.ServersHTTP1(t)
		server := serveReader(t, func(*forwarded) string {
			return "HTTP/1.1 103 Early Hints\r\nContent-Length: 8\r\n\r\nsmuggledHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
		})
		p := short(t, s, server.Server)
		c := testkit.Dial(t, p.Addr)
		c.Send(get())
		if r := c.Read("GET"); r.StatusCode != 103 || r.Header.Get("Content-Length") != "" {
			t.Errorf("first answer %d with Content-Length %q, want 103 with none", r.StatusCode, r.Header.Get("Content-Length"))
		}
		if r := c.Read("GET"); r.StatusCode != 502 || strings.Contains(r.Body, "smuggled") {
			t.Errorf("second answer %d %q, want 502", r.StatusCode, r.Body)
		}
		server.waitEnd(t, 1)
		if n := len(readLog(t, p, 1)); n != 1 {
			t.Errorf("%d records, want 1", n)
		}
	})
}

func TestSM25NothingAfterClose(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		s.ClientHTTP1(t)
		server := serveReader(t, ok)
		p := short(t, s, server.Server)
		log := newExpectedLog()
		for i, first := range []string{
			"GET /first HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
			"GET /first HTTP/1.1\r\nHost: a\r\nConnection: x, CLOSE\r\n\r\n",
			"GET /first HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n",
			"GET /first HTTP/1.0\r\nHost: a\r\n\r\n",
			"POST /first HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
			"POST /first HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n" + chunkedHello,
		} {
			c := testkit.Dial(t, p.Addr)
			c.Send(first + second)
			if r := c.Read("GET"); r.StatusCode != 200 || !r.Close {
				t.Errorf("%q: status %d, closes: %t, want 200, true", first, r.StatusCode, r.Close)
			}
			wantCleanEnd(t, c)
			log.add(c, 200)
			if f := server.requests(t, i+1); len(f) != i+1 || !strings.Contains(f[i].line, "/first") {
				t.Errorf("%q: the server got %d requests, the last %q, want %d, the last for /first", first, len(f), f[len(f)-1].line, i+1)
			}
		}
		log.check(t, p)
	})
}
