package sdk

import (
	"os"
	"strings"

	"github.com/ringwall/ringwall/internal/policy"
)

// process is this program, as terms about programs see it.
type process policy.Process

// thisProcess returns it; nil where there are no user ids.
func thisProcess() *process {
	uid := os.Getuid()
	if uid < 0 {
		return nil
	}
	p := &process{UID: uint32(uid)}
	if b, err := os.ReadFile("/proc/self/cgroup"); err == nil {
		for line := range strings.Lines(string(b)) {
			if path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::/"); ok {
				p.Cgroup = path
			}
		}
	}
	return p
}

// cutScheme takes "scheme://" off an address.
func cutScheme(a string) (scheme, rest string, ok bool) { return strings.Cut(a, "://") }
