package fastpath

import (
	"encoding/binary"
	"math"

	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"
)

// Offsets in struct __sk_buff (linux/bpf.h).
const (
	ctxLen     = 0
	ctxVLAN    = 20
	ctxIfindex = 40
	ctxData    = 76
	ctxDataEnd = 80
	ctxGSOSize = 176
)

// Offsets in an Ethernet frame with an IPv4 packet without options.
const (
	etherDst  = 0
	etherSrc  = 6
	etherType = 12
	ipVersion = 14
	ipTOS     = 15
	ipTotal   = 16
	ipFrag    = 20
	ipTTL     = 22
	ipProto   = 23
	ipSum     = 24
	ipSrc     = 26
	ipDst     = 30
	l4Src     = 34
	l4Dst     = 36
	tcpOffset = 46
	tcpFlags  = 47
	udpSum    = 40
	tcpSum    = 50
	udpEnd    = 42
	tcpEnd    = 54
)

// Offsets in struct bpf_fib_lookup.
const (
	fibFamily  = 0
	fibProto   = 1
	fibSport   = 2
	fibDport   = 4
	fibTotal   = 6
	fibIfindex = 8
	fibTOS     = 12
	fibSrc     = 16
	fibDst     = 32
	fibSMAC    = 52
	fibDMAC    = 58
	fibSize    = 64
)

// Places on the stack of the program.
const (
	atFib   = -64
	atKey   = -88
	atSlot  = -92
	atFlags = -96
	atEvent = -128
)

// What a program answers, and flags of helpers (linux/bpf.h).
const (
	tcxNext = -1
	tcShot  = 2

	noWakeup   = 1      // BPF_RB_NO_WAKEUP
	pseudoHdr  = 1 << 4 // BPF_F_PSEUDO_HDR
	mangledUDP = 1 << 5 // BPF_F_MARK_MANGLED_0: a UDP checksum of zero stays one
)

const (
	tcpFIN, tcpSYN, tcpRST, tcpACK = 1, 2, 4, 16
	askAgain                       = 1e9 // ns between two askings for a flow whose lease is over
)

// be16 is how a 16-bit number in network order looks when it is loaded.
func be16(v uint16) int32 {
	return int32(binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v)))
}

// side of the gateway that a program sits at.
type side uint8

const (
	devices side = iota // packets come from devices
	world
)

