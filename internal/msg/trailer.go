package msg

import "slices"

// TrailerAllowed tells whether a field may come after a body. Those that frame or route the message, identify or authenticate who
// sent it, change how it is handled, or say how to read the body may not (RFC 9110 §6.5.1): whoever looked for them in the
// head would see another message than whoever looks at the end. Names with "_" may not either, as they may pass for one of those.
func TrailerAllowed(f *Field) bool {
	if f.HasUnderscore() || HopByHop(f.ID) {
		return false
	}
	switch f.ID {
	case Other:
		return !hasPrefix(f.Name, "x-forwarded-") && !hasPrefix(f.Name, "if-") && !slices.ContainsFunc(headOnly, f.is)
	case Via, ProxyStatus:
		return true
	}
	// All other fields that Poise acts on are acted on before the body comes.
	return false
}

// headOnly are the names without an ID that RFC 9110 keeps out of trailers as modifiers or control data.
var headOnly = []string{
	"age", "expires", "vary", "warning", "pragma", "accept", "accept-charset", "accept-encoding", "accept-language",
	"content-location", "content-language", "status", "x-http-method-override", "sec-websocket-extensions", "sec-websocket-protocol",
}

func (f *Field) is(lower string) bool { return EqualFold(f.Name, lower) }

func hasPrefix(name []byte, lower string) bool {
	return len(name) >= len(lower) && EqualFold(name[:len(lower)], lower)
}
