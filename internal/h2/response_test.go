package h2

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"poise/internal/h1"
	"poise/internal/msg"
)

func TestResponse(t *testing.T) {
	for _, c := range []struct {
		name   string
		method string
		status string
		fields pairs
		end    bool
		want   msg.Response // but for what all have
		is     int          // the status it is refused with, if not 0
	}{
		{"of unknown length", "GET", "200", nil, false, msg.Response{Length: msg.Chunked}, 0},
		{"of known length", "GET", "200", pairs{"content-length", "5"}, false, msg.Response{Length: 5, HasLength: true, ContentLength: 5}, 0},
		{"without a body", "GET", "200", nil, true, msg.Response{HasLength: true}, 0},
		{"without a body, as it says", "GET", "200", pairs{"content-length", "0"}, true, msg.Response{HasLength: true}, 0},
		{"without the body that it says", "GET", "200", pairs{"content-length", "5"}, true, msg.Response{}, 400},
		{"HEAD", "HEAD", "200", pairs{"content-length", "5"}, true, msg.Response{HasLength: true, ContentLength: 5}, 0},
		{"HEAD, with the end to come", "HEAD", "200", pairs{"content-length", "5"}, false, msg.Response{HasLength: true, ContentLength: 5}, 0},
		{"HEAD of unknown length", "HEAD", "200", nil, true, msg.Response{}, 0},
		{"204", "GET", "204", nil, true, msg.Response{}, 0},
		{"204 with a length", "GET", "204", pairs{"content-length", "5"}, true, msg.Response{HasLength: true, ContentLength: 5}, 0},
		{"304", "GET", "304", pairs{"content-length", "5"}, true, msg.Response{HasLength: true, ContentLength: 5}, 0},
		{"100", "GET", "100", nil, false, msg.Response{}, 0},
		{"103 with fields", "GET", "103", pairs{"link", "x"}, false, msg.Response{}, 0},
		{"999", "GET", "999", nil, true, msg.Response{HasLength: true}, 0},
		{"101", "GET", "101", nil, false, msg.Response{}, 400},
		{"an interim one that ends the stream", "GET", "100", nil, true, msg.Response{}, 400},
		{"status of two digits", "GET", "99", nil, true, msg.Response{}, 400},
		{"status of four digits", "GET", "2000", nil, true, msg.Response{}, 400},
		{"status below 100", "GET", "099", nil, true, msg.Response{}, 400},
		{"status with a reason", "GET", "200 OK", nil, true, msg.Response{}, 400},
		{"status with a sign", "GET", "+20", nil, true, msg.Response{}, 400},
		{"empty status", "GET", "", nil, true, msg.Response{}, 400},
		{"status twice", "GET", "200", pairs{":status", "200"}, true, msg.Response{}, 400},
		{"another pseudo-field", "GET", "200", pairs{":path", "/"}, true, msg.Response{}, 400},
		{"a pseudo-field that nobody knows", "GET", "200", pairs{":reason", "OK"}, true, msg.Response{}, 400},
		{"status behind other fields", "GET", "200", pairs{"x", "y", ":status", "200"}, true, msg.Response{}, 400},
		{"DG2: space before a value", "GET", "200", pairs{"x", " a"}, true, msg.Response{}, 400},
		{"DG2: capital letter in a name", "GET", "200", pairs{"X", "a"}, true, msg.Response{}, 400},
		{"DG1: CR and LF in a value", "GET", "200", pairs{"x", "a\r\nb: c"}, true, msg.Response{}, 400},
		{"DG3: transfer-encoding", "GET", "200", pairs{"transfer-encoding", "chunked"}, false, msg.Response{}, 400},
		{"DG3: connection", "GET", "200", pairs{"connection", "close"}, false, msg.Response{}, 400},
		{"DG3: te", "GET", "200", pairs{"te", "gzip"}, false, msg.Response{}, 400},
		{"DG5: two lengths", "GET", "200", pairs{"content-length", "5", "content-length", "5"}, false, msg.Response{}, 400},
		{"DG5: length with a sign", "GET", "200", pairs{"content-length", "+5"}, false, msg.Response{}, 400},
		{"DG9: too large", "GET", "200", pairs{"x", strings.Repeat("a", h1.DefaultHead)}, false, msg.Response{}, 431},
	} {
		e := newEnds(nil)
		got := msg.Response{Reason: []byte("of before"), Fields: msg.Fields{field("of", "before")}}
		_, err := e.dec.Response(&got, nil, e.block(t, append(pairs{":status", c.status}, c.fields...)), ofStream, c.end, []byte(c.method))
		if is := refused(t, err); is != c.is {
			t.Errorf("%s: Response = status %d (%v), want %d", c.name, is, err, c.is)
		}
		if err != nil || c.is != 0 {
			continue
		}
		c.want.Version, c.want.KeepAlive, c.want.KeepAliveTimeout = msg.HTTP2, true, -1
		c.want.Status = int(c.status[0]-'0')*100 + int(c.status[1]-'0')*10 + int(c.status[2]-'0')
		c.want.Fields = msg.Fields{}
		for i := 0; i < len(c.fields); i += 2 {
			c.want.Fields = append(c.want.Fields, field(c.fields[i], c.fields[i+1]))
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: Response (-want +got):\n%s", c.name, d)
		}
	}
	if err := func() error {
		_, err := NewDecoder(nil).Response(new(msg.Response), nil, nil, ofStream, true, nil)
		return err
	}(); refused(t, err) != 400 {
		t.Errorf("Response of nothing = %v, want status 400", err)
	}
}

