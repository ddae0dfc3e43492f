package gatewaybench

import (
	"context"
	"errors"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/internal/netns"
)

// Parts of what a packet costs, each added to connection tracking alone: what the
// kernel asks for it, whoever writes the rules. They are measured when they are
// asked for by name.
const (
	part       = "part:"
	partHook   = part + " conntrack, and a hook on the bridge that lets all pass"
	partAddr   = part + " conntrack, and on the bridge a lookup by address"
	partBind   = part + " conntrack, and on the bridge a lookup by port, MAC and address"
	partToken  = part + " conntrack, by a lookup of marks that counts"
	partAll    = part + " all three"
	partTapped = part + " Ringwall, and a tap that keeps nothing"
)

func parts() []Contender {
	by := func(bridge func(*Rig) (when, load []expr.Any, width uint32, of func(int) []byte), count bool) func(context.Context, *Rig) (*Running, error) {
		return func(_ context.Context, r *Rig) (*Running, error) { return startPart(r, bridge, count) }
	}
	return []Contender{
		{Name: partHook, Start: by(passAll, false), Asked: true},
		{Name: partAddr, Start: by(byAddress, false), Asked: true},
		{Name: partBind, Start: by(byBinding, false), Asked: true},
		{Name: partToken, Start: by(nil, true), Asked: true},
		{Name: partAll, Start: by(byBinding, true), Asked: true},
		{Name: partTapped, Start: startDeafTap, Asked: true},
	}
}

const firstReg = unix.NFT_REG32_00

func passAll(*Rig) (when, load []expr.Any, width uint32, of func(int) []byte) {
	return nil, nil, 0, nil
}

// byAddress is the cheapest lookup there is: four bytes, in a set of known size.
func byAddress(*Rig) (when, load []expr.Any, width uint32, of func(int) []byte) {
	return nil, []expr.Any{source(firstReg)}, 4, func(i int) []byte { return DeviceIP(i).AsSlice() }
}

// byBinding is the rule of package nft.
func byBinding(*Rig) (when, load []expr.Any, width uint32, of func(int) []byte) {
	when = []expr.Any{
		&expr.Meta{Key: expr.MetaKeyPKTTYPE, Register: 1}, &expr.Cmp{Register: 1, Data: []byte{unix.PACKET_HOST}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Len: 1}, &expr.Cmp{Register: 1, Data: []byte{0x45}},
	}
	load = []expr.Any{
		&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: firstReg},
		&expr.Payload{DestRegister: firstReg + 4, Base: expr.PayloadBaseLLHeader, Offset: 6, Len: 8},
		source(firstReg + 6),
	}
	return when, load, 28, func(i int) []byte {
		key := make([]byte, 28)
		copy(key, Port)
		copy(key[16:], DeviceMAC(i))
		key[22] = 8 // the type of frames of IPv4
		copy(key[24:], DeviceIP(i).AsSlice())
		return key
	}
}

func source(reg uint32) expr.Any {
	return &expr.Payload{DestRegister: reg, Base: expr.PayloadBaseNetworkHeader, Offset: 12, Len: 4}
}

