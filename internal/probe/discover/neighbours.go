package discover

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"

	"github.com/ringwall/ringwall/internal/assess"
)

// Neighbours reads a table of neighbours in the format of Linux's
// /proc/net/arp, and the kernel's own table, which has IPv6 too. On other systems
// there is none, and it finds nothing. What drops every question still answers the
// one for its hardware address: the others' knocking fills the table.
type Neighbours struct {
	Path string // "" = the table of the network that is looked at, or of the caller's namespace
}

func (Neighbours) String() string { return "neighbour table" }

// Late says that the table is read after the others: their knocking fills it.
func (Neighbours) Late() {}

// Find reads the table.
func (nb Neighbours) Find(_ context.Context, n assess.Network, in []netip.Prefix, seen func(assess.Sighting)) error {
	var all []assess.Sighting
	read := func() (err error) {
		all, err = nb.read()
		return err
	}
	var err error
	if raw, ok := n.(assess.RawNetwork); ok && nb.Path == "" {
		err = raw.Do(read)
	} else {
		err = read()
	}
	want := inside(in)
	shared := map[string]int{}
	for _, s := range all {
		shared[s.MAC]++
	}
	for _, s := range all {
		if want(s.Addr) && shared[s.MAC] <= maxShared {
			s.How = nb.String()
			seen(s)
		}
	}
	return err
}

// read reads the table of the thread that it runs on.
func (nb Neighbours) read() ([]assess.Sighting, error) {
	path := nb.Path
	if path == "" {
		path = "/proc/thread-self/net/arp"
	}
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the neighbour table: %w", err)
	}
	defer f.Close()
	all, err := ParseNeighbours(f)
	if nb.Path == "" {
		all = append(all, neighbours6()...)
	}
	return all, err
}

// maxShared is how many addresses one hardware address may have and still be a
// device's: a gateway that keeps devices apart answers for all of a network, those
// that are not there included.
const maxShared = 4

// maxNeighbours bounds what is read; the kernel keeps 1,024 by default.
const maxNeighbours = 65536

// ParseNeighbours reads /proc/net/arp: complete entries only.
func ParseNeighbours(r io.Reader) ([]assess.Sighting, error) {
	var out []assess.Sighting
	sc := bufio.NewScanner(r)
	for n := 0; sc.Scan() && n < maxNeighbours; n++ {
		f := strings.Fields(sc.Text())
		if n == 0 || len(f) < 4 {
			continue // the heading
		}
		a, err := netip.ParseAddr(f[0])
		if err != nil || f[2] == "0x0" || f[3] == "00:00:00:00:00:00" {
			continue // incomplete: asked for, not answered
		}
		out = append(out, assess.Sighting{Addr: a, MAC: strings.ToLower(f[3])})
	}
	if err := sc.Err(); err != nil {
		return out, fmt.Errorf("reading the neighbour table: %w", err)
	}
	return out, nil
}
