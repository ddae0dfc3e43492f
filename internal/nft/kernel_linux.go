package nft

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall"
)

// Buffers of the netlink socket: a transaction is one message, and the kernel
// answers each of its parts.
const (
	writeBuffer = 64 << 20
	readBuffer  = 16 << 20
)

// maxPart is how many bytes of elements go into one part of a transaction: the
// length of a netlink attribute has 16 bits.
const maxPart = 40 << 10

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
		return nil, &ringwall.Error{Code: ringwall.Unavailable, Text: "the packet filter of the kernel cannot be reached",
			Hint: "run as root on Linux with nftables", Err: err}
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

// addElements adds elements to a set in parts that netlink can carry.
func addElements(c *nftables.Conn, s *nftables.Set, els []nftables.SetElement) error {
	return inParts(els, func(part []nftables.SetElement) error { return c.SetAddElements(s, part) })
}

func delElements(c *nftables.Conn, s *nftables.Set, els []nftables.SetElement) error {
	return inParts(els, func(part []nftables.SetElement) error { return c.SetDeleteElements(s, part) })
}

func inParts(els []nftables.SetElement, do func([]nftables.SetElement) error) error {
	for len(els) > 0 {
		n, size := 0, 0
		for n < len(els) && (n == 0 || size < maxPart) {
			e := els[n]
			size += 64 + len(e.Key) + len(e.KeyEnd) + len(e.Val) + len(e.Comment)
			n++
		}
		if err := do(els[:n]); err != nil {
			return err
		}
		els = els[n:]
	}
	return nil
}

// read returns the elements of a set that the kernel holds.
func (f *Firewall) read(d setDef) (map[elem]value, error) {
	els, err := f.conn.GetSetElements(d.set(f.table(d.family)))
	if err != nil {
		return nil, fmt.Errorf("reading set %q: %w", d.name, err)
	}
	out := make(map[elem]value, len(els))
	for _, e := range els {
		k := elem{Key: string(e.Key), Stop: e.IntervalEnd}
		if d.concatInterval() {
			k.End = string(e.KeyEnd)
		}
		out[k] = value{Val: string(e.Val), Comment: e.Comment}
	}
	return out, nil
}

// readImage returns all sets but those whose elements come and go by themselves.
func (f *Firewall) readImage() (image, error) {
	im := image{}
	for _, d := range f.defs {
		if d.role == dynamic || d.role == meter {
			continue
		}
		els, err := f.read(d)
		if err != nil {
			return nil, err
		}
		if len(els) > 0 {
			im[setID{d.family, d.name}] = els
		}
	}
	return im, nil
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

// readHash reads everything that decides on packets and returns its hash.
func (f *Firewall) readHash() (im image, sum string, err error) {
	h := sha256.New()
	if err := f.sumRules(h); err != nil {
		return nil, "", err
	}
	if im, err = f.readImage(); err != nil {
		return nil, "", err
	}
	// Tokens number the changes of the past: they are no part of what is in
	// force, unless somebody else changed them.
	im.sum(h, setToken, setLive)
	if f.held != nil {
		for _, name := range []string{setToken, setLive} {
			id := setID{ipv4, name}
			if len(diffOne(f.held[id], im[id])) > 0 {
				writeField(h, "changed by others", name)
			}
		}
	}
	return im, hex.EncodeToString(h.Sum(nil)), nil
}

func diffOne(a, b map[elem]value) []elem {
	var out []elem
	for k, v := range a {
		if w, ok := b[k]; !ok || v != w {
			out = append(out, k)
		}
	}
	for k := range b {
		if _, ok := a[k]; !ok {
			out = append(out, k)
		}
	}
	return out
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
