package fastpath

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/cilium/ebpf"
)

// flowKey names one direction of a flow, as its packets come in. Addresses and
// ports are as on the wire.
type flowKey struct {
	Ifindex  uint32
	Src, Dst [4]byte
	Sport    [2]byte
	Dport    [2]byte
	Proto    uint32
}

// Offsets in flowKey.
const (
	keyIfindex = 0
	keySrc     = 4
	keyDst     = 8
	keySport   = 12
	keyDport   = 14
	keyProto   = 16
	keySize    = 20
)

// flowValue is what is cached of it. The order of the halves of the MACs keeps
// every field aligned where packets are: two bytes off.
type flowValue struct {
	Gate  uint64 // what the gate of the device must be
	Slow  uint64 // when a packet last went the slow way, monotonic ns; the program writes it
	Until uint64 // end of the lease

	Slot     uint32
	Out      uint32 // interface that packets leave by
	RouteIn  uint32 // interface that they come in by, for the routes
	RouteOut uint32 // interface that the routes must name
	Back     uint32 // interface that the other direction comes in by

	DstHi [2]byte // MAC that they must be addressed to
	SrcLo [2]byte // last part of the MAC of the device
	DstLo [4]byte
	SrcHi [4]byte // first part of the MAC of the device

	NAT     uint32  // 1: the end of the device is rewritten
	NATAddr [4]byte // what the end of the device is on the other side
	NATPort [2]byte
	_       [6]byte
}

// Offsets in flowValue.
const (
	valGate     = 0
	valSlow     = 8
	valUntil    = 16
	valSlot     = 24
	valOut      = 28
	valRouteIn  = 32
	valRouteOut = 36
	valBack     = 40
	valDstHi    = 44
	valSrcLo    = 46
	valDstLo    = 48
	valSrcHi    = 52
	valNAT      = 56
	valNATAddr  = 60
	valNATPort  = 64
	valSize     = 72
)

// event is a packet that was not cached, or whose lease was over.
type event struct {
	Key flowKey
	MAC [6]byte
	_   [6]byte
}

const (
	eventSize  = 32
	eventBytes = 1 << 16 // of the ring they come in; when it is full they are lost, and the next packet tells again
)

func (k flowKey) src() netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4(k.Src), uint16(k.Sport[0])<<8|uint16(k.Sport[1]))
}

func (k flowKey) dst() netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4(k.Dst), uint16(k.Dport[0])<<8|uint16(k.Dport[1]))
}

func be2(v uint16) [2]byte { return [2]byte{byte(v >> 8), byte(v)} }

// total is what a program has counted of one device on one processor.
type total struct{ UpPackets, UpBytes, DownPackets, DownBytes uint64 }

// kernelMaps are the kernel's side of the cache.
type kernelMaps struct {
	flows  *ebpf.Map // flowKey : flowValue
	gates  *ebpf.Map // slot of a device : gate, 0 = closed
	counts *ebpf.Map // slot of a device : total, on each processor
	events *ebpf.Map
}

func newMaps(c Config) (m *kernelMaps, err error) {
	m = &kernelMaps{}
	for _, x := range []struct {
		to   **ebpf.Map
		spec ebpf.MapSpec
	}{
		// Memory is taken as flows come: most gateways have few.
		{&m.flows, ebpf.MapSpec{Name: "rw_flows", Type: ebpf.Hash, KeySize: keySize, ValueSize: valSize, MaxEntries: uint32(c.MaxFlows), Flags: noPrealloc}},
		{&m.gates, ebpf.MapSpec{Name: "rw_gates", Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: uint32(c.MaxDevices)}},
		{&m.counts, ebpf.MapSpec{Name: "rw_counts", Type: ebpf.PerCPUArray, KeySize: 4, ValueSize: 32, MaxEntries: uint32(c.MaxDevices)}},
		{&m.events, ebpf.MapSpec{Name: "rw_events", Type: ebpf.RingBuf, MaxEntries: eventBytes}},
	} {
		if *x.to, err = ebpf.NewMap(&x.spec); err != nil {
			return nil, errors.Join(fmt.Errorf("making map %q: %w", x.spec.Name, err), m.close())
		}
	}
	return m, nil
}

const noPrealloc = 1 // BPF_F_NO_PREALLOC

func (m *kernelMaps) close() error {
	var errs []error
	for _, x := range []*ebpf.Map{m.flows, m.gates, m.counts, m.events} {
		if x != nil {
			errs = append(errs, x.Close())
		}
	}
	return errors.Join(errs...)
}
