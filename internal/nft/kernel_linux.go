package nft

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Buffers of the netlink socket: a transaction is one message, and the kernel
// answers each of its parts.
const (
	writeBuffer = 64 << 20
	readBuffer  = 16 << 20
)

func (f *Firewall) nsFD() int {
	if f.cfg.NS == nil {
		return 0
	}
	return f.cfg.NS.FD()
}

func (f *Firewall) dial() (*nftables.Conn, error) {
	opts := []nftables.ConnOption{nftables.AsLasting(), nftables.WithSockOptions(func(c *netlink.Conn) error {
		// Best effort: without the right to exceed the limits of the system, small
		// transactions still work.
		_ = c.SetWriteBuffer(writeBuffer)
		_ = c.SetReadBuffer(readBuffer)
		return nil
	})}
	if fd := f.nsFD(); fd > 0 {
		opts = append(opts, nftables.WithNetNSFd(fd))
	}
	c, err := nftables.New(opts...)
	if err != nil {
		return nil, unreachable(err)
	}
	return c, nil
}

// renew replaces a connection that may be out of step after an error.
func (f *Firewall) renew(c **nftables.Conn) {
	if fresh, err := f.dial(); err == nil {
		_ = (*c).CloseLasting()
		*c = fresh
	}
}

func (f *Firewall) table(fam family) *nftables.Table {
	t := &nftables.Table{Name: TableName, Family: nftables.TableFamilyIPv4}
	switch fam {
	case bridge:
		t.Family = nftables.TableFamilyBridge
	case ipv6:
		t.Family = nftables.TableFamilyIPv6
	}
	return t
}

func (f *Firewall) families() []family {
	if f.cfg.Bridge != "" {
		return []family{bridge, ipv4, ipv6}
	}
	return []family{ipv4, ipv6}
}

// rawRule is one rule as the kernel tells it.
type rawRule struct {
	chain string
	tag   string
	exprs string // without counters
}

// readRules returns the rules of one of our tables, chain by chain in their
// order. Counters are left out: what they count is no part of a rule.
func (f *Firewall) readRules(fam family) ([]rawRule, error) {
	c, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: f.nsFD()})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	attrs, err := netlink.MarshalAttributes([]netlink.Attribute{{Type: unix.NFTA_RULE_TABLE, Data: []byte(TableName + "\x00")}})
	if err != nil {
		return nil, err
	}
	msgs, err := c.Execute(netlink.Message{
		Header: netlink.Header{Type: unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETRULE, Flags: netlink.Request | netlink.Dump},
		Data:   append([]byte{byte(f.table(fam).Family), unix.NFNETLINK_V0, 0, 0}, attrs...),
	})
	if err != nil {
		if errors.Is(err, unix.ENOENT) {
			return nil, nil
		}
		return nil, fmt.Errorf("reading rules: %w", err)
	}
	var out []rawRule
	for _, m := range msgs {
		if len(m.Data) < 4 {
			continue
		}
		r, table, err := parseRule(m.Data[4:])
		if err != nil {
			return nil, fmt.Errorf("reading rules: %w", err)
		}
		if table == TableName {
			out = append(out, r)
		}
	}
	return out, nil
}

func parseRule(b []byte) (r rawRule, table string, err error) {
	ad, err := netlink.NewAttributeDecoder(b)
	if err != nil {
		return r, "", err
	}
	for ad.Next() {
		switch ad.Type() {
		case unix.NFTA_RULE_TABLE:
			table = ad.String()
		case unix.NFTA_RULE_CHAIN:
			r.chain = ad.String()
		case unix.NFTA_RULE_USERDATA:
			r.tag = string(ad.Bytes())
		case unix.NFTA_RULE_EXPRESSIONS:
			ad.Nested(func(list *netlink.AttributeDecoder) error {
				for list.Next() {
					raw := list.Bytes()
					if !strings.Contains(string(raw), "counter\x00") {
						r.exprs += string(raw)
					}
				}
				return nil
			})
		}
	}
	return r, table, ad.Err()
}

// readChains describes the chains of our tables.
func (f *Firewall) readChains() ([]string, error) {
	var out []string
	for _, fam := range f.families() {
		chains, err := f.conn.ListChainsOfTableFamily(f.table(fam).Family)
		if err != nil {
			return nil, fmt.Errorf("reading chains: %w", err)
		}
		for _, c := range chains {
			if c.Table == nil || c.Table.Name != TableName {
				continue
			}
			out = append(out, describe(fam, c))
		}
	}
	slices.Sort(out)
	return out, nil
}

func describe(fam family, c *nftables.Chain) string {
	if c.Hooknum == nil || c.Priority == nil {
		return fmt.Sprintf("%s %s", fam, c.Name)
	}
	p := nftables.ChainPolicyAccept
	if c.Policy != nil {
		p = *c.Policy
	}
	return fmt.Sprintf("%s %s hook %d priority %d type %s policy %d", fam, c.Name, *c.Hooknum, *c.Priority, c.Type, p)
}

// readRulesHash returns the hash of the chains and rules.
func (f *Firewall) readRulesHash() ([]byte, error) {
	h := sha256.New()
	if err := f.sumRules(h); err != nil {
		return nil, err
	}
	return h.Sum(nil), nil
}

func (f *Firewall) sumRules(h hash.Hash) error {
	chains, err := f.readChains()
	if err != nil {
		return err
	}
	writeField(h, chains...)
	for _, fam := range f.families() {
		rules, err := f.readRules(fam)
		if err != nil {
			return err
		}
		slices.SortStableFunc(rules, func(a, b rawRule) int { return strings.Compare(a.chain, b.chain) })
		for _, r := range rules {
			writeField(h, string(fam), r.chain, r.tag, r.exprs)
		}
	}
	return nil
}
