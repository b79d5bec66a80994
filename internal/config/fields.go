package config

import (
	"reflect"
	"strings"
)

// field is one key of a struct, as its tags state it.
type field struct {
	name     string
	index    []int // for reflect.Value.FieldByIndex
	owner    reflect.Type
	goName   string
	typ      reflect.Type
	def      string
	hasDef   bool
	min, max string
	enum     []string
}

// fieldsOf lists a struct's keys in order, those of inlined structs among them.
func fieldsOf(t reflect.Type) []field {
	var all []field
	for i := range t.NumField() {
		f := t.Field(i)
		tag, ok := f.Tag.Lookup("yaml")
		if !ok || tag == "-" {
			continue
		}
		if tag == ",inline" {
			for _, inner := range fieldsOf(f.Type) {
				inner.index = append([]int{i}, inner.index...)
				all = append(all, inner)
			}
			continue
		}
		x := field{name: tag, index: []int{i}, owner: t, goName: f.Name, typ: f.Type, min: f.Tag.Get("min"), max: f.Tag.Get("max")}
		x.def, x.hasDef = f.Tag.Lookup("default")
		if enum := f.Tag.Get("enum"); enum != "" {
			x.enum = strings.Split(enum, ",")
		}
		all = append(all, x)
	}
	return all
}

// keys returns the fields' names.
func keys(fields []field) []string {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.name
	}
	return names
}

// below returns the struct that a field's value is made of, and how a path goes on to it: through a list, a mapping by name, or at once.
func below(t reflect.Type) (inner reflect.Type, step string, ok bool) {
	switch t {
	case reflect.TypeFor[Pools]():
		return reflect.TypeFor[Pool](), ".NAME", true
	case reflect.TypeFor[NamedMatches]():
		return reflect.TypeFor[Match](), ".NAME", true
	case reflect.TypeFor[Conditions]():
		return reflect.TypeFor[Text](), ".NAME", true
	}
	for {
		switch t.Kind() {
		case reflect.Slice:
			t, step = t.Elem(), step+"[]"
		case reflect.Pointer:
			t = t.Elem()
		case reflect.Struct:
			return t, step, len(fieldsOf(t)) > 0
		default:
			return nil, "", false
		}
	}
}

// whereIs finds the place nearest below a struct at which a key is allowed, as a path; "" if there is none. long: the short
// shape's keys do not count.
func whereIs(key string, root reflect.Type, long bool) string {
	type place struct {
		t    reflect.Type
		path string
	}
	seen := map[reflect.Type]bool{}
	for queue := []place{{root, ""}}; len(queue) > 0; queue = queue[1:] {
		at := queue[0]
		if seen[at.t] {
			continue
		}
		seen[at.t] = true
		for _, f := range fieldsOf(at.t) {
			if long && at.t == root && f.owner != root && f.owner != reflect.TypeFor[Parts]() {
				continue
			}
			if f.name == key && at.path != "" {
				return strings.TrimPrefix(at.path, ".")
			}
			if inner, step, ok := below(f.typ); ok {
				queue = append(queue, place{inner, at.path + "." + f.name + step})
			}
		}
	}
	return ""
}

// typeNames are what a person calls the structs.
var typeNames = map[reflect.Type]string{
	reflect.TypeFor[Config]():             "at the top of the file",
	reflect.TypeFor[Parts]():              "in an included file",
	reflect.TypeFor[Listener]():           "in a listener",
	reflect.TypeFor[ListenerTLS]():        "in tls",
	reflect.TypeFor[Certificate]():        "in a certificate",
	reflect.TypeFor[ClientCertificates](): "in client_certificates",
	reflect.TypeFor[HSTS]():               "in hsts",
	reflect.TypeFor[Route]():              "in a route",
	reflect.TypeFor[Match]():              "in match",
	reflect.TypeFor[MatchTLS]():           "in tls of a match",
	reflect.TypeFor[Share]():              "in split",
	reflect.TypeFor[Redirect]():           "in redirect",
	reflect.TypeFor[Reply]():              "in reply",
	reflect.TypeFor[Access]():             "in access",
	reflect.TypeFor[RateLimit]():          "in rate_limit",
	reflect.TypeFor[InFlightLimit]():      "in in_flight_limit",
	reflect.TypeFor[CORS]():               "in cors",
	reflect.TypeFor[ErrorPage]():          "in an error page",
	reflect.TypeFor[BasicAuth]():          "in basic_auth",
	reflect.TypeFor[ForwardAuth]():        "in forward_auth",
	reflect.TypeFor[Mirror]():             "in mirror",
	reflect.TypeFor[Compress]():           "in compress",
	reflect.TypeFor[Rewrite]():            "in rewrite",
	reflect.TypeFor[Edits]():              "in changes to headers",
	reflect.TypeFor[RouteRetry]():         "in a route's retry",
	reflect.TypeFor[Text]():               "in a comparison",
	reflect.TypeFor[Pool]():               "in a pool",
	reflect.TypeFor[Server]():             "in a server",
	reflect.TypeFor[Health]():             "in health",
	reflect.TypeFor[Agent]():              "in agent",
	reflect.TypeFor[HTTPProbe]():          "in http",
	reflect.TypeFor[TCPProbe]():           "in tcp",
	reflect.TypeFor[TLSProbe]():           "in tls",
	reflect.TypeFor[ServerTLS]():          "in server_tls",
	reflect.TypeFor[GRPCProbe]():          "in grpc",
	reflect.TypeFor[Affinity]():           "in affinity",
	reflect.TypeFor[Source]():             "in source",
	reflect.TypeFor[Hash]():               "in hash",
	reflect.TypeFor[Cookie]():             "in cookie",
	reflect.TypeFor[Retry]():              "in retry",
	reflect.TypeFor[Hedge]():              "in hedge",
	reflect.TypeFor[Eject]():              "in eject",
	reflect.TypeFor[Queue]():              "in queue",
	reflect.TypeFor[Adaptive]():           "in adaptive",
	reflect.TypeFor[FailOpen]():           "in fail_open",
	reflect.TypeFor[Timeouts]():           "in timeouts",
	reflect.TypeFor[ListenerTimeouts]():   "in a listener's timeouts",
	reflect.TypeFor[RouteTimeouts]():      "in a route's timeouts",
	reflect.TypeFor[Limits]():             "in limits",
	reflect.TypeFor[AccessLog]():          "in access_log",
	reflect.TypeFor[Admin]():              "in admin",
}
