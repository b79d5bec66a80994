package listen

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"poise/internal/sys"
)

func bind(t *testing.T, address string, n int) *Socket {
	t.Helper()
	s, err := Bind(address, n)
	if err != nil {
		t.Fatalf("Bind(%s) = %v", address, err)
	}
	t.Cleanup(s.Abandon)
	return s
}

func TestBindOpensOneSocketALoop(t *testing.T) {
	s := bind(t, "127.0.0.1:0", 3)
	if len(s.FDs) != 3 {
		t.Fatalf("Bind opened %d sockets, want 3", len(s.FDs))
	}
	for _, fd := range s.FDs {
		if got := sys.LocalAddr(fd).String(); got != s.Address {
			t.Errorf("a socket listens on %s, want all on %s", got, s.Address)
		}
	}
	if strings.HasSuffix(s.Address, ":0") {
		t.Errorf("Address = %s, want the port that the system chose", s.Address)
	}
}

func TestBindFindsATakenAddress(t *testing.T) {
	shared := bind(t, "127.0.0.1:0", 2) // as another Poise has it: a third socket could join
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	for _, address := range []string{shared.Address, plain.Addr().String()} {
		_, err := Bind(address, 1)
		if err == nil || !strings.Contains(err.Error(), address+": the address is in use") {
			t.Errorf("Bind(%s) = %v, want that the address is in use", address, err)
		}
	}
}

func TestBindErrorsSayWhatIsWrong(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]string{
		"192.0.2.1:80":                        "no interface of this machine has the address",
		"nonsense":                            "not an address of the form ip:port",
		"unix:" + file:                        "a file that is no socket is there",
		"unix:" + file + "/none/s":            "not a directory",
		"unix:/" + strings.Repeat("long", 50): "1 to 107 bytes",
	} {
		if _, err := Bind(address, 1); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Bind(%s) = %v, want an error with %q", address, err, want)
		}
	}
}

func TestBindUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	s := bind(t, "unix:"+path, 2)
	if _, err := Bind("unix:"+path, 1); err == nil || !strings.Contains(err.Error(), "another process listens there") {
		t.Errorf("Bind of a socket in use = %v, want an error that says so", err)
	}
	for _, fd := range s.FDs { // as after a crash: the file stays
		_ = sys.Close(fd)
	}
	s.FDs = nil
	again := bind(t, "unix:"+path, 1)
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatalf("the new socket does not listen: %v", err)
	}
	_ = c.Close()
	again.Close()
	if _, err := os.Lstat(path); err == nil {
		t.Error("Close has left the socket's file")
	}
}
