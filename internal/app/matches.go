package app

import (
	"cmp"
	"slices"

	"poise/internal/config"
	"poise/internal/route"
)

// matchesOf are a route's matches, each with what it uses.
func matchesOf(list config.Matches) []route.Match {
	var all []route.Match
	for _, m := range list {
		to := matchOf(m)
		if m.Used != nil {
			to = both(to, matchOf(m.Used))
		}
		all = append(all, to)
	}
	return all
}

func matchOf(m *config.Match) route.Match {
	to := route.Match{
		Host: m.Host, Path: m.Path, PathPattern: m.PathRegex, Methods: m.Methods, Headers: conditionsOf(m.Headers), Query: conditionsOf(m.Query),
		Cookies: conditionsOf(m.Cookies), Source: m.Source, ServerName: m.TLS.ServerName,
	}
	if m.TLS.Subject != (config.Text{}) {
		subject := textOf(&m.TLS.Subject)
		to.Subject = &subject
	}
	return to
}

// both is the match of what meets two, of which only one has what can be there but once.
func both(a, b route.Match) route.Match {
	return route.Match{
		Host: cmp.Or(a.Host, b.Host), Path: cmp.Or(a.Path, b.Path), PathPattern: cmp.Or(a.PathPattern, b.PathPattern),
		Methods: slices.Concat(a.Methods, b.Methods), Headers: slices.Concat(a.Headers, b.Headers), Query: slices.Concat(a.Query, b.Query),
		Cookies: slices.Concat(a.Cookies, b.Cookies), Source: slices.Concat(a.Source, b.Source),
		ServerName: cmp.Or(a.ServerName, b.ServerName), Subject: cmp.Or(a.Subject, b.Subject),
	}
}

func conditionsOf(list config.Conditions) []route.Condition {
	var all []route.Condition
	for i := range list {
		all = append(all, route.Condition{Name: list[i].Name, Text: textOf(&list[i].Text)})
	}
	return all
}

func textOf(t *config.Text) route.Text {
	switch {
	case t.Present:
		return route.Text{Kind: route.Present}
	case t.Absent:
		return route.Text{Kind: route.Absent}
	case t.Prefix != "":
		return route.Text{Kind: route.Prefix, Value: t.Prefix}
	case t.Regex != "":
		return route.Text{Kind: route.Pattern, Value: t.Regex}
	}
	return route.Text{Value: t.Exact}
}
