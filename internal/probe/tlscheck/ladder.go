package tlscheck

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/ringwall/ringwall/internal/assess"
)

// stance is how one service speaks TLS.
type stance struct {
	versions     map[uint16]bool
	families     map[string]bool
	dhBits       int
	certificates [][]byte
	// anything: it took a suite that nobody has, so that its yes means nothing.
	anything bool
	// unsure: some question was neither taken nor refused.
	unsure int
}

// newest returns the highest version taken; 0 when there is none.
func (s stance) newest() (v uint16) {
	for have, ok := range s.versions {
		if ok {
			v = max(v, have)
		}
	}
	return v
}

// climb asks one service for each version and each family of suites.
func climb(ctx context.Context, n assess.Network, address string) stance {
	s := stance{versions: map[uint16]bool{}, families: map[string]bool{}}
	ask := func(h hello) (answer, bool) {
		for range 2 { // a small device may drop one of many connections
			a, err := shake(ctx, n, address, h)
			switch {
			case err == nil:
				if a.dhBits > 0 && (s.dhBits == 0 || a.dhBits < s.dhBits) {
					s.dhBits = a.dhBits
				}
				if len(s.certificates) == 0 {
					s.certificates = a.certificates
				}
				return a, !a.refused
			case errors.Is(err, errClosed):
				return a, false // hanging up is how many old servers refuse
			case ctx.Err() != nil:
				return a, false
			}
		}
		s.unsure++
		return answer{}, false
	}
	for _, v := range []uint16{tls13, tls12, tls11, tls10, ssl3} {
		h := hello{version: v, suites: classic()}
		if v == tls13 {
			h.suites = []uint16{0x1301, 0x1302, 0x1303, 0x1304, 0x1305}
		}
		a, ok := ask(h)
		s.versions[v] = ok && a.version == v && slices.Contains(h.suites, a.suite)
	}
	s.versions[ssl2] = takes2(ctx, n, address)
	old := uint16(0)
	for v, ok := range s.versions {
		if ok && v <= tls12 && v > ssl2 {
			old = max(old, v)
		}
	}
	if old == 0 {
		return s
	}
	control := hello{version: old, suites: nonsense()}
	if _, ok := ask(control); ok {
		s.anything = true
		return s
	}
	for _, f := range families() {
		a, ok := ask(hello{version: old, suites: f.suites})
		s.families[f.name] = ok && slices.Contains(f.suites, a.suite)
	}
	return s
}

// errClosed is a connection that ended without a word of TLS.
var errClosed = errors.New("it hung up")

// shake sends one hello and reads the answer to it.
func shake(ctx context.Context, n assess.Network, address string, h hello) (answer, error) {
	var a answer
	err := converse(ctx, n, address, h.bytes(), func(r io.Reader) (err error) {
		a, err = readAnswer(r)
		return err
	})
	return a, err
}

// takes2 asks for SSL 2.
func takes2(ctx context.Context, n assess.Network, address string) bool {
	yes := false
	_ = converse(ctx, n, address, hello2(), func(r io.Reader) error { // no answer is a no
		b := make([]byte, 16)
		k, err := io.ReadFull(r, b)
		yes = isHello2(b[:k])
		return err
	})
	return yes
}

func converse(ctx context.Context, n assess.Network, address string, say []byte, hear func(io.Reader) error) error {
	ctx, cancel := context.WithTimeout(ctx, handshakeIn)
	defer cancel()
	c, err := n.DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := c.Write(say); err != nil {
		return err
	}
	switch err := hear(c); {
	case errors.Is(err, io.EOF), isReset(err):
		return errClosed
	default:
		return err
	}
}
