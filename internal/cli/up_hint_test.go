package cli

import "testing"

func TestShellHint(t *testing.T) {
	for _, tt := range []struct{ dir, addr, want string }{
		{"/tmp/x", "127.0.0.1:8080", `export RINGWALL_DATA='/tmp/x'; then "ringwall device list" and the like find it`},
		{"/tmp/it's", "127.0.0.1:9090", `export RINGWALL_DATA='/tmp/it'\''s' RINGWALL_SERVER=127.0.0.1:9090; then "ringwall device list" and the like find it`},
	} {
		if got := shellHint(tt.dir, tt.addr); got != tt.want {
			t.Errorf("shellHint(%q, %q) = %s, want %s", tt.dir, tt.addr, got, tt.want)
		}
	}
}
