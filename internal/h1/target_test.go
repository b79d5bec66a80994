package h1

import (
	"errors"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

func TestHT4Path(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"/", "/"},
		{"/a/b.html", "/a/b.html"},
		{"/.hidden/...", "/.hidden/..."},
		{"/a/./b", "/a/b"},
		{"/a/.", "/a/"},
		{"/a/..", "/"},
		{"/.", "/"},
		{"/..", "/"},
		{"/../../x", "/x"},
		{"/a/b/../../../c", "/c"},
		{"/a/../b", "/b"},
		{"/%2e%2e/", "/"},
		{"/a/%2E%2e/b", "/b"},
		{"/a/.%2e/b", "/b"},
		{"/a/%2e/b", "/a/b"},
		{"/a/%2e", "/a/"},
		{"/a/%2e%2e%2fb", "/a/..%2fb"},
		{"/a%2fb", "/a%2fb"},
		{"/a%2Fb", "/a%2Fb"},
		{"/a%5cb", "/a%5cb"},
		{"/a%5Cb", "/a%5Cb"},
		{"/..%2fx", "/..%2fx"},
		{"/a//b", "/a//b"},
		{"/a//", "/a//"},
		{"/a//../b", "/a/b"},
		{"/a/.//x", "/a//x"},
		{"/%252f", "/%252f"},
		{"/%252e%252e/a", "/%252e%252e/a"},
		{"/%61dmin", "/admin"},
		{"/%41%5a%7e%2d%5F%30", "/AZ~-_0"},
		{"/a;x=1", "/a;x=1"},
		{"/admin/..;/x", "/admin/..;/x"},
		{"/caf%c3%a9", "/caf%C3%A9"},
		{"/%c0%ae%c0%ae/x", "/%C0%AE%C0%AE/x"},
		{"/a.", "/a."},
		{"/a%20", "/a%20"},
		{"/a%3fb", "/a%3Fb"},
		{"/a%23b", "/a%23b"},
		{"/a%0ab", "/a%0Ab"},
		{"/[a]{b}|^`<>\"", "/[a]{b}|^`<>\""},
	} {
		if got := string(mustParse(t, "GET "+c.in+" HTTP/1.1\r\nHost: a\r\n\r\n").Path); got != c.want {
			t.Errorf("path of %s = %s, want %s", c.in, got, c.want)
		}
	}
	for _, in := range []string{"/%00", "/a%00b", "/%", "/%2", "/%zz", "/%2z", "/%z2", "/a\\b", "/%%32e", "/%2%65", "/%u002e", "/a%", "/%2e%"} {
		if _, err := normalize([]byte(in)); statusOf(t, err) != 400 {
			t.Errorf("normalize(%s): %v, want status 400", in, err)
		}
		checkHeads(t, []headCase{{in, "GET " + in + " HTTP/1.1\r\nHost: a\r\n\r\n", 400}})
	}
}

func TestHT6QueryIsKept(t *testing.T) {
	for _, query := range []string{
		"", "?", "??", "?a;b", "?a=%zz&%", "?a=%41", "?/../x", "?%2e%2e/", "?a\\b", "?a=%00", "?" + strings.Repeat("a&", 10000),
	} {
		r := mustParse(t, "GET /x/../y"+query+" HTTP/1.1\r\nHost: a\r\n\r\n")
		if string(r.Path) != "/y" || string(r.Query) != query {
			t.Errorf("target /x/../y%.40s: Path, Query = %s, %.40s", query, r.Path, r.Query)
		}
	}
}

var escape = regexp.MustCompile(`%[0-9a-fA-F]{2}`)

// slowNormalize is normalize as one would write it without caring for speed: substitute, split, walk.
func slowNormalize(p string) (string, error) {
	bare := escape.ReplaceAllString(p, "")
	if strings.ContainsAny(bare, `%\`) || strings.Contains(p, "%00") {
		return "", errors.New("refused")
	}
	p = escape.ReplaceAllStringFunc(p, func(e string) string {
		decoded, _ := url.PathUnescape(e)
		if regexp.MustCompile(`^[A-Za-z0-9._~-]$`).MatchString(decoded) {
			return decoded
		}
		if strings.EqualFold(e, "%2f") || strings.EqualFold(e, "%5c") {
			return e
		}
		return strings.ToUpper(e)
	})
	segments := strings.Split(p[1:], "/")
	var kept []string
	for i, s := range segments {
		last := i == len(segments)-1
		switch {
		case s == "..":
			kept = kept[:max(len(kept)-1, 0)]
		case s != ".":
			kept = append(kept, s)
			continue
		}
		if last {
			kept = append(kept, "")
		}
	}
	return "/" + strings.Join(kept, "/"), nil
}

func FuzzNormalize(f *testing.F) {
	for _, s := range []string{"/", "/a/../b", "/%2e%2E/x/.", "/a//..//b/./", "/%2f%5c%61%", "/.../..;/%252e", "/a/b/c/../../..", "/%41%00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		if in == "" || in[0] != '/' {
			return
		}
		got, err := normalize([]byte(in))
		want, wantErr := slowNormalize(in)
		if (err == nil) != (wantErr == nil) || err == nil && string(got) != want {
			t.Fatalf("normalize(%q) = %q, %v, want %q, %v", in, got, err, want, wantErr)
		}
		if err != nil {
			return
		}
		// What is forwarded means what was matched, also to a reader that normalises once more.
		again, err := normalize([]byte(want))
		if err != nil || string(again) != want {
			t.Fatalf("normalize(normalize(%q)) = %q, %v, want %q", in, again, err, want)
		}
	})
}
