package nft

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
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

// laid is the chains and rules that the kernel holds.
type laid struct {
	chains []string            // described, sorted
	tags   map[family][]string // "chain tag", by chain, in their order
	hash   []byte              // of all, but for what counters count
}

// readRules reads the chains and rules of our tables. A chain or rule of a table
// of another name is none of ours.
func (f *Firewall) readRules() (laid, error) {
	l := laid{tags: map[family][]string{}}
	h := sha256.New()
	type line struct {
		chain string
		sum   [sha256.Size]byte
	}
	var all []line
	for _, fam := range f.families() {
		_, err := f.wire.dumpTable(msgGetChain, msgNewChain, fam, func(body []byte) error {
			text, table, err := parseChain(fam, body)
			if err == nil && table == TableName {
				l.chains = append(l.chains, text)
			}
			return err
		})
		if err == nil {
			_, err = f.wire.dumpTable(msgGetRule, msgNewRule, fam, func(body []byte) error {
				r, table, err := parseRule(body)
				if err == nil && table == TableName {
					l.tags[fam] = append(l.tags[fam], r.chain+" "+r.tag)
					all = append(all, line{string(fam) + " " + r.chain, r.sum})
				}
				return err
			})
		}
		if errors.Is(err, unix.ENOENT) {
			err = nil // no table: nothing is read
		}
		if err != nil {
			return laid{}, fmt.Errorf("reading rules: %w", err)
		}
		slices.SortStableFunc(l.tags[fam], byChain)
	}
	slices.Sort(l.chains)
	writeField(h, l.chains...)
	slices.SortStableFunc(all, func(a, b line) int { return strings.Compare(a.chain, b.chain) })
	for i := range all {
		writeField(h, all[i].chain)
		h.Write(all[i].sum[:])
	}
	l.hash = h.Sum(nil)
	return l, nil
}

// rawRule is one rule as the kernel tells it.
type rawRule struct {
	chain string
	tag   string
	sum   [sha256.Size]byte // of its expressions, without counters, and its tag
}

// parseRule reads one rule. Counters are left out: what they count is no part of
// it.
func parseRule(b []byte) (r rawRule, table string, err error) {
	h := sha256.New()
	err = eachAttr(b, func(typ uint16, data []byte) error {
		switch typ {
		case unix.NFTA_RULE_TABLE:
			table = text(data)
		case unix.NFTA_RULE_CHAIN:
			r.chain = text(data)
		case unix.NFTA_RULE_USERDATA:
			r.tag = string(data)
		case unix.NFTA_RULE_EXPRESSIONS:
			return eachAttr(data, func(_ uint16, expr []byte) error {
				if !bytes.Contains(expr, []byte("counter\x00")) {
					h.Write(expr)
				}
				return nil
			})
		}
		return nil
	})
	writeField(h, r.tag)
	h.Sum(r.sum[:0])
	return r, table, err
}

// text is a string attribute.
func text(b []byte) string { return strings.TrimRight(string(b), "\x00") }

// parseChain reads one chain and describes it.
func parseChain(fam family, b []byte) (described, table string, err error) {
	var name, typ string
	var hook, priority, policy uint32
	based := false
	err = eachAttr(b, func(t uint16, data []byte) error {
		switch {
		case t == unix.NFTA_CHAIN_TABLE:
			table = text(data)
		case t == unix.NFTA_CHAIN_NAME:
			name = text(data)
		case t == unix.NFTA_CHAIN_TYPE:
			typ = text(data)
		case t == unix.NFTA_CHAIN_POLICY && len(data) >= 4:
			policy = binary.BigEndian.Uint32(data)
		case t == unix.NFTA_CHAIN_HOOK:
			based = true
			return eachAttr(data, func(t uint16, data []byte) error {
				switch {
				case t == unix.NFTA_HOOK_HOOKNUM && len(data) >= 4:
					hook = binary.BigEndian.Uint32(data)
				case t == unix.NFTA_HOOK_PRIORITY && len(data) >= 4:
					priority = binary.BigEndian.Uint32(data)
				}
				return nil
			})
		}
		return nil
	})
	if !based {
		return describe(fam, name), table, err
	}
	return describeBase(fam, name, hook, int32(priority), typ, policy), table, err
}

func describe(fam family, name string) string { return fmt.Sprintf("%s %s", fam, name) }

func describeBase(fam family, name string, hook uint32, priority int32, typ string, policy uint32) string {
	return fmt.Sprintf("%s %s hook %d priority %d type %s policy %d", fam, name, hook, priority, typ, policy)
}
