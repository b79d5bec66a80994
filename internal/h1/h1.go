// Package h1 is the HTTP/1 codec: bytes to heads and bodies, and back, after RFC 9112 read strictly.
//
// It never does I/O, keeps no time, and decides nothing about a request but whether it has exactly one reading: whatever
// has two, or breaks the grammar, is an *Error, and nothing of it may be forwarded. What goes out is printed afresh from
// the parsed head, never copied from what came in. Deliberate tightenings of the RFC (no bare LF, no obs-fold, no white
// space around chunk sizes, one Content-Length, "chunked" as the only coding) are stated where they are checked.
//
// Start reading at ParseRequest; then fields.go and framing.go, which requests and responses share; target.go for what
// a path becomes; chunked.go for bodies; append.go for the way out. Scanner is for heads that come in pieces.
package h1

// Error is why a message was refused. Reason is constant text that never repeats input.
type Error struct {
	// Status is what the client is answered with. From ParseResponse it is always 502.
	Status int
	Reason string
}

func (e *Error) Error() string { return e.Reason }

// Defaults of Limits, and the limits that are no setting. Sources: nginx takes heads of 4 x 8 KiB and HAProxy 16 KiB and 101
// fields; RFC 9112 §3 asks for request lines of at least 8000 bytes.
const (
	DefaultHead   = 64 << 10
	DefaultFields = 100
	DefaultTarget = 32 << 10

	maxMethod    = 32 // the longest registered one, UPDATEREDIRECTREF, has 17 letters
	maxBlank     = 2  // empty lines before a request line (RFC 9112 §2.2: at least one should be ignored)
	maxHost      = 255
	maxExtension = 4 << 10 // bytes of chunk extensions in a message
	maxTrailer   = 4 << 10 // bytes of a trailer section
	maxTrailers  = 64      // fields of a trailer section
)

// Limits bound one head. A zero value, or no Limits at all, means the default.
type Limits struct {
	Head   int // bytes of the start line and the fields, with their line ends; DefaultHead. Above: 431, or 414 inside the target
	Fields int // number of fields, and of Connection options; DefaultFields. Above: 431
	Target int // bytes of the request target; DefaultTarget. Above: 414
}

func (l *Limits) head() int {
	if l == nil || l.Head == 0 {
		return DefaultHead
	}
	return l.Head
}

func (l *Limits) fields() int {
	if l == nil || l.Fields == 0 {
		return DefaultFields
	}
	return l.Fields
}

func (l *Limits) target() int {
	if l == nil || l.Target == 0 {
		return DefaultTarget
	}
	return l.Target
}

// The errors of heads. They are shared and never changed; a response's are given the status 502 on the way out.
var (
	errLineEnd     = &Error{400, "line does not end in CRLF"}
	errControl     = &Error{400, "control character in a field value"}
	errFieldName   = &Error{400, "malformed field name"}
	errNoColon     = &Error{400, "field name is not followed by a colon"}
	errFold        = &Error{400, "folded field line"}
	errHeadSize    = &Error{431, "head is too large"}
	errFieldCount  = &Error{431, "too many fields"}
	errOptions     = &Error{431, "too many connection options"}
	errOption      = &Error{400, "malformed connection option"}
	errLength      = &Error{400, "malformed content-length"}
	errLengths     = &Error{400, "more than one content-length"}
	errLengthTE    = &Error{400, "both content-length and transfer-encoding"}
	errCoding      = &Error{400, "malformed transfer-encoding"}
	errUnknownTE   = &Error{501, "unknown transfer coding"}
	errTE10        = &Error{400, "transfer-encoding in HTTP/1.0"}
	errExpectation = &Error{417, "unknown expectation"}

	errBlank    = &Error{400, "too many empty lines before the request"}
	errStart    = &Error{400, "not an HTTP request"}
	errMethod   = &Error{400, "malformed method"}
	errLongWord = &Error{501, "method is too long"}
	errConnect  = &Error{501, "method CONNECT is not supported"}
	errTarget   = &Error{400, "malformed request target"}
	errTooLong  = &Error{414, "request target is too long"}
	errForm     = &Error{400, "request target in no form that this method may use"}
	errScheme   = &Error{400, "scheme is neither http nor https"}
	errSlashes  = &Error{400, "path begins with two slashes"}
	errEscape   = &Error{400, "malformed percent-encoding in the path"}
	errNUL      = &Error{400, "encoded NUL in the path"}
	errVersion  = &Error{400, "malformed or missing HTTP version"}
	errMajor    = &Error{505, "HTTP version is not supported"}
	errNoHost   = &Error{400, "no host"}
	errHosts    = &Error{400, "more than one host"}
	errHost     = &Error{400, "malformed host"}

	errStatusLine = &Error{502, "malformed status line"}
)
