package exchange

import (
	"poise/internal/msg"
)

// Web is how a client makes a gRPC call that can neither send nor read what gRPC needs of HTTP/2, as a program in a browser: the trailers are the last part
// of the answer's body, and of text the whole body is base64 (gRPC-Web, "Protocol differences vs gRPC over HTTP2"). Servers get gRPC.
type Web uint8

// The ways.
const (
	NoWeb Web = iota
	WebBinary
	WebText
)

const (
	grpcType = "application/grpc"
	webType  = grpcType + "-web"
	textType = webType + "-text"
)

// Web is how the client makes its call, where that is not what its server gets.
func (x *Exchange) Web() Web { return x.call.web }

// findWebCall looks whether the request is a call to be translated.
func (x *Exchange) findWebCall() {
	if !x.Route.GRPCWeb || string(x.Req.Method) != "POST" {
		return
	}
	kind, _ := x.Req.Fields.Get(msg.ContentType)
	if suffix, ok := after(kind, textType); ok {
		x.call.web, x.call.suffix = WebText, suffix
	} else if suffix, ok := after(kind, webType); ok {
		x.call.web, x.call.suffix = WebBinary, suffix
	} else {
		return
	}
	x.takeCall()
}

// after is what follows a media type, up to its parameters.
func after(kind []byte, media string) (suffix []byte, ok bool) {
	if len(kind) < len(media) || !msg.EqualFold(kind[:len(media)], media) {
		return nil, false
	}
	suffix = kind[len(media):]
	return suffix, len(suffix) == 0 || suffix[0] == '+' || suffix[0] == ';'
}

// mediaType makes one in memory of the exchange.
func (x *Exchange) mediaType(w Web, suffix []byte) []byte {
	from := len(x.scratch)
	x.scratch = append(append(x.scratch, [...]string{grpcType, webType, textType}[w]...), suffix...)
	return x.scratch[from:len(x.scratch):len(x.scratch)]
}

// AnswersWeb tells whether the answer's body is to be translated.
func (x *Exchange) AnswersWeb(resp *msg.Response) bool {
	if x.call.web == NoWeb {
		return false
	}
	kind, _ := resp.Fields.Get(msg.ContentType)
	_, ok := x.webSuffix(kind)
	return ok
}

// webSuffix is what follows an answer's media type, if it is one of a call to be translated.
func (x *Exchange) webSuffix(kind []byte) (suffix []byte, ok bool) {
	if x.call.web == NoWeb {
		return nil, false
	}
	return after(kind, grpcType)
}
