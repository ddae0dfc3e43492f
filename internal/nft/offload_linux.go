package nft

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/google/nftables"

	"github.com/ringwall/ringwall/internal/policy"
)

// Cacheable lists the devices in force, in the order of their marks. It waits for
// an Apply or Restrict that is under way, so that it never tells of what is
// about to be taken away. Before the first Apply it lists none.
func (f *Firewall) Cacheable(ctx context.Context) ([]Cacheable, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if f.in == nil {
		return nil, nil
	}
	out := make([]Cacheable, 0, len(f.in.plan.Devices))
	for _, d := range f.in.plan.Devices {
		c := Cacheable{Mark: d.Mark, Port: d.Port, MAC: d.MAC, IP: d.IP}
		if token, ok := f.in.liveToken(d.Mark); ok && passable(d) {
			c.Token = token
		}
		out = append(out, c)
	}
	return out, nil
}

// passable reports whether allowed flows of a device need nothing but to pass.
func passable(d policy.Device) bool {
	return len(d.Limits) == 0 && len(d.Inspect) == 0 && len(d.InInspect) == 0 &&
		!slices.ContainsFunc(d.Names, func(n policy.Name) bool { return n.Inspect }) && !d.Subscribed && d.IP.Is4()
}

// forwarding are the hooks that a forwarded IPv4 packet passes. Egress of an
// interface is left out: it is passed by cached packets as by others.
var forwarding = map[nftables.TableFamily][]nftables.ChainHook{
	nftables.TableFamilyIPv4:   {*nftables.ChainHookPrerouting, *nftables.ChainHookForward, *nftables.ChainHookPostrouting},
	nftables.TableFamilyINet:   {*nftables.ChainHookPrerouting, *nftables.ChainHookForward, *nftables.ChainHookPostrouting, inetIngress},
	nftables.TableFamilyBridge: {*nftables.ChainHookPrerouting, *nftables.ChainHookInput, *nftables.ChainHookPostrouting},
	nftables.TableFamilyNetdev: {*nftables.ChainHookIngress},
}

// inetIngress is the hook behind the five of IP (NF_INET_INGRESS).
const inetIngress = nftables.ChainHook(5)

// Foreign names chains of others that forwarded packets pass, and old-style
// tables that may have such. A packet that passes by our filter passes by them
// as well.
func (f *Firewall) Foreign(ctx context.Context) ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var out []string
	for fam, hooks := range forwarding {
		chains, err := f.conn.ListChainsOfTableFamily(fam)
		if err != nil {
			return nil, fmt.Errorf("reading chains: %w", err)
		}
		for _, c := range chains {
			if c.Table == nil || c.Hooknum == nil || c.Table.Name == gateName || c.Table.Name == TableName {
				continue
			}
			if slices.Contains(hooks, *c.Hooknum) {
				out = append(out, c.Table.Name+" "+c.Name)
			}
		}
	}
	var old []byte
	err := f.within(func() (err error) {
		old, err = os.ReadFile("/proc/thread-self/net/ip_tables_names")
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading the names of old tables: %w", err)
	}
	for name := range strings.FieldsSeq(string(bytes.TrimSpace(old))) {
		out = append(out, "iptables "+name)
	}
	slices.Sort(out)
	return out, nil
}
