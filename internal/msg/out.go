package msg

// RequestHead is a request as a codec prints it for a server.
type RequestHead struct {
	Method []byte
	// Path begins with "/", or is "*". Query is empty or begins with "?". Together they are the target.
	Path, Query []byte
	Authority   []byte // Host's value; may be empty, and is then sent so (RFC 9112 §3.2)
	Secure      bool   // the scheme is https, where it is printed
	// Fields are all others. They must not hold what follows from the rest of this struct: Host, Connection, Keep-Alive,
	// Proxy-Connection, TE, Content-Length, Transfer-Encoding, Upgrade, HTTP2-Settings.
	Fields    Fields
	Length    int64  // the body's bytes, or Chunked
	HasLength bool   // print Content-Length even if Length is 0
	Close     bool   // this is the connection's last request
	Upgrade   []byte // empty, or the protocol to offer: with "Connection: upgrade", or as an extended CONNECT
	Trailers  bool   // print that trailers are wanted ("TE: trailers"), where that needs no more than a field
}

// ResponseHead is a response as a codec prints it for a client.
type ResponseHead struct {
	Status int    // 100 to 999
	Reason []byte // nil: the standard text
	Fields Fields // as RequestHead's, but that Host has no meaning
	// Length is the body's bytes, or for HEAD and 304 those that it would have; Chunked; UntilClose, which implies Close.
	// It is never printed with 1xx and 204, which have none (RFC 9110 §8.6).
	Length   int64
	NoLength bool // print neither Content-Length nor Transfer-Encoding: there is no body and no length to tell
	Close    bool // this is the connection's last response
	// KeepAlive10: the client speaks HTTP/1.0 and asked to keep the connection, and needs to be told that it is kept.
	KeepAlive10 bool
	Upgrade     []byte // of a 101: the protocol switched to; of a 426: those to choose from
}

// Clone is the head in memory of its own.
func (h RequestHead) Clone() RequestHead {
	size := len(h.Method) + len(h.Path) + len(h.Query) + len(h.Authority) + len(h.Upgrade)
	for _, f := range h.Fields {
		size += len(f.Name) + len(f.Value)
	}
	mem := make([]byte, 0, size)
	part := func(b []byte) []byte {
		from := len(mem)
		mem = append(mem, b...)
		return mem[from:len(mem):len(mem)]
	}
	h.Method, h.Path, h.Query, h.Authority, h.Upgrade = part(h.Method), part(h.Path), part(h.Query), part(h.Authority), part(h.Upgrade)
	fields := make(Fields, len(h.Fields))
	for i, f := range h.Fields {
		fields[i] = Field{Name: part(f.Name), Value: part(f.Value), ID: f.ID}
	}
	h.Fields = fields
	return h
}