func TestTrailers(t *testing.T) {
	for _, c := range []struct {
		name   string
		fields pairs
		want   [][2]string
		status int
	}{
		{"none", nil, nil, 0},
		{"of gRPC", pairs{"grpc-status", "0", "grpc-message", ""}, [][2]string{{"grpc-status", "0"}, {"grpc-message", ""}}, 0},
		{
			"SM17: those that may not come after a body",
			pairs{
				"a", "1", "content-length", "5", "host", "b", "authorization", "c", "cookie", "d", "x-forwarded-for", "e", "te", "trailers", "x_y", "f", "z", "2",
			},
			[][2]string{{"a", "1"}, {"z", "2"}},
			0,
		},
		{"a length that is none, which is dropped too", pairs{"content-length", "+5", "a", "1"}, [][2]string{{"a", "1"}}, 0},
		{"DG6: pseudo-field", pairs{":path", "/"}, nil, 400},
		{"DG6: :status", pairs{":status", "200"}, nil, 400},
		{"DG6: pseudo-field that nobody knows", pairs{":x", "y"}, nil, 400},
		{"DG1: line end", pairs{"a", "b\r\nc: d"}, nil, 400},
		{"DG2: capital letter", pairs{"A", "b"}, nil, 400},
		{"DG3: transfer-encoding", pairs{"transfer-encoding", "chunked"}, nil, 400},
		{"DG3: te", pairs{"te", "gzip"}, nil, 400},
		{"DG9: as large as may be", pairs{"a", strings.Repeat("b", h1.MaxTrailer+(h1.MaxTrailers-1)*fieldOverhead-1)}, [][2]string{{"a", strings.Repeat("b", 6111)}}, 0},
		{"DG9: a byte more", pairs{"a", strings.Repeat("b", h1.MaxTrailer+(h1.MaxTrailers-1)*fieldOverhead)}, nil, 431},
		{"DG9: too many", manyTrailers(h1.MaxTrailers + 1), nil, 431},
	} {
		e := newEnds(nil)
		before := msg.Fields{field("of", "before")}
		fields, mem, err := e.dec.Trailers(before, []byte("kept"), e.block(t, c.fields), ofStream)
		if got := refused(t, err); got != c.status {
			t.Errorf("%s: Trailers = status %d (%v), want %d", c.name, got, err, c.status)
		}
		if got := fieldsOf(fields[1:]); !cmp.Equal(got, c.want) || string(fields[0].Name) != "of" || string(mem[:4]) != "kept" {
			t.Errorf("%s: Trailers = %q behind %s in %.4q, want %q behind of in kept", c.name, got, fields[0].Name, mem, c.want)
		}
	}
	e := newEnds(nil)
	fields, _, err := e.dec.Trailers(nil, nil, e.block(t, manyTrailers(h1.MaxTrailers)), ofStream)
	if len(fields) != h1.MaxTrailers || err != nil {
		t.Errorf("Trailers of %d fields = %d, %v", h1.MaxTrailers, len(fields), err)
	}
}

func manyTrailers(n int) (p pairs) {
	for i := range n {
		p = append(p, fmt.Sprint("a", i), "")
	}
	return p
}

// TestHeadsShareNoMemory: a head stays what it was while others are decoded into memory of their own.
func TestHeadsShareNoMemory(t *testing.T) {
	e := newEnds(nil)
	var heads [3]msg.Request
	for i := range heads {
		if _, err := e.dec.Request(&heads[i], nil, e.block(t, plain("x", fmt.Sprint(i), "cookie", "a", "cookie", fmt.Sprint(i))), ofStream, true); err != nil {
			t.Fatal(err)
		}
	}
	for i := range heads {
		want := [][2]string{{"x", fmt.Sprint(i)}, {"cookie", fmt.Sprint("a; ", i)}}
		if got := fieldsOf(heads[i].Fields); !cmp.Equal(got, want) {
			t.Errorf("Fields of head %d = %q, want %q", i, got, want)
		}
	}
}
