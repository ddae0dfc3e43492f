package nft

import (
	"encoding/binary"
	"net/netip"

	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Registers of 32 bits, as concatenated keys need them side by side.
const r0 = unix.NFT_REG32_00

type exprs = []expr.Any

func rule(parts ...exprs) exprs {
	var out exprs
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

func meta(key expr.MetaKey, reg uint32) exprs { return exprs{&expr.Meta{Key: key, Register: reg}} }

func setMark(reg uint32) exprs {
	return exprs{&expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: reg}}
}

func imm(reg uint32, data []byte) exprs { return exprs{&expr.Immediate{Register: reg, Data: data}} }

func compare(op expr.CmpOp, reg uint32, data []byte) exprs {
	return exprs{&expr.Cmp{Op: op, Register: reg, Data: data}}
}

func eq(reg uint32, data []byte) exprs  { return compare(expr.CmpOpEq, reg, data) }
func neq(reg uint32, data []byte) exprs { return compare(expr.CmpOpNeq, reg, data) }

func payload(base expr.PayloadBase, off, n, reg uint32) exprs {
	return exprs{&expr.Payload{DestRegister: reg, Base: base, Offset: off, Len: n}}
}

func ct(key expr.CtKey, reg uint32) exprs { return exprs{&expr.Ct{Key: key, Register: reg}} }

func setCtMark(reg uint32) exprs {
	return exprs{&expr.Ct{Key: expr.CtKeyMARK, Register: reg, SourceRegister: true}}
}

// ctState matches when any of mask is set.
func ctState(mask uint32) exprs {
	return rule(ct(expr.CtKeySTATE, r0), bits(r0, mask), neq(r0, num(0)))
}

// in matches when the key that begins at reg is in the set.
func in(set string, reg uint32) exprs {
	return exprs{&expr.Lookup{SourceRegister: reg, SetName: set}}
}

func notIn(set string, reg uint32) exprs {
	return exprs{&expr.Lookup{SourceRegister: reg, SetName: set, Invert: true}}
}

// get looks the key at reg up in a map and leaves what it finds at dst.
func get(m string, reg, dst uint32) exprs {
	return exprs{&expr.Lookup{SourceRegister: reg, SetName: m, DestRegister: dst, IsDestRegSet: true}}
}

func verdict(kind expr.VerdictKind, chain string) exprs {
	return exprs{&expr.Verdict{Kind: kind, Chain: chain}}
}

func accept() exprs             { return verdict(expr.VerdictAccept, "") }
func drop() exprs               { return verdict(expr.VerdictDrop, "") }
func ret() exprs                { return verdict(expr.VerdictReturn, "") }
func goTo(chain string) exprs   { return verdict(expr.VerdictGoto, chain) }
func jumpTo(chain string) exprs { return verdict(expr.VerdictJump, chain) }
func count() exprs              { return exprs{&expr.Counter{}} }

func iifname(reg uint32) exprs { return meta(expr.MetaKeyIIFNAME, reg) }
func oifname(reg uint32) exprs { return meta(expr.MetaKeyOIFNAME, reg) }
func mark(reg uint32) exprs    { return meta(expr.MetaKeyMARK, reg) }
func dport(reg uint32) exprs   { return payload(expr.PayloadBaseTransportHeader, 2, 2, reg) }
func sport(reg uint32) exprs   { return payload(expr.PayloadBaseTransportHeader, 0, 2, reg) }
func etherSaddr(reg uint32) exprs {
	return payload(expr.PayloadBaseLLHeader, 6, 6, reg)
}

// l4 matches a transport protocol.
func l4(proto uint8) exprs { return rule(meta(expr.MetaKeyL4PROTO, r0), eq(r0, []byte{proto})) }

// perDevice matches at most rate packets a second of the device whose mark is
// at reg, so that a noisy device does not use up what others may say.
func perDevice(set string, reg uint32, rate uint64, burst uint32) exprs {
	return exprs{&expr.Dynset{
		SrcRegKey: reg, SetName: set, Operation: unix.NFT_DYNSET_OP_UPDATE,
		Exprs: []expr.Any{&expr.Limit{Type: expr.LimitTypePkts, Rate: rate, Unit: expr.LimitTimeSecond, Burst: burst}},
	}}
}

func limit(rate uint64, burst uint32) exprs {
	return exprs{&expr.Limit{Type: expr.LimitTypePkts, Rate: rate, Unit: expr.LimitTimeSecond, Burst: burst}}
}

func logTo(prefix string) exprs {
	return exprs{&expr.Log{
		Key:   1<<unix.NFTA_LOG_GROUP | 1<<unix.NFTA_LOG_PREFIX | 1<<unix.NFTA_LOG_SNAPLEN,
		Group: LogGroup, Snaplen: snaplen, Data: []byte(prefix),
	}}
}

// num is a 32-bit number as the kernel keeps it in a register.
func num(v uint32) []byte { return binaryutil.NativeEndian.PutUint32(v) }

// be16 is a 16-bit number in network order.
func be16(v uint16) []byte { return binary.BigEndian.AppendUint16(nil, v) }

// ifname is the name of an interface as the kernel compares it.
func ifname(s string) []byte {
	b := make([]byte, unix.IFNAMSIZ)
	copy(b, s)
	return b
}

// pad fills a field of a concatenated key up to 32 bits.
func pad(b []byte) []byte {
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

func cat(fields ...[]byte) []byte {
	var out []byte
	for _, f := range fields {
		out = append(out, pad(append([]byte(nil), f...))...)
	}
	return out
}

func ip4(a netip.Addr) []byte {
	b := a.As4()
	return b[:]
}
