package app

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"poise/internal/config"
	"poise/internal/encode"
	"poise/internal/proxy"
	"poise/internal/route"
)

// maxReply is the most that a fixed answer has, in bytes.
const maxReply = 1 << 20

// actionsOf is what a route does beside sending requests to pools.
func actionsOf(r *config.Route) (*route.Actions, error) {
	a := &route.Actions{MaxBody: int64(r.MaxBody), Request: editsOf(r.RequestHeaders), Response: editsOf(r.ResponseHeaders)}
	if x := r.Access; x != nil {
		a.Access = route.NewAccess(x.Allow, x.Deny)
	}
	if x := r.CORS; x != nil {
		a.CORS = corsOf(x)
	}
	if x := r.Compress; x != nil {
		a.Compress = compressOf(x)
	}
	if x := r.Redirect; x != nil {
		a.Redirect = &route.Redirect{
			Status: x.Status, Scheme: x.Scheme, Host: templateOf(x.Host), Port: x.Port, Path: route.Replace{Path: templateOf(x.Path), Prefix: x.Prefix},
			Query: templateOf(x.Query),
		}
	}
	if x := r.Rewrite; x != nil {
		a.Rewrite = &route.Rewrite{Host: templateOf(x.Host), Path: route.Replace{Path: templateOf(x.Path), Prefix: x.Prefix}}
	}
	if x := r.Reply; x != nil {
		var err error
		if a.Reply, err = replyOf(x.Body, x.BodyFile, x.ContentType); err != nil {
			return nil, fmt.Errorf("reply: %w", err)
		}
		a.Reply.Status = x.Status
	}
	return a, nil
}

// corsOf is what browsers are told.
func corsOf(x *config.CORS) *route.CORS {
	c := &route.CORS{
		Any: slices.Contains(x.Origins, "*"), Origins: x.Origins, Credentials: x.Credentials, Headers: []byte(strings.Join(x.Headers, ", ")),
		Expose: []byte(strings.Join(x.Expose, ", ")), Methods: []byte(strings.Join(append([]string{"GET", "HEAD", "POST"}, x.Methods...), ", ")),
	}
	c.MaxAge = strconv.AppendInt(nil, int64(x.MaxAge/time.Second), 10)
	return c
}

// compressible are the types of content that become much smaller, and of which none is compressed already.
var compressible = []string{
	"text/*", "application/json", "application/ld+json", "application/manifest+json", "application/problem+json", "application/vnd.api+json",
	"application/geo+json", "application/x-ndjson", "application/javascript", "application/xml", "application/xhtml+xml", "application/rss+xml",
	"application/atom+xml", "application/yaml", "application/wasm", "image/svg+xml", "font/otf", "font/ttf",
}

// compressOf is which answers are compressed, and how.
func compressOf(x *config.Compress) *route.Compress {
	c := &route.Compress{Types: x.Types, MinSize: int64(x.MinSize), Codings: []encode.Coding{encode.Zstd, encode.Brotli, encode.Gzip}}
	if len(x.Types) == 0 {
		c.Types = compressible
	}
	if len(x.Encodings) > 0 {
		c.Codings = nil
	}
	for _, name := range x.Encodings {
		c.Codings = append(c.Codings, encode.Named(name))
	}
	return c
}

// replyOf is an answer whose body is given, or in a file.
func replyOf(body, file, contentType string) (*route.Reply, error) {
	r := &route.Reply{Body: []byte(body), ContentType: []byte(contentType)}
	if file == "" {
		return r, nil
	}
	var err error
	r.Body, err = readUpTo(file, maxReply)
	return r, err
}

// pagesOf are a listener's error pages.
func pagesOf(l *config.Listener) ([]proxy.Page, error) {
	var pages []proxy.Page
	for _, x := range l.ErrorPages {
		r, err := replyOf(x.Body, x.BodyFile, x.ContentType)
		if err != nil {
			return nil, fmt.Errorf("error_pages: %w", err)
		}
		for _, s := range x.Status {
			pages = append(pages, proxy.Page{From: s.First, To: s.Last, Reply: r})
		}
	}
	return pages, nil
}

func editsOf(e *config.Edits) *route.Edits {
	if e == nil {
		return nil
	}
	to := &route.Edits{}
	for _, name := range e.Remove {
		to.Remove = append(to.Remove, route.NewEdit(name, nil).Lower)
	}
	for _, p := range e.Set {
		to.Set = append(to.Set, route.NewEdit(p.Name, templateOf(config.Template(p.Value))))
	}
	for _, p := range e.Add {
		to.Add = append(to.Add, route.NewEdit(p.Name, templateOf(config.Template(p.Value))))
	}
	return to
}

// factOf are the facts by their names in the configuration.
var factOf = map[string]route.Fact{
	"scheme": route.Scheme, "host": route.Host, "path": route.Path, "path_rest": route.PathRest, "method": route.Method, "client_ip": route.ClientIP,
	"request_id": route.RequestID, "server_name": route.ServerName, "client_subject": route.Subject, "user": route.User,
	"header": route.Header, "cookie": route.Cookie,
}

// templateOf is a template that the configuration's checks have found good; nil for an empty one.
func templateOf(t config.Template) *route.Template {
	parts, _ := t.Parts()
	if len(parts) == 0 {
		return nil
	}
	var to route.Template
	for _, p := range parts {
		switch {
		case p.Fact == "":
			to = append(to, route.Part{Text: p.Text})
		case p.Fact == "query" && p.Name != "":
			to = append(to, route.Part{Fact: route.QueryValue, Text: p.Name})
		case p.Fact == "query":
			to = append(to, route.Part{Fact: route.Query})
		default:
			to = append(to, route.Part{Fact: factOf[p.Fact], Text: p.Name})
		}
	}
	return &to
}
