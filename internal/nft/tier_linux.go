package nft

import (
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall"
)

// capability is one thing that a kernel may lack.
type capability struct {
	name  string
	need  bool
	fam   nftables.TableFamily
	hook  *nftables.ChainHook
	typ   nftables.ChainType
	exprs exprs
}

// probe finds out what the kernel can do, each by a transaction that makes a
// table of another name and takes it away again, so that it never comes to be.
func (f *Firewall) probe() error {
	caps := []capability{
		{"nft", true, nftables.TableFamilyIPv4, nftables.ChainHookForward, nftables.ChainTypeFilter, rule(count(), drop())},
		{"conntrack", true, nftables.TableFamilyIPv4, nftables.ChainHookForward, nftables.ChainTypeFilter, rule(ct(expr.CtKeyDST, r0), ct(expr.CtKeyMARK, r0+4), setCtMark(r0+4))},
		{"nflog", false, nftables.TableFamilyIPv4, nftables.ChainHookForward, nftables.ChainTypeFilter, logTo("probe")},
		{"reject", false, nftables.TableFamilyIPv4, nftables.ChainHookForward, nftables.ChainTypeFilter, exprs{&expr.Reject{Type: unix.NFT_REJECT_ICMP_UNREACH, Code: icmpProhibited}}},
	}
	if f.cfg.Bridge != "" {
		caps = append(caps,
			capability{"bridge", true, nftables.TableFamilyBridge, nftables.ChainHookPrerouting, nftables.ChainTypeFilter, rule(etherSaddr(r0), eq(r0, make([]byte, 6)), drop())},
			capability{"bridge-meta", false, nftables.TableFamilyBridge, nftables.ChainHookPrerouting, nftables.ChainTypeFilter,
				rule(meta(expr.MetaKeyBRIIIFNAME, r0), neq(r0, ifname("none")), drop())})
	}
	if f.cfg.Masquerade {
		caps = append(caps, capability{"masquerade", true, nftables.TableFamilyIPv4, nftables.ChainHookPostrouting, nftables.ChainTypeNAT, exprs{&expr.Masq{}}})
	}
	var have []string
	for _, c := range caps {
		t := &nftables.Table{Name: TableName + "-probe", Family: c.fam}
		f.conn.AddTable(t)
		p := nftables.ChainPolicyAccept
		ch := f.conn.AddChain(&nftables.Chain{Name: "probe", Table: t, Hooknum: c.hook, Priority: nftables.ChainPriorityFilter, Policy: &p, Type: c.typ})
		f.conn.AddRule(&nftables.Rule{Table: t, Chain: ch, Exprs: c.exprs})
		f.conn.DelTable(t)
		err := f.conn.Flush()
		if err == nil {
			have = append(have, c.name)
			continue
		}
		f.renew(&f.conn)
		switch c.name {
		case "nflog":
			f.cfg.noLog = true
		case "reject":
			f.cfg.noReject = true
		case "bridge-meta":
			f.cfg.noBridgeMeta = true
		}
		if c.need {
			return &ringwall.Error{Code: ringwall.Unavailable, Text: "the kernel lacks what " + c.name + " needs, or does not let us use it",
				Hint: "run as root on Linux 5.10 or newer with nftables (" + c.name + ")", Err: err}
		}
	}
	f.tier = strings.Join(have, "+")
	return nil
}