// startPart adds to connection tracking a hook on the bridge, with a lookup that
// gives the packet its mark, or replaces its rule by a lookup that counts.
func startPart(r *Rig, bridge func(*Rig) (when, load []expr.Any, width uint32, of func(int) []byte), count bool) (*Running, error) {
	c, err := nftables.New(nftables.WithNetNSFd(r.Gateway.FD()), nftables.WithSockOptions(func(n *netlink.Conn) error { return n.SetWriteBuffer(16 << 20) }))
	if err != nil {
		return nil, err
	}
	accept := nftables.ChainPolicyAccept
	t := c.AddTable(&nftables.Table{Name: "part", Family: nftables.TableFamilyIPv4})
	forward := c.AddChain(&nftables.Chain{Name: "forward", Table: t, Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter, Type: nftables.ChainTypeFilter, Policy: &accept})
	rule := tracked()
	if count {
		// The marks of packet and connection, as a token is looked up. The first is 0
		// where no lookup on the bridge gives it, the second always.
		s := &nftables.Set{Table: t, Name: "token", ID: 1, KeyType: nftables.MustConcatSetType(nftables.TypeMark, nftables.TypeMark), Concatenation: true, Counter: true, Size: setSize}
		if err := fill(c, s, r.Devices+1, func(i int) nftables.SetElement {
			return nftables.SetElement{Key: append(native(uint32(i)), native(0)...)}
		}); err != nil {
			return nil, err
		}
		rule = []expr.Any{&expr.Meta{Key: expr.MetaKeyMARK, Register: firstReg}, &expr.Ct{Key: expr.CtKeyMARK, Register: firstReg + 1}, &expr.Lookup{SourceRegister: firstReg, SetName: s.Name, SetID: s.ID}, rule[len(rule)-1]}
	}
	c.AddRule(&nftables.Rule{Table: t, Chain: forward, Exprs: rule})
	if bridge != nil {
		t := c.AddTable(&nftables.Table{Name: "part", Family: nftables.TableFamilyBridge})
		ch := c.AddChain(&nftables.Chain{Name: "prerouting", Table: t, Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityRef(-300), Type: nftables.ChainTypeFilter, Policy: &accept})
		when, load, width, of := bridge(r)
		rule := append(when, load...)
		if of != nil {
			key := nftables.SetDatatype{Name: "key", Bytes: width}
			s := &nftables.Set{Table: t, Name: "bind", ID: 2, KeyType: key, IsMap: true, DataType: nftables.TypeMark, Size: setSize}
			if err := fill(c, s, r.Devices, func(i int) nftables.SetElement {
				return nftables.SetElement{Key: of(i), Val: native(uint32(i + 1))}
			}); err != nil {
				return nil, err
			}
			rule = append(rule, &expr.Lookup{SourceRegister: firstReg, SetName: s.Name, SetID: s.ID, DestRegister: firstReg, IsDestRegSet: true},
				&expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: firstReg})
		}
		c.AddRule(&nftables.Rule{Table: t, Chain: ch, Exprs: append(rule, &expr.Verdict{Kind: expr.VerdictAccept})})
	}
	return &Running{Stop: func() error { return nil }}, c.Flush()
}

// setSize is what package nft makes such sets for.
const setSize = 1 << 14

// fill makes a set, a piece at a time: one message holds 64 KiB.
func fill(c *nftables.Conn, s *nftables.Set, n int, of func(int) nftables.SetElement) error {
	if err := c.AddSet(s, nil); err != nil {
		return err
	}
	var list []nftables.SetElement
	for i := range n {
		if list = append(list, of(i)); len(list) == 256 || i == n-1 {
			if err := c.SetAddElements(s, list); err != nil {
				return err
			}
			list = nil
		}
	}
	return nil
}

// startDeafTap is the firewall with a packet socket that each packet is shown to
// and that wants none: the least that a tap can cost.
func startDeafTap(ctx context.Context, r *Rig) (*Running, error) {
	run, err := ringwallBy(false, false)(ctx, r)
	if err != nil {
		return nil, err
	}
	fd, err := packetSocket(r.Gateway, Port)
	if err == nil {
		err = deafen(r.Gateway, fd)
	}
	if err != nil {
		return nil, errors.Join(err, run.Stop())
	}
	stop := run.Stop
	run.Stop = func() error { return errors.Join(unix.Close(fd), stop()) }
	return run, nil
}

// deafen makes a packet socket listen to everything and keep nothing.
func deafen(ns *netns.NS, fd int) error {
	none := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K}}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(none)), Filter: &none[0]}); err != nil {
		return err
	}
	all, err := ns.Interfaces()
	if err != nil {
		return err
	}
	for _, i := range all {
		if i.Name == Port {
			const everything = unix.ETH_P_ALL<<8 | unix.ETH_P_ALL>>8 // in the order of the network, on the machines that this is measured on
			return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: everything & 0xffff, Ifindex: i.Index})
		}
	}
	return errors.New("the port is gone")
}
