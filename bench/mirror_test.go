package main

import (
	"bytes"
	"strings"
	"testing"
)

// TestMirrorScenario runs it for a moment: it says of each kind of mirror what its copies add.
func TestMirrorScenario(t *testing.T) {
	var out, progress bytes.Buffer
	cmd := command(&out, &progress)
	cmd.SetArgs([]string{"--only", mirrorName, "--runs", "1", "--seconds", "0.3", "--rate", "500", "--calls=false", "--balancers", poiseHere()})
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		t.Fatalf("%v\n%s", err, progress.String())
	}
	for _, want := range []string{"Latency in us at 500 requests/s", poiseHere() + "-copied: p50 is ", poiseHere() + "-hanging: p50 is "} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the text has no %q:\n%s", want, out.String())
		}
	}
}
