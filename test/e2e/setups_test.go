package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// setup is one of docs/routes.md's, by product.
type setup struct {
	title  string
	blocks map[string]string
}

// setups reads the page.
func setups(t *testing.T) (all []setup) {
	t.Helper()
	page, err := os.ReadFile("../../docs/routes.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```")
	for _, section := range regexp.MustCompile(`(?m)^### \d+\. `).Split(string(page), -1)[1:] {
		title, text, _ := strings.Cut(section, "\n")
		s := setup{title, map[string]string{}}
		for _, m := range block.FindAllStringSubmatch(text, -1) {
			s.blocks[m[1]] = m[2]
		}
		all = append(all, s)
	}
	return all
}

// asked is a request to all products, and what each has to answer: the server's name and what it was asked for, or the answer's own body.
type asked struct {
	method, host, target string
	fields               string // "name: value"
	status               int
	body                 string
	answer               string // "name: value"; a value alone of "-": there is none
}

// asks is what each setup is asked, in the page's order.
var asks = [][]asked{
	{
		{host: "app.test", target: "/x?y", status: 200, body: "app /x?y"},
		{host: "a.api.test", target: "/", status: 200, body: "api /"},
		{host: "APP.test:8000", target: "/", status: 200, body: "app /"},
		{host: "other.test", target: "/", status: 404},
	},
	{
		{target: "/", status: 200, body: "app /"},
		{target: "/api/users?q=1", status: 200, body: "api /users?q=1"},
		{target: "/api/", status: 200, body: "api /"},
		{target: "/api", status: 200, body: "api /"},
		{target: "/apis", status: 200, body: "app /apis"},
	},
	{
		{host: "app.test", target: "/x?y", status: 308, answer: "Location: https://app.test/x?y"},
	},
	{
		{host: "www.app.test", target: "/x?y", status: 301, answer: "Location: https://app.test/x?y"},
		{host: "app.test", target: "/x", status: 200, body: "app /x"},
	},
	{
		{target: "/blog/2020?x=1", status: 301, answer: "Location: /news/2020?x=1"},
		{target: "/blogs", status: 200, body: "app /blogs"},
	},
	{
		{target: "/x", status: 200, body: "app /x"},
		{target: "/x", fields: "X-Canary: 1", status: 200, body: "next /x"},
		{target: "/x", fields: "X-Canary: 2", status: 200, body: "app /x"},
	},
	{
		{target: "/x", fields: "Cookie: a=b; tester=yes", status: 200, body: "next /x"},
		{target: "/x", fields: "Cookie: xtester=yes", status: 200, body: "app /x"},
		{target: "/x", status: 200, body: "app /x"},
	},
	{
		{target: "/x", fields: "X-Forwarded-For: 10.9.1.2", status: 200, body: "app /x"},
		{target: "/x", fields: "X-Forwarded-For: 10.8.1.2", status: 503, body: "back at noon", answer: "Retry-After: 3600"},
	},
	{
		{target: "/robots.txt", status: 200, body: "User-agent: *"},
		{target: "/robots.txts", status: 200, body: "app /robots.txts"},
	},
	{
		{target: "/admin/x", fields: "X-Forwarded-For: 10.9.1.2", status: 200, body: "app /admin/x"},
		{target: "/admin/x", fields: "X-Forwarded-For: 10.8.1.2", status: 403},
		{target: "/admin", fields: "X-Forwarded-For: 10.8.1.2", status: 403},
		{target: "/admins", fields: "X-Forwarded-For: 10.8.1.2", status: 200, body: "app /admins"},
	},
	{
		{target: "/x", status: 200, body: "app /x", answer: "X-Content-Type-Options: nosniff"},
		{target: "/x", status: 200, body: "app /x", answer: "X-Frame-Options: DENY"},
		{target: "/x", status: 200, body: "app /x", answer: "X-Powered-By: -"},
	},
	{
		{target: "/x", status: 200, body: "app /x"},
		{method: "DELETE", target: "/x", status: 405, body: "read only", answer: "Allow: GET, HEAD"},
		{method: "POST", target: "/x", status: 405, body: "read only"},
	},
}

