// Package msg holds the heads of requests and responses, in a form that no HTTP version owns.
//
// A head is a view: its byte slices alias the memory that it was parsed from, and live as long as that. Codecs (h1, later
// h2) make and print heads; routing, affinity and exchange read them. The package never parses or prints the wire.
// Start reading at Request.
package msg

// Field is one header or trailer field. Name keeps the sender's case; ID is set for the names that Poise acts on.
type Field struct {
	Name, Value []byte
	ID          ID
}

// Fields are header fields in the order in which they came.
type Fields []Field

// Values of Length that are no byte count.
const (
	Chunked    int64 = -1 // the body tells its own end
	UntilClose int64 = -2 // responses only: the body ends with the connection
)

// Version is an HTTP version.
type Version uint8

// The versions.
const (
	HTTP10 Version = iota
	HTTP11
	HTTP2
)

// String is what logs call the version; of HTTP/2 too, whose name elsewhere has no minor version.
func (v Version) String() string {
	switch v {
	case HTTP10:
		return "HTTP/1.0"
	case HTTP11:
		return "HTTP/1.1"
	}
	return "HTTP/2.0"
}

// Request is a request's head.
type Request struct {
	Method []byte // a token, case kept
	// Scheme is "http" or "https" when the target was in absolute form, else empty.
	Scheme []byte
	// Authority is the host and optional port that the request is for: the target's, where it had one, else Host's value.
	// Empty only for HTTP/1.0 without Host.
	Authority []byte
	// Host is Authority without port, lower case, without a trailing dot: what routes match. An IPv6 address keeps its brackets.
	Host []byte
	// Path is the normalised path: dot segments are resolved, escapes of unreserved characters decoded, encoded slashes kept. "*" for
	// OPTIONS *. What is matched is what is forwarded.
	Path []byte
	// Query is the raw query with its "?", byte-exact, or empty.
	Query   []byte
	Version Version
	// Protocol is what an extended CONNECT of HTTP/2 asks for (RFC 8441); else empty. Method is then GET, by which HTTP/1.1 asks for the same.
	Protocol []byte

	Fields Fields // all fields as they came, Host, Content-Length and hop-by-hop ones among them
	// Connection lists the option names of all Connection fields, in lower case and in order; close and keep-alive included.
	Connection [][]byte

	Length int64 // the body's bytes; 0: none; Chunked
	// HasLength: a Content-Length was sent (so that "0" is told from none).
	HasLength bool
	KeepAlive bool // the client lets the connection live on
	Trailers  bool // TE: trailers: the client wants them
	Expect100 bool // Expect: 100-continue from an HTTP/1.1 client
}

// Response is a response's head.
type Response struct {
	Status     int
	Reason     []byte
	Version    Version
	Fields     Fields
	Connection [][]byte
	// Length is the body's bytes as the framing says, already 0 where the status or the request's method allows no body; Chunked; UntilClose.
	Length    int64
	HasLength bool
	// ContentLength is the value of Content-Length where there is one (for HEAD and 304 it differs from Length).
	ContentLength int64
	KeepAlive     bool // the server lets the connection live on
	// KeepAliveTimeout is the seconds of the server's `Keep-Alive: timeout=`, or -1.
	KeepAliveTimeout int
}

// Reset empties the head and keeps its memory for the next.
func (r *Request) Reset() {
	*r = Request{Fields: r.Fields[:0], Connection: r.Connection[:0]}
}

// Reset empties the head and keeps its memory for the next.
func (r *Response) Reset() {
	*r = Response{Fields: r.Fields[:0], Connection: r.Connection[:0], KeepAliveTimeout: -1}
}
