package load

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// inNamespaceVar tells a test's second run that it is in a network namespace of its own.
const inNamespaceVar = "POISE_TEST_IN_NAMESPACE"

// loopbackUp is what every namespace has to be prepared by.
const loopbackUp = "ip link set lo up"

// namespace tells whether this process has a network namespace of its own.
func namespace() bool { return os.Getenv(inNamespaceVar) != "" }

// shellInNamespace is a command that runs a shell's text in a new network namespace, as root there.
func shellInNamespace(text string, args ...string) *exec.Cmd {
	return exec.Command("unshare", append([]string{"-Urn", "sh", "-c", text}, args...)...)
}

// rerunInNamespace runs the test once more, in a network namespace that a shell's text prepares, and fails it where that run fails.
func rerunInNamespace(t *testing.T, prepare string) {
	t.Helper()
	cmd := shellInNamespace(prepare+` && exec "$0" "$@"`, os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), inNamespaceVar+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()+" ") {
		t.Errorf("in the namespace: %v\n%s", err, out)
		return
	}
	t.Logf("in a namespace:\n%s", out)
}