// program writes the program for one side. Registers: R6 the context, R7 the
// packet, R8 the flow, R9 the bytes that are counted.
func (m *kernelMaps) program(s side, c Config) asm.Instructions {
	var p asm.Instructions
	add := func(list ...asm.Instruction) { p = append(p, list...) }
	label := func(name string, first asm.Instruction) { p = append(p, first.WithSymbol(name)) }
	load := func(dst asm.Register, src asm.Register, off int16, z asm.Size) { add(asm.LoadMem(dst, src, off, z)) }
	store := func(dst asm.Register, off int16, src asm.Register, z asm.Size) { add(asm.StoreMem(dst, off, src, z)) }
	// copyTo copies by way of R1.
	copyTo := func(dst asm.Register, to int16, src asm.Register, from int16, z asm.Size) {
		load(asm.R1, src, from, z)
		store(dst, to, asm.R1, z)
	}
	// differ goes to where when two fields are not alike.
	differ := func(a asm.Register, ao int16, b asm.Register, bo int16, z asm.Size, where string) {
		load(asm.R1, a, ao, z)
		load(asm.R2, b, bo, z)
		add(asm.JNE.Reg(asm.R1, asm.R2, where))
	}
	lookup := func(fd int, key int32) {
		add(asm.LoadMapPtr(asm.R1, fd), asm.Mov.Reg(asm.R2, asm.RFP), asm.Add.Imm(asm.R2, key), asm.FnMapLookupElem.Call())
	}

	add(asm.Mov.Reg(asm.R6, asm.R1))
	load(asm.R1, asm.R6, ctxVLAN, asm.Word)
	add(asm.JNE.Imm(asm.R1, 0, "next"))
	load(asm.R7, asm.R6, ctxData, asm.Word)
	load(asm.R3, asm.R6, ctxDataEnd, asm.Word)
	add(asm.Mov.Reg(asm.R1, asm.R7), asm.Add.Imm(asm.R1, udpEnd), asm.JLE.Reg(asm.R1, asm.R3, "whole"))
	// The headers do not lie in one piece: ask for that, once.
	load(asm.R2, asm.R6, ctxLen, asm.Word)
	add(asm.JLT.Imm(asm.R2, udpEnd, "next"), asm.JLE.Imm(asm.R2, tcpEnd, "pull"), asm.Mov.Imm(asm.R2, tcpEnd))
	label("pull", asm.Mov.Reg(asm.R1, asm.R6))
	add(asm.FnSkbPullData.Call())
	load(asm.R7, asm.R6, ctxData, asm.Word)
	load(asm.R3, asm.R6, ctxDataEnd, asm.Word)
	add(asm.Mov.Reg(asm.R1, asm.R7), asm.Add.Imm(asm.R1, udpEnd), asm.JGT.Reg(asm.R1, asm.R3, "next"))

	label("whole", asm.LoadMem(asm.R1, asm.R7, etherType, asm.Half))
	add(asm.JNE.Imm(asm.R1, be16(unix.ETH_P_IP), "next"))
	load(asm.R1, asm.R7, ipVersion, asm.Byte)
	add(asm.JNE.Imm(asm.R1, 0x45, "next"))
	load(asm.R1, asm.R7, ipFrag, asm.Half)
	add(asm.And.Imm(asm.R1, be16(0xbfff)), asm.JNE.Imm(asm.R1, 0, "next")) // all but "do not fragment"
	load(asm.R1, asm.R7, ipTTL, asm.Byte)
	add(asm.JLE.Imm(asm.R1, 1, "next"))

	// R1: length of the header of layer 4; R2: protocol; R8: TCP flags.
	load(asm.R2, asm.R7, ipProto, asm.Byte)
	add(asm.Mov.Imm(asm.R1, 8), asm.Mov.Imm(asm.R8, tcpACK), asm.JEq.Imm(asm.R2, unix.IPPROTO_UDP, "sized"), asm.JNE.Imm(asm.R2, unix.IPPROTO_TCP, "next"))
	add(asm.Mov.Reg(asm.R1, asm.R7), asm.Add.Imm(asm.R1, tcpEnd), asm.JGT.Reg(asm.R1, asm.R3, "next"))
	load(asm.R8, asm.R7, tcpFlags, asm.Byte)
	load(asm.R1, asm.R7, tcpOffset, asm.Byte)
	add(asm.RSh.Imm(asm.R1, 2), asm.And.Imm(asm.R1, 0x3c))

	label("sized", asm.Mov.Imm(asm.R3, 0))
	for o := int16(atFib); o < atFib+fibSize; o += 8 {
		store(asm.RFP, o, asm.R3, asm.DWord)
	}
	store(asm.RFP, atFlags, asm.R8, asm.Word)
	// R4: what is held against the MTU, for a train of segments its longest.
	load(asm.R4, asm.R6, ctxGSOSize, asm.Word)
	load(asm.R9, asm.R6, ctxLen, asm.Word)
	add(asm.Sub.Imm(asm.R9, ipVersion), asm.JEq.Imm(asm.R4, 0, "single"))
	add(asm.Add.Reg(asm.R4, asm.R1), asm.Add.Imm(asm.R4, 20), asm.JGT.Imm(asm.R4, math.MaxUint16, "next"), asm.Ja.Label("key"))
	label("single", asm.LoadMem(asm.R4, asm.R7, ipTotal, asm.Half))
	add(asm.HostTo(asm.BE, asm.R4, asm.Half), asm.JGT.Reg(asm.R4, asm.R9, "next"), asm.JLT.Imm(asm.R4, udpEnd-ipVersion, "next"))
	add(asm.Mov.Reg(asm.R9, asm.R4)) // without the padding of a short frame

	label("key", asm.StoreMem(asm.RFP, atFib+fibTotal, asm.R4, asm.Half))
	store(asm.RFP, atKey+keyProto, asm.R2, asm.Word)
	store(asm.RFP, atFib+fibProto, asm.R2, asm.Byte)
	copyTo(asm.RFP, atKey+keyIfindex, asm.R6, ctxIfindex, asm.Word)
	copyTo(asm.RFP, atKey+keySrc, asm.R7, ipSrc, asm.Word)
	store(asm.RFP, atFib+fibSrc, asm.R1, asm.Word)
	copyTo(asm.RFP, atKey+keyDst, asm.R7, ipDst, asm.Word)
	store(asm.RFP, atFib+fibDst, asm.R1, asm.Word)
	copyTo(asm.RFP, atKey+keySport, asm.R7, l4Src, asm.Half)
	store(asm.RFP, atFib+fibSport, asm.R1, asm.Half)
	copyTo(asm.RFP, atKey+keyDport, asm.R7, l4Dst, asm.Half)
	store(asm.RFP, atFib+fibDport, asm.R1, asm.Half)

	lookup(m.flows.FD(), atKey)
	add(asm.JEq.Imm(asm.R0, 0, "sample"), asm.Mov.Reg(asm.R8, asm.R0))
	load(asm.R1, asm.RFP, atFlags, asm.Word)
	add(asm.Mov.Reg(asm.R2, asm.R1), asm.And.Imm(asm.R2, tcpFIN|tcpSYN|tcpRST), asm.JNE.Imm(asm.R2, 0, "close"))
	add(asm.And.Imm(asm.R1, tcpACK), asm.JEq.Imm(asm.R1, 0, "next"))

	// Leases and refreshing. Two processors may both send a packet the slow way;
	// that is one more than needed, no more.
	add(asm.FnKtimeGetCoarseNs.Call())
	load(asm.R2, asm.R8, valSlow, asm.DWord)
	add(asm.Mov.Reg(asm.R3, asm.R0), asm.Sub.Reg(asm.R3, asm.R2))
	load(asm.R1, asm.R8, valUntil, asm.DWord)
	add(asm.JGT.Reg(asm.R0, asm.R1, "lapsed"))
	add(asm.LoadImm(asm.R1, c.Refresh.Nanoseconds(), asm.DWord), asm.JLE.Reg(asm.R3, asm.R1, "gate"))
	store(asm.R8, valSlow, asm.R0, asm.DWord)
	add(asm.Ja.Label("next"))

	label("gate", asm.LoadMem(asm.R1, asm.R8, valSlot, asm.Word))
	store(asm.RFP, atSlot, asm.R1, asm.Word)
	lookup(m.gates.FD(), atSlot)
	add(asm.JEq.Imm(asm.R0, 0, "next"))
	differ(asm.R0, 0, asm.R8, valGate, asm.DWord, "next")

	differ(asm.R7, etherDst, asm.R8, valDstHi, asm.Half, "next")
	differ(asm.R7, etherDst+2, asm.R8, valDstLo, asm.Word, "next")
	if s == devices {
		differ(asm.R7, etherSrc, asm.R8, valSrcHi, asm.Word, "next")
		differ(asm.R7, etherSrc+4, asm.R8, valSrcLo, asm.Half, "next")
	}

	add(asm.StoreImm(asm.RFP, atFib+fibFamily, unix.AF_INET, asm.Byte))
	copyTo(asm.RFP, atFib+fibTOS, asm.R7, ipTOS, asm.Byte)
	copyTo(asm.RFP, atFib+fibIfindex, asm.R8, valRouteIn, asm.Word)
	if s == world { // the way to the device itself, whatever address the world has for it
		copyTo(asm.RFP, atFib+fibDst, asm.R8, valNATAddr, asm.Word)
	}
	add(asm.Mov.Reg(asm.R1, asm.R6), asm.Mov.Reg(asm.R2, asm.RFP), asm.Add.Imm(asm.R2, atFib), asm.Mov.Imm(asm.R3, fibSize), asm.Mov.Imm(asm.R4, 0),
		asm.FnFibLookup.Call(), asm.JNE.Imm(asm.R0, 0, "next"))
	differ(asm.RFP, atFib+fibIfindex, asm.R8, valRouteOut, asm.Word, "next")
	if s == world {
		differ(asm.RFP, atFib+fibDMAC, asm.R8, valSrcLo, asm.Half, "next")
		differ(asm.RFP, atFib+fibDMAC+2, asm.R8, valSrcHi, asm.Word, "next")
	}

	lookup(m.counts.FD(), atSlot)
	add(asm.JEq.Imm(asm.R0, 0, "next"))
	count := int16(0)
	if s == world {
		count = 16
	}
	load(asm.R1, asm.R0, count, asm.DWord)
	add(asm.Add.Imm(asm.R1, 1))
	store(asm.R0, count, asm.R1, asm.DWord)
	load(asm.R1, asm.R0, count+8, asm.DWord)
	add(asm.Add.Reg(asm.R1, asm.R9))
	store(asm.R0, count+8, asm.R1, asm.DWord)

	// Lowering the TTL by one raises the sum by 0x0100 (RFC 1624).
	load(asm.R1, asm.R7, ipTTL, asm.Byte)
	add(asm.Sub.Imm(asm.R1, 1))
	store(asm.R7, ipTTL, asm.R1, asm.Byte)
	load(asm.R1, asm.R7, ipSum, asm.Half)
	add(asm.Add.Imm(asm.R1, be16(0x0100)), asm.JLT.Imm(asm.R1, 0xffff, "summed"), asm.Add.Imm(asm.R1, 1))
	label("summed", asm.StoreMem(asm.R7, ipSum, asm.R1, asm.Half))
	copyTo(asm.R7, etherDst, asm.RFP, atFib+fibDMAC, asm.Half)
	copyTo(asm.R7, etherDst+2, asm.RFP, atFib+fibDMAC+2, asm.Word)
	copyTo(asm.R7, etherSrc, asm.RFP, atFib+fibSMAC, asm.Word)
	copyTo(asm.R7, etherSrc+4, asm.RFP, atFib+fibSMAC+4, asm.Half)

	load(asm.R1, asm.R8, valNAT, asm.Word)
	add(asm.JEq.Imm(asm.R1, 0, "send"))
	p = append(p, translate(s)...)

	label("send", asm.LoadMem(asm.R1, asm.R8, valOut, asm.Word))
	add(asm.Mov.Imm(asm.R2, 0), asm.FnRedirect.Call(), asm.Return())

	// The connection ends or begins anew: both directions leave the cache.
	label("close", asm.LoadMem(asm.R1, asm.R8, valBack, asm.Word))
	store(asm.RFP, atEvent+keyIfindex, asm.R1, asm.Word)
	copyTo(asm.RFP, atEvent+keyProto, asm.RFP, atKey+keyProto, asm.Word)
	ownAddr, ownPort, farAddr, farPort := int16(keyDst), int16(keyDport), int16(keySrc), int16(keySport)
	theirs, theirsPort := int16(keyDst), int16(keyDport)
	if s == world {
		ownAddr, ownPort, farAddr, farPort = farAddr, farPort, ownAddr, ownPort
		theirs, theirsPort = keySrc, keySport
	}
	copyTo(asm.RFP, atEvent+ownAddr, asm.R8, valNATAddr, asm.Word)
	copyTo(asm.RFP, atEvent+ownPort, asm.R8, valNATPort, asm.Half)
	copyTo(asm.RFP, atEvent+farAddr, asm.RFP, atKey+theirs, asm.Word)
	copyTo(asm.RFP, atEvent+farPort, asm.RFP, atKey+theirsPort, asm.Half)
	for _, at := range []int32{atEvent, atKey} {
		add(asm.LoadMapPtr(asm.R1, m.flows.FD()), asm.Mov.Reg(asm.R2, asm.RFP), asm.Add.Imm(asm.R2, at), asm.FnMapDeleteElem.Call())
	}
	add(asm.Ja.Label("next"))

	label("lapsed", asm.LoadImm(asm.R1, askAgain, asm.DWord))
	add(asm.JLE.Reg(asm.R3, asm.R1, "next"))
	store(asm.R8, valSlow, asm.R0, asm.DWord)
	add(asm.Ja.Label("tell"))

	label("sample", asm.FnGetPrandomU32.Call())
	add(asm.And.Imm(asm.R0, int32(c.Sample-1)), asm.JNE.Imm(asm.R0, 0, "next"))

	label("tell", asm.Mov.Imm(asm.R1, 0))
	store(asm.RFP, atEvent+24, asm.R1, asm.DWord)
	for o := int16(0); o < keySize; o += 4 {
		copyTo(asm.RFP, atEvent+o, asm.RFP, atKey+o, asm.Word)
	}
	copyTo(asm.RFP, atEvent+keySize, asm.R7, etherSrc, asm.Word)
	copyTo(asm.RFP, atEvent+keySize+4, asm.R7, etherSrc+4, asm.Half)
	add(asm.LoadMapPtr(asm.R1, m.events.FD()), asm.Mov.Reg(asm.R2, asm.RFP), asm.Add.Imm(asm.R2, atEvent), asm.Mov.Imm(asm.R3, eventSize), asm.Mov.Imm(asm.R4, noWakeup),
		asm.FnRingbufOutput.Call())

	label("next", asm.Mov.Imm(asm.R0, tcxNext))
	add(asm.Return())
	label("shot", asm.Mov.Imm(asm.R0, tcShot))
	add(asm.Return())
	return p
}

