// Package attack holds what attackers and infected devices of the range do on
// the wire: guess telnet passwords and fetch a program, call a controller,
// scan for more victims, as Mirai does and as an unknown family would.
//
// They are programs of ours, not malware: they spread nothing, the program
// that is fetched is inert, and each is bounded by a number of packets or
// tries and by its context. What one draws (order, ports, rate, jitter) it
// draws from a seed, so that the same seed gives the same attack again.
//
// The functions run in the calling goroutine and return when the attack is
// over. The scan needs raw sockets, and so root on Linux.
//
// The fingerprint constants are those of Mirai's published source, read for
// facts only: SYN packets whose sequence number is the destination address,
// port 23 nine times to 2323 once, about 160 a second from one source port.
package attack

import (
	"context"
	"time"
)

// Pair is a user and a password.
type Pair struct {
	User     string `json:"user"`
	Password string `json:"password"`
}

// MiraiPairs are some of the well-known factory passwords that Mirai tries;
// root's of the range's bad camera is the last.
func MiraiPairs() []Pair {
	return []Pair{
		{"root", "vizxv"}, {"root", "admin"}, {"admin", "admin"}, {"root", "888888"},
		{"root", "xmhdipc"}, {"root", "default"}, {"root", "juantech"}, {"root", "123456"},
		{"root", "54321"}, {"support", "support"}, {"root", "anko"}, {"root", "xc3511"},
	}
}

// pause waits for d or until ctx ends, and reports whether it was d.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