// TestSetups: what docs/routes.md says that four products do in each of their languages, they do.
func TestSetups(t *testing.T) {
	all := setups(t)
	if len(all) != len(asks) || len(all) < 12 {
		t.Fatalf("docs/routes.md has %d setups, and %d are asked, want the same and 12 at least", len(all), len(asks))
	}
	named := func(name string) string {
		return server(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Powered-By", "secrets")
			_, _ = fmt.Fprintf(w, "%s %s", name, r.URL.RequestURI())
		})
	}
	servers := []string{"10.0.0.1:8080", named("app"), "10.0.1.1:8080", named("api"), "10.0.2.1:8080", named("next")}
	for i, s := range all {
		for product, begin := range products {
			t.Run(fmt.Sprintf("%d/%s", i+1, product), func(t *testing.T) {
				t.Parallel()
				text := s.blocks[product]
				if text == "" {
					t.Fatalf("%q has nothing for it", s.title)
				}
				addr := freeAddr(t)
				begin(t, addr, strings.NewReplacer(servers...).Replace(text))
				for _, a := range asks[i] {
					a.ask(t, addr)
				}
			})
		}
	}
}

// products begin with what the page has of them, at an address.
var products = map[string]func(t *testing.T, addr, text string){
	"yaml": func(t *testing.T, addr, text string) {
		run(t, strings.Replace(text, ":8000", addr, 1)+"admin: { enabled: false }\naccess_log: { enabled: false }\n")
	},
	"nginx": func(t *testing.T, addr, text string) {
		dir := t.TempDir()
		text = fmt.Sprintf("worker_processes 1; pid %[1]s/pid; error_log %[1]s/error.log; daemon off; user root;\nevents { worker_connections 64; }\n"+
			"http { access_log off; client_body_temp_path %[1]s; proxy_temp_path %[1]s;\n%[2]s}\n", dir, strings.ReplaceAll(text, "listen 8000", "listen "+addr))
		peer(t, addr, "nginx", "-e", dir+"/error.log", "-c", fileOf(t, "nginx.conf", []byte(text)))
	},
	"haproxy": func(t *testing.T, addr, text string) {
		text = "defaults\n mode http\n timeout client 10s\n timeout server 10s\n timeout connect 5s\n" + strings.Replace(text, ":8000", addr, 1)
		peer(t, addr, "haproxy", "-db", "-f", fileOf(t, "haproxy.cfg", []byte(text)))
	},
	"caddy": func(t *testing.T, addr, text string) {
		_, port, _ := net.SplitHostPort(addr)
		text = "{\n admin off\n auto_https off\n default_bind 127.0.0.1\n}\n" + strings.ReplaceAll(text, ":8000", ":"+port)
		dir := t.TempDir()
		peer(t, addr, "env", "XDG_CONFIG_HOME="+dir, "XDG_DATA_HOME="+dir, "caddy", "run", "--adapter", "caddyfile", "--config", fileOf(t, "Caddyfile", []byte(text)))
	},
}

// ask asks, and compares.
func (a *asked) ask(t *testing.T, addr string) {
	t.Helper()
	method, host := a.method, a.host
	if method == "" {
		method = "GET"
	}
	if host == "" {
		host = "app.test"
	}
	req, err := http.NewRequest(method, "http://"+addr+a.target, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	if name, value, ok := strings.Cut(a.fields, ": "); ok {
		req.Header.Set(name, value)
	}
	client := &http.Client{Timeout: 10 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer client.CloseIdleConnections()
	r, err := client.Do(req)
	if err != nil {
		t.Error(err)
		return
	}
	body, err := io.ReadAll(r.Body)
	_ = r.Body.Close()
	if err != nil || r.StatusCode != a.status || a.body != "" && strings.TrimSpace(string(body)) != a.body {
		t.Errorf("%s %s of %s with %q is answered with %d %q, %v, want %d %q", method, a.target, host, a.fields, r.StatusCode, body, err, a.status, a.body)
	}
	if name, want, ok := strings.Cut(a.answer, ": "); ok {
		if got := strings.Join(r.Header.Values(name), "|"); got != want && (want != "-" || got != "") {
			t.Errorf("%s %s of %s with %q: the answer has %s %q, want %q", method, a.target, host, a.fields, name, got, want)
		}
	}
}
