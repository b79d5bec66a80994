package accesslog

import (
	"net/netip"
	"strconv"
	"time"

	"poise/internal/clock"
)

// Record is what one exchange leaves in the log. The byte slices are read during Shard.Append and not kept.
//
// A timer below zero says that its phase never ended, and is printed as -1.
type Record struct {
	Time      clock.Instant // when the exchange began
	RequestID []byte
	Client    netip.AddrPort // not valid for a Unix socket's client: printed as ""
	User      []byte         // who the client is by its password; empty: nobody was asked for one
	Listener  string
	Route     string // empty: no route matched
	Pool      string
	Server    string // empty: no server was chosen
	Protocol  string // "HTTP/1.1"
	// ServerProtocol is what the server spoke that has answered; empty: none has.
	ServerProtocol string
	// GRPCStatus is that of a gRPC call's answer; below 0: there is none.
	GRPCStatus int
	Method     []byte
	Host       []byte
	Path       []byte // with the query, where the caller wants it logged
	Status     int    // what the client got; 499: it left before
	BytesIn    int64
	BytesOut   int64
	Attempts   int
	Queued     int     // its place in the pool's queue when it came there, from 1; 0: it did not wait
	Hedge      string  // "won" or "lost" where a second server was asked while the first had not answered: whose answer counted; empty: none was
	Reason     string  // why it ended, in words
	End        [4]byte // the same as HAProxy's four letters; a zero byte is printed as "-"

	TLS      time.Duration // the TLS handshake
	Idle     time.Duration // waiting for the request's first byte
	Head     time.Duration // reading the request's head
	Auth     time.Duration // asking a server whether the request may go on
	Queue    time.Duration // waiting for a server's slot
	Connect  time.Duration // getting a connection to the server
	Response time.Duration // waiting for the response's head
	Body     time.Duration // relaying the response's body
	Active   time.Duration // all of it but TLS and Idle
}

// Bytes of one field that are printed; what is longer is cut there and ends in "...". With them a record has a greatest
// length, which is why the log's memory has one. A path of 8 KiB is what common servers take at most.
const (
	maxPath     = 8 << 10
	maxField    = 256
	maxUser     = maxField / 2
	maxProtocol = maxField / 4 // there are two: with the user's name they are as long as one field

	// fixedLength covers keys, punctuation, numbers, addresses and timers.
	fixedLength = 1 << 10
	// longest escape of one byte: \u00XX.
	maxEscape = 6

	// maxRecord is the greatest length of one line: one path and ten other fields.
	maxRecord = fixedLength + maxEscape*(maxPath+10*maxField)
)

// bound is a length that r's line cannot exceed.
func (r *Record) bound() int {
	n := len(r.RequestID) + len(r.User) + len(r.Listener) + len(r.Route) + len(r.Pool) + len(r.Server) + len(r.Protocol) + len(r.ServerProtocol) +
		len(r.Method) + len(r.Host) + len(r.Path) + len(r.Reason) + len(r.End)
	return min(fixedLength+maxEscape*n, maxRecord)
}

// stamp prints times of day, and keeps the text of the last second, which all its records share.
type stamp struct {
	second int64
	text   [len("2006-01-02T15:04:05.")]byte
}

func (s *stamp) append(b []byte, at clock.Instant) []byte {
	wall := at.Wall()
	if second := wall.Unix(); second != s.second {
		s.second = second
		wall.UTC().AppendFormat(s.text[:0], "2006-01-02T15:04:05.")
	}
	b = append(b, s.text[:]...)
	return append(appendThousandths(b, wall.Nanosecond()/1e6), 'Z')
}

