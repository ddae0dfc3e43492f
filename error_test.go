package ringwall

import (
	"errors"
	"fmt"
	"io"
	"testing"
)

// TestErrorf_keepsTheCauseOutOfTheText guards what people are shown: the cause
// goes to the log only.
func TestErrorf_keepsTheCauseOutOfTheText(t *testing.T) {
	cause := errors.New("dial 10.0.0.1: secret")
	tests := []struct {
		err         *Error
		text, whole string
	}{
		{Errorf(Unavailable, "asking %q: %w", "x", cause), `asking "x"`, `asking "x": dial 10.0.0.1: secret`},
		{Errorf(Unavailable, "asking (%w) in vain", cause), "asking (...) in vain", "asking (...) in vain: dial 10.0.0.1: secret"},
		{Errorf(Invalid, "nothing wrapped"), "nothing wrapped", "nothing wrapped"},
	}
	for _, tt := range tests {
		if tt.err.Text != tt.text || tt.err.Error() != tt.whole {
			t.Errorf("Text %q, Error() %q; want %q, %q", tt.err.Text, tt.err.Error(), tt.text, tt.whole)
		}
	}
	if err := fmt.Errorf("outer: %w", Errorf(NotFound, "inner: %w", io.EOF)); CodeOf(err) != NotFound || !errors.Is(err, io.EOF) {
		t.Errorf("%v lost its code or its cause", err)
	}
	if CodeOf(nil) != "" || CodeOf(io.EOF) != Internal {
		t.Error("CodeOf(nil) or CodeOf(foreign error) is wrong")
	}
}
