package nft

import (
	"encoding/binary"
	"fmt"

	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Keys of connection tracking that the library does not know (enum nft_ct_keys
// of linux/netfilter/nf_tables.h). Unlike the older saddr and daddr they have a
// length of their own, without which the nft program cannot print a
// concatenation.
const (
	ctSrcIP expr.CtKey = 19
	ctDstIP expr.CtKey = 20

	ctSrcIP6 expr.CtKey = 21
	ctDstIP6 expr.CtKey = 22
)

// encode returns an expression as the kernel reads it.
func encode(e expr.Any) ([]byte, error) {
	c, ok := e.(*expr.Ct)
	if !ok || c.Key < ctSrcIP || c.Key > ctDstIP6 {
		return expr.Marshal(unix.NFPROTO_IPV4, e)
	}
	data, err := netlink.MarshalAttributes([]netlink.Attribute{
		{Type: unix.NFTA_CT_KEY, Data: binary.BigEndian.AppendUint32(nil, uint32(c.Key))},
		{Type: unix.NFTA_CT_DREG, Data: binary.BigEndian.AppendUint32(nil, c.Register)},
		{Type: unix.NFTA_CT_DIRECTION, Data: []byte{byte(c.Direction)}},
	})
	if err != nil {
		return nil, err
	}
	return netlink.MarshalAttributes([]netlink.Attribute{
		{Type: unix.NFTA_EXPR_NAME, Data: []byte("ct\x00")},
		{Type: unix.NLA_F_NESTED | unix.NFTA_EXPR_DATA, Data: data},
	})
}

// sendRules adds the rules of the skeleton in one transaction.
func (f *Firewall) sendRules() error {
	var msgs []netlink.Message
	edge := func(typ uint16) netlink.Message {
		return netlink.Message{
			Header: netlink.Header{Type: netlink.HeaderType(typ), Flags: netlink.Request},
			Data:   []byte{unix.AF_UNSPEC, unix.NFNETLINK_V0, 0, unix.NFNL_SUBSYS_NFTABLES},
		}
	}
	msgs = append(msgs, edge(unix.NFNL_MSG_BATCH_BEGIN))
	n := 0
	for _, d := range chainDefs(f.cfg) {
		for _, r := range d.rules {
			m, err := f.ruleMessage(d, r, tag(f.skel.id, n))
			if err != nil {
				return fmt.Errorf("rule %d of chain %q: %w", n, d.name, err)
			}
			msgs = append(msgs, m)
			n++
		}
	}
	msgs = append(msgs, edge(unix.NFNL_MSG_BATCH_END))
	c, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: f.nsFD()})
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetWriteBuffer(writeBuffer)
	_ = c.SetReadBuffer(readBuffer)
	sent, err := c.SendMessages(msgs)
	if err != nil {
		return err
	}
	// Each rule is acknowledged; the first refusal undoes all.
	for got := 0; got < len(sent)-2; {
		replies, err := c.Receive()
		if err != nil {
			return err
		}
		got += len(replies)
	}
	return nil
}

func (f *Firewall) ruleMessage(d chainDef, r exprs, tag []byte) (netlink.Message, error) {
	var list []netlink.Attribute
	for _, e := range r {
		b, err := encode(e)
		if err != nil {
			return netlink.Message{}, err
		}
		list = append(list, netlink.Attribute{Type: unix.NLA_F_NESTED | unix.NFTA_LIST_ELEM, Data: b})
	}
	exprs, err := netlink.MarshalAttributes(list)
	if err != nil {
		return netlink.Message{}, err
	}
	attrs, err := netlink.MarshalAttributes([]netlink.Attribute{
		{Type: unix.NFTA_RULE_TABLE, Data: []byte(TableName + "\x00")},
		{Type: unix.NFTA_RULE_CHAIN, Data: []byte(d.name + "\x00")},
		{Type: unix.NLA_F_NESTED | unix.NFTA_RULE_EXPRESSIONS, Data: exprs},
		{Type: unix.NFTA_RULE_USERDATA, Data: tag},
	})
	return netlink.Message{
		Header: netlink.Header{
			Type:  unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_NEWRULE,
			Flags: netlink.Request | netlink.Acknowledge | netlink.Create | unix.NLM_F_APPEND,
		},
		Data: append([]byte{byte(f.table(d.family).Family), unix.NFNETLINK_V0, 0, 0}, attrs...),
	}, err
}
