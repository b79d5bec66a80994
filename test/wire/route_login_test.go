package wire

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"poise/internal/testkit"
)

// TestBasicAuth: nobody comes to the servers without the right name and password, which they learn of if the route says so.
func TestBasicAuth(t *testing.T) {
	t.Parallel()
	hash, err := bcrypt.GenerateFromPassword([]byte("pass:word"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	file := testkit.WriteFile(t, "users", []byte("ann:"+string(hash)+"\n"))
	testkit.Each(t, func(t *testing.T, s testkit.Setup) {
		server := headServer(t)
		config := fmt.Sprintf(`
listeners:
  - address: 127.0.0.1:0
    routes:
      - pool: app
        basic_auth: { users_file: %q, realm: staff only }
        request_headers: { set: { x-user: "{user}" }, remove: [authorization] }
pools: { app: { servers: [%q] } }
`, file, server.Addr)
		p := testkit.Start(t, s, config)
		c := testkit.Dial(t, p.Addr)
		basic := func(text string) string {
			return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(text))
		}
		asked := 0
		for _, tt := range []struct {
			field string
			in    bool
		}{
			{"X-Other: 1", false},
			{basic("ann:wrong"), false},
			{basic("ann:pass:word"), true},
			{basic("ann:pass:word"), true},
			{"authorization:  bAsIc   " + base64.StdEncoding.EncodeToString([]byte("ann:pass:word")), true},
			{basic("ann:pass"), false},
			{basic("bob:pass:word"), false},
			{basic("ann"), false},
			{basic(":"), false},
			{"Authorization: Basic ###", false},
			{"Authorization: Basic", false},
			{basic("ann:pass:word") + "\r\n" + basic("root:x"), false},
			{"Authorization: Bearer " + base64.StdEncoding.EncodeToString([]byte("ann:pass:word")), false},
		} {
			asked++
			c.Send(getOf("/", tt.field, "X-User: root"))
			r := c.Read("GET")
			switch {
			case tt.in && (r.StatusCode != 200 || !strings.Contains(strings.ToLower(r.Body), "x-user: ann\r\n") || strings.Contains(r.Body, "root")):
				t.Errorf("with %q the answer is %d %q", tt.field, r.StatusCode, r.Body)
			case !tt.in && (r.StatusCode != 401 || r.Header.Get("WWW-Authenticate") != `Basic realm="staff only", charset="UTF-8"`):
				t.Errorf("with %q the answer is %d, WWW-Authenticate %q, want 401 and what to give", tt.field, r.StatusCode, r.Header.Get("WWW-Authenticate"))
			}
		}
		if n := strings.Count(server.Got(), "GET /"); n != 3 {
			t.Errorf("the server has got %d requests, want 3", n)
		}
		p.Reload(t, config+"timeouts: { connect: 2s }\n")
		asked++
		c.Send(getOf("/", basic("ann:pass:word")))
		if r := c.Read("GET"); r.StatusCode != 200 {
			t.Errorf("after a reload a password that is right is answered with %d", r.StatusCode)
		}
		for _, list := range p.Parsed(t, asked) {
			for _, r := range list {
				if want := map[bool]string{true: "ann"}[r.Status == 200]; r.User != want {
					t.Errorf("the record of an answer with %d has the user %q, want %q", r.Status, r.User, want)
				}
				if r.Status == 401 && (r.End != "PR--" || r.Server != "") {
					t.Errorf("the record of a request without a password is %+v", r)
				}
			}
		}
	})
}