// translate rewrites the address and port of the device's end, with their
// checksums. The packet may move in memory: R7 is not good any more.
func translate(s side) asm.Instructions {
	addr, port, keyAddr, keyPort := int32(ipSrc), int32(l4Src), int16(keySrc), int16(keySport)
	if s == world {
		addr, port, keyAddr, keyPort = ipDst, l4Dst, keyDst, keyDport
	}
	var p asm.Instructions
	checked := func(list ...asm.Instruction) {
		p = append(p, list...)
		p = append(p, asm.JNE.Imm(asm.R0, 0, "shot"))
	}
	// R9: where the checksum of layer 4 is; R7: flags.
	p = append(p,
		asm.LoadMem(asm.R1, asm.RFP, atKey+keyProto, asm.Word), asm.Mov.Imm(asm.R9, tcpSum), asm.Mov.Imm(asm.R7, 0), asm.JEq.Imm(asm.R1, unix.IPPROTO_TCP, "sums"),
		asm.Mov.Imm(asm.R9, udpSum), asm.Mov.Imm(asm.R7, mangledUDP),
	)
	checked(asm.Mov.Reg(asm.R1, asm.R6).WithSymbol("sums"), asm.Mov.Reg(asm.R2, asm.R9),
		asm.LoadMem(asm.R3, asm.RFP, atKey+keyAddr, asm.Word), asm.LoadMem(asm.R4, asm.R8, valNATAddr, asm.Word),
		asm.Mov.Reg(asm.R5, asm.R7), asm.Or.Imm(asm.R5, pseudoHdr|4), asm.FnL4CsumReplace.Call())
	checked(asm.Mov.Reg(asm.R1, asm.R6), asm.Mov.Reg(asm.R2, asm.R9),
		asm.LoadMem(asm.R3, asm.RFP, atKey+keyPort, asm.Half), asm.LoadMem(asm.R4, asm.R8, valNATPort, asm.Half),
		asm.Mov.Reg(asm.R5, asm.R7), asm.Or.Imm(asm.R5, 2), asm.FnL4CsumReplace.Call())
	checked(asm.Mov.Reg(asm.R1, asm.R6), asm.Mov.Imm(asm.R2, ipSum),
		asm.LoadMem(asm.R3, asm.RFP, atKey+keyAddr, asm.Word), asm.LoadMem(asm.R4, asm.R8, valNATAddr, asm.Word),
		asm.Mov.Imm(asm.R5, 4), asm.FnL3CsumReplace.Call())
	checked(asm.Mov.Reg(asm.R1, asm.R6), asm.Mov.Imm(asm.R2, addr), asm.Mov.Reg(asm.R3, asm.R8), asm.Add.Imm(asm.R3, valNATAddr),
		asm.Mov.Imm(asm.R4, 4), asm.Mov.Imm(asm.R5, 0), asm.FnSkbStoreBytes.Call())
	checked(asm.Mov.Reg(asm.R1, asm.R6), asm.Mov.Imm(asm.R2, port), asm.Mov.Reg(asm.R3, asm.R8), asm.Add.Imm(asm.R3, valNATPort),
		asm.Mov.Imm(asm.R4, 2), asm.Mov.Imm(asm.R5, 0), asm.FnSkbStoreBytes.Call())
	return p
}
