package proxy

import (
	"testing"

	"poise/internal/fault"
)

// A connection with an upload that the server did not take goes on only where nothing of the body can be left on it.
func TestUploadInVain(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fault *fault.Error
		left  int64
		want  bool
	}{
		{"the server takes no more, and all has come", &fault.Error{Side: fault.Server}, 0, true},
		{"the server takes no more, and there is more", &fault.Error{Side: fault.Server}, 1, false},
		{"no fault", nil, 0, false},
		{"our code has panicked", &fault.Error{Side: fault.Internal}, 0, false},
	} {
		up := &upload{e: &serving{s: &scratch{}}, src: source{length: tt.left}, fault: tt.fault}
		if got := up.inVain(); got != tt.want {
			t.Errorf("%s: inVain = %t, want %t", tt.name, got, tt.want)
		}
	}
}
