package msg

// ID names a field that Poise acts on, so that the hot path compares one byte and not a name.
type ID uint8

// The fields that Poise acts on; Other is every other name. XClientCert stands for all names that begin with "x-client-cert",
// and ClientCert for those that begin with "client-cert".
const (
	Other ID = iota
	Host
	Connection
	ContentLength
	TransferEncoding
	Expect
	Upgrade
	KeepAlive
	ProxyConnection
	TE
	Trailer
	HTTP2Settings
	Forwarded
	XForwardedFor
	XForwardedProto
	XForwardedHost
	XForwardedPort
	XForwardedPrefix
	XRealIP
	TrueClientIP
	XClientCert
	ClientCert
	XRequestID
	Cookie
	SetCookie
	Date
	Server
	Via
	Location
	RetryAfter
	Authorization
	WWWAuthenticate
	ProxyAuthenticate
	ProxyAuthorization
	ProxyStatus
	Traceparent
	Tracestate
	UserAgent
	Referer
	EarlyData
	MaxForwards
	CacheControl
	Range
	ContentType
	ContentEncoding
	ContentRange
	SecWebSocketKey
	SecWebSocketVersion
	SecWebSocketAccept
	numIDs
)

var idNames = [numIDs]string{
	Other:               "",
	Host:                "host",
	Connection:          "connection",
	ContentLength:       "content-length",
	TransferEncoding:    "transfer-encoding",
	Expect:              "expect",
	Upgrade:             "upgrade",
	KeepAlive:           "keep-alive",
	ProxyConnection:     "proxy-connection",
	TE:                  "te",
	Trailer:             "trailer",
	HTTP2Settings:       "http2-settings",
	Forwarded:           "forwarded",
	XForwardedFor:       "x-forwarded-for",
	XForwardedProto:     "x-forwarded-proto",
	XForwardedHost:      "x-forwarded-host",
	XForwardedPort:      "x-forwarded-port",
	XForwardedPrefix:    "x-forwarded-prefix",
	XRealIP:             "x-real-ip",
	TrueClientIP:        "true-client-ip",
	XClientCert:         "x-" + clientCertPrefix,
	ClientCert:          clientCertPrefix,
	XRequestID:          "x-request-id",
	Cookie:              "cookie",
	SetCookie:           "set-cookie",
	Date:                "date",
	Server:              "server",
	Via:                 "via",
	Location:            "location",
	RetryAfter:          "retry-after",
	Authorization:       "authorization",
	WWWAuthenticate:     "www-authenticate",
	ProxyAuthenticate:   "proxy-authenticate",
	ProxyAuthorization:  "proxy-authorization",
	ProxyStatus:         "proxy-status",
	Traceparent:         "traceparent",
	Tracestate:          "tracestate",
	UserAgent:           "user-agent",
	Referer:             "referer",
	EarlyData:           "early-data",
	MaxForwards:         "max-forwards",
	CacheControl:        "cache-control",
	Range:               "range",
	ContentType:         "content-type",
	ContentEncoding:     "content-encoding",
	ContentRange:        "content-range",
	SecWebSocketKey:     "sec-websocket-key",
	SecWebSocketVersion: "sec-websocket-version",
	SecWebSocketAccept:  "sec-websocket-accept",
}

const clientCertPrefix = "client-cert"

// String is the field's name in lower case; empty for Other.
func (id ID) String() string {
	if id < numIDs {
		return idNames[id]
	}
	return ""
}

// slots finds the one ID that a name can have by its slot; a test holds that no two names share a slot.
var slots = func() (t [256]ID) {
	for id := Other + 1; id < numIDs; id++ {
		t[slot([]byte(idNames[id]))] = id
	}
	return t
}()

// slot hashes a name that is not empty by its length and two letters, whatever their case. The factors were found by trying.
func slot(name []byte) uint8 {
	n := len(name)
	return uint8(n) + 2*(name[0]|0x20) + 24*(name[n*3/4]|0x20)
}

// Lookup finds the ID of a field name, in any case.
func Lookup(name []byte) ID {
	if len(name) == 0 {
		return Other
	}
	if id := slots[slot(name)]; id != Other && EqualFold(name, idNames[id]) {
		return id
	}
	switch {
	case len(name) <= len(clientCertPrefix):
	case name[0]|0x20 == 'x' && name[1] == '-' && forClientCert(name[2:]):
		return XClientCert
	case name[6] == '-' && forClientCert(name):
		return ClientCert
	}
	return Other
}

func forClientCert(name []byte) bool {
	return len(name) >= len(clientCertPrefix) && EqualFold(name[:len(clientCertPrefix)], clientCertPrefix)
}
