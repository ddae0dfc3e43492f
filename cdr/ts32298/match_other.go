//go:build !amd64

package ts32298

// window is for processors for which matchGo was written anew.
type window struct{}

// match is matchGo where nobody wrote it for the processor.
func (s *shape) match(b []byte, p int, at *bases) int { return s.matchGo(b, p, at) }

func (s *shape) widen([][]octet) {}
