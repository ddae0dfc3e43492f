package fastpath_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

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

// What finds no room in the cache goes the slow way and arrives; what is in it
// stays fast.
func TestPath_cacheIsFull(t *testing.T) {
	w := up(t, options{config: fastpath.Config{MaxFlows: 2}}) // both directions of one flow
	echo(t, w.net, server)
	first := dial(t, w.dev[0], "udp", server)
	w.warm(t, first, 1)
	second := dial(t, w.dev[1], "udp", server)
	eventually(t, "a flow finds no room", func() bool {
		if !second.round(time.Second) {
			t.Fatal("a flow that found no room in the cache does not get through")
		}
		return w.path.Stats().Crowded > 0
	})
	if u, d := w.fast(t, 2); u+d != 0 {
		t.Errorf("%d, %d packets passed by a cache that has no room for them", u, d)
	}
	u, d := w.fast(t, 1)
	for range 2 { // one of them may be the one that goes the slow way, to keep tracking alive
		if !first.round(time.Second) {
			t.Error("nothing comes back on the flow in the cache")
		}
	}
	if up, down := w.fast(t, 1); up == u || down == d {
		t.Error("the flow in the cache is slow now")
	}
}
