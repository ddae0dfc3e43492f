package agent

import (
	"io/fs"
	"strings"
	"testing"
)

// TestSerialOf: what a machine says of itself is sent; what its maker forgot to fill
// in is not.
func TestSerialOf(t *testing.T) {
	dmi, tree := serialFiles[0], serialFiles[1]
	for _, c := range []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"a server", map[string]string{dmi: "PF3X1234\n"}, "PF3X1234"},
		{"a board", map[string]string{tree: "10000000abcdef01\x00"}, "10000000abcdef01"},
		{"a board that has both", map[string]string{dmi: "To be filled by O.E.M.\n", tree: "00000000deadbeef\x00"}, "00000000deadbeef"},
		{"a machine that says nothing", nil, ""},
		{"an empty file", map[string]string{dmi: "\n"}, ""},
		{"not filled in", map[string]string{dmi: "Default string"}, ""},
		{"zeros", map[string]string{dmi: "0000000000"}, ""},
		{"no text", map[string]string{tree: "\x01\x02\x03"}, ""},
		{"endless", map[string]string{dmi: strings.Repeat("12", maxSerial)}, ""},
	} {
		got := serialOf(func(path string) ([]byte, error) {
			if text, ok := c.files[path]; ok {
				return []byte(text), nil
			}
			return nil, fs.ErrNotExist
		})
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