// append prints r as one line of JSON.
func (r *Record) append(b []byte, s *stamp) []byte {
	b = append(b, `{"ts":"`...)
	b = s.append(b, r.Time)
	b = append(b, `","request_id":"`...)
	b = appendText(b, r.RequestID, maxField)
	b = append(b, `","client":"`...)
	if r.Client.IsValid() {
		// A zone is the name of an interface, which may hold a quote.
		b = netip.AddrPortFrom(r.Client.Addr().Unmap().WithZone(""), r.Client.Port()).AppendTo(b)
	}
	b = append(b, `","user":"`...)
	b = appendText(b, r.User, maxUser)
	b = append(b, `","listener":"`...)
	b = appendText(b, r.Listener, maxField)
	b = append(b, `","route":"`...)
	b = appendText(b, r.Route, maxField)
	b = append(b, `","pool":"`...)
	b = appendText(b, r.Pool, maxField)
	b = append(b, `","server":"`...)
	b = appendText(b, r.Server, maxField)
	b = append(b, `","server_protocol":"`...)
	b = appendText(b, r.ServerProtocol, maxProtocol)
	b = append(b, `","protocol":"`...)
	b = appendText(b, r.Protocol, maxProtocol)
	b = append(b, `","method":"`...)
	b = appendText(b, r.Method, maxField)
	b = append(b, `","host":"`...)
	b = appendText(b, r.Host, maxField)
	b = append(b, `","path":"`...)
	b = appendText(b, r.Path, maxPath)
	b = append(b, `","status":`...)
	b = strconv.AppendInt(b, int64(r.Status), 10)
	b = append(b, `,"grpc_status":`...)
	b = strconv.AppendInt(b, int64(max(r.GRPCStatus, -1)), 10)
	b = append(b, `,"bytes_in":`...)
	b = strconv.AppendInt(b, r.BytesIn, 10)
	b = append(b, `,"bytes_out":`...)
	b = strconv.AppendInt(b, r.BytesOut, 10)
	b = append(b, `,"attempts":`...)
	b = strconv.AppendInt(b, int64(r.Attempts), 10)
	b = append(b, `,"queued":`...)
	b = strconv.AppendInt(b, int64(r.Queued), 10)
	b = append(b, `,"hedge":"`...)
	b = append(b, r.Hedge...)
	b = append(b, `","reason":"`...)
	b = appendText(b, r.Reason, maxField)
	b = append(b, `","end":"`...)
	b = appendEnd(b, r.End)
	b = append(b, '"')
	b = r.appendTimers(b)
	return append(b, "}\n"...)
}

func (r *Record) appendTimers(b []byte) []byte {
	b = appendMillis(append(b, `,"t_tls":`...), r.TLS)
	b = appendMillis(append(b, `,"t_idle":`...), r.Idle)
	b = appendMillis(append(b, `,"t_head":`...), r.Head)
	b = appendMillis(append(b, `,"t_auth":`...), r.Auth)
	b = appendMillis(append(b, `,"t_queue":`...), r.Queue)
	b = appendMillis(append(b, `,"t_connect":`...), r.Connect)
	b = appendMillis(append(b, `,"t_response":`...), r.Response)
	b = appendMillis(append(b, `,"t_body":`...), r.Body)
	return appendMillis(append(b, `,"t_active":`...), r.Active)
}

func appendEnd(b []byte, end [4]byte) []byte {
	for i, c := range end {
		if c == 0 {
			end[i] = '-'
		}
	}
	return appendText(b, end[:], len(end))
}

// appendMillis prints d in milliseconds with three decimals.
func appendMillis(b []byte, d time.Duration) []byte {
	if d < 0 {
		return append(b, "-1"...)
	}
	us := uint64(d) / uint64(time.Microsecond)
	if us < 10_000 { // nearly all
		ms := uint32(us)
		return append(b, byte('0'+ms/1000), '.', byte('0'+ms/100%10), byte('0'+ms/10%10), byte('0'+ms%10))
	}
	b = strconv.AppendUint(b, us/1000, 10)
	return appendThousandths(append(b, '.'), int(us%1000))
}

// appendThousandths prints 0 to 999 in three digits.
func appendThousandths(b []byte, n int) []byte {
	return append(b, byte('0'+n/100), byte('0'+n/10%10), byte('0'+n%10))
}
