package fastpath

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/mdlayher/netlink"
	"github.com/ti-mo/conntrack"
	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/internal/netns"
)

// tracker asks the kernel's connection tracking about single flows.
type tracker struct {
	ct  *conntrack.Conn
	raw *netlink.Conn
}

func newTracker(ns *netns.NS) (*tracker, error) {
	ct, err := conntrack.Dial(&netlink.Config{NetNS: ns.FD()})
	if err != nil {
		return nil, fmt.Errorf("reaching connection tracking: %w", err)
	}
	raw, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: ns.FD()})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("reaching connection tracking: %w", err), ct.Close())
	}
	return &tracker{ct, raw}, nil
}

func (t *tracker) close() error { return errors.Join(t.ct.Close(), t.raw.Close()) }

// tracked is a connection as a device opened it.
type tracked struct {
	mark   uint32
	own    netip.AddrPort // the device's end
	far    netip.AddrPort // the other one
	shown  netip.AddrPort // the device's end as the other one sees it
	asKey  bool           // the key that was asked for is the original direction
	strict bool           // TCP whose sequence numbers are held against windows
}

// lookup finds the connection that a packet is of; ok is false when there is
// none, or none that may be cached.
func (t *tracker) lookup(k flowKey) (c tracked, ok bool, err error) {
	src, dst := k.src(), k.dst()
	var q conntrack.Flow
	q.TupleOrig.IP.SourceAddress, q.TupleOrig.IP.DestinationAddress = src.Addr(), dst.Addr()
	q.TupleOrig.Proto.Protocol, q.TupleOrig.Proto.SourcePort, q.TupleOrig.Proto.DestinationPort = uint8(k.Proto), src.Port(), dst.Port()
	// The kernel finds a connection by either of its directions.
	f, err := t.ct.Get(q)
	if errors.Is(err, unix.ENOENT) {
		return c, false, nil
	}
	if err != nil {
		return c, false, fmt.Errorf("asking for a connection: %w", err)
	}
	c.mark = f.Mark
	c.own = netip.AddrPortFrom(f.TupleOrig.IP.SourceAddress, f.TupleOrig.Proto.SourcePort)
	c.far = netip.AddrPortFrom(f.TupleOrig.IP.DestinationAddress, f.TupleOrig.Proto.DestinationPort)
	c.shown = netip.AddrPortFrom(f.TupleReply.IP.DestinationAddress, f.TupleReply.Proto.DestinationPort)
	answers := netip.AddrPortFrom(f.TupleReply.IP.SourceAddress, f.TupleReply.Proto.SourcePort)
	c.asKey = src == c.own && dst == c.far
	switch {
	case answers != c.far: // redirected on its way: not ours to repeat
	case !c.asKey && (src != c.far || dst != c.shown):
	case f.Status.Dying() || f.Status.SeqAdjust() || f.Status.Value&conntrack.StatusHelper != 0 || f.Helper.Name != "" || f.Zone != 0:
	case !c.asKey && !f.Status.SeenReply(): // tracking has yet to learn that it is answered
	case k.Proto == unix.IPPROTO_TCP:
		tcp := f.ProtoInfo.TCP
		if tcp == nil || tcp.State != tcpEstablished {
			break
		}
		c.strict = tcp.OriginalFlags>>8&beLiberal == 0 || tcp.ReplyFlags>>8&beLiberal == 0
		ok = true
	default:
		ok = true
	}
	return c, ok, nil
}

const (
	tcpEstablished = 3 // TCP_CONNTRACK_ESTABLISHED
	beLiberal      = 8 // IP_CT_TCP_FLAG_BE_LIBERAL
)

// Attributes and messages of ctnetlink (linux/netfilter/nfnetlink_conntrack.h).
const (
	ctNew = unix.NFNL_SUBSYS_CTNETLINK << 8 // IPCTNL_MSG_CT_NEW is 0

	ctaTupleOrig    = 1
	ctaProtoInfo    = 4
	ctaTupleIP      = 1
	ctaTupleProto   = 2
	ctaV4Src        = 1
	ctaV4Dst        = 2
	ctaProtoNum     = 1
	ctaProtoSport   = 2
	ctaProtoDport   = 3
	ctaProtoInfoTCP = 1
	ctaTCPFlagsOrig = 4
	ctaTCPFlagsBack = 5
)

// relax tells connection tracking not to hold sequence numbers of this one
// connection against windows, of which it sees but a packet in a while; else it
// would take the next that it sees for a forged one. Nothing else of the
// connection changes (the library would write back its state as well).
func (t *tracker) relax(proto uint8, own, far netip.AddrPort) error {
	flags := []byte{beLiberal, beLiberal} // value and mask
	e := netlink.NewAttributeEncoder()
	e.ByteOrder = binary.BigEndian
	e.Nested(ctaTupleOrig, func(t *netlink.AttributeEncoder) error {
		t.Nested(ctaTupleIP, func(a *netlink.AttributeEncoder) error {
			a.Bytes(ctaV4Src, own.Addr().AsSlice())
			a.Bytes(ctaV4Dst, far.Addr().AsSlice())
			return nil
		})
		t.Nested(ctaTupleProto, func(a *netlink.AttributeEncoder) error {
			a.Uint8(ctaProtoNum, proto)
			a.Uint16(ctaProtoSport, own.Port())
			a.Uint16(ctaProtoDport, far.Port())
			return nil
		})
		return nil
	})
	e.Nested(ctaProtoInfo, func(p *netlink.AttributeEncoder) error {
		p.Nested(ctaProtoInfoTCP, func(a *netlink.AttributeEncoder) error {
			a.Bytes(ctaTCPFlagsOrig, flags)
			a.Bytes(ctaTCPFlagsBack, flags)
			return nil
		})
		return nil
	})
	attrs, err := e.Encode()
	if err != nil {
		return err
	}
	_, err = t.raw.Execute(netlink.Message{
		Header: netlink.Header{Type: ctNew, Flags: netlink.Request | netlink.Acknowledge},
		Data:   append([]byte{unix.AF_INET, unix.NFNETLINK_V0, 0, 0}, attrs...),
	})
	if err != nil {
		return fmt.Errorf("relaxing the window of a connection: %w", err)
	}
	return nil
}
