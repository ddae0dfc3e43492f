package fastpath_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/ringwall/ringwall/internal/fastpath"
	"github.com/ringwall/ringwall/internal/netns"
	"github.com/ringwall/ringwall/internal/nft"
)

// hanging is a filter that gives no answer once hang is set.
type hanging struct {
	*nft.Firewall
	hang atomic.Bool
}

func (h *hanging) Cacheable(ctx context.Context) ([]nft.Cacheable, error) {
	if h.hang.Load() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return h.Firewall.Cacheable(ctx)
}

// nobody is a filter without devices.
type nobody struct{}

func (nobody) Cacheable(context.Context) ([]nft.Cacheable, error) { return nil, nil }
func (nobody) Foreign(context.Context) ([]string, error)          { return nil, nil }

// restart opens another fast path, whose keeper asks h.
func (w *world) restart(t testing.TB, h *hanging) {
	t.Helper()
	w.restartWith(t, h, fastpath.Config{Sample: 1})
}

func (w *world) restartWith(t testing.TB, h *hanging, c fastpath.Config) {
	t.Helper()
	c.NS, c.Bridge, c.LAN, c.Uplink = w.gw, "br0", []string{"lan3"}, "wan0"
	var err error
	w.path, err = fastpath.Open(c)
	must(t, err)
	t.Cleanup(func() { must(t, w.path.Close()) })
	h.Firewall = w.fw
	w.keep(t, h)
}

func contains(s, sub string) bool { return strings.Contains(s, sub) }

// programs counts the interfaces of a namespace that have a program at TCX.
func programs(t testing.TB, ns *netns.NS) (n int) {
	t.Helper()
	all, err := ns.Interfaces()
	must(t, err)
	must(t, ns.Do(func() error {
		for _, i := range all {
			r, err := link.QueryPrograms(link.QueryOptions{Target: i.Index, Attach: ebpf.AttachTCXIngress})
			if err != nil {
				return err
			}
			if len(r.Programs) > 0 {
				n++
			}
		}
		return nil
	}))
	return n
}
