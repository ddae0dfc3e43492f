// Package tap sees the packets of a network interface as they come in from the
// wire: before the packet filter of the kernel, so that what a policy refuses
// is seen too.
//
// A Tap is a ring of memory that it shares with the kernel (AF_PACKET with
// TPACKET_V3): no system call and no copy per packet. The kernel hands over a
// block of packets when it is full or, at the latest, BlockTimeout after its
// first one, so that an alert waits a few milliseconds at most. When the reader
// is slower than the wire for longer than the ring can hold, packets are
// dropped and counted; nothing grows. The ring is Config.RingBytes large and
// counts as resident memory of the process once it was filled.
//
// Packets that this host sends out through the interface are seen as well,
// behind the filter, unless IgnoreOutgoing is set. A tap on a bridge sees what
// goes up to this host; to see what one port of the bridge says to another, tap
// the ports. VLAN tags that the network card has taken off are not put back.
//
// Every packet is seen, with its time and its length on the wire. Of UDP over
// IPv4 between two ports above 1023, as video and calls are sent, only the first
// 128 bytes are copied, unless Config.Whole is set: no detector reads what such
// datagrams carry (DNS, DHCP and all TCP are whole), and a ring that held 1,400
// bytes of each would be full ten times as soon.
//
// The socket belongs to the namespace it was opened in for its whole life.
// Run is called once, by the goroutine that wants the packets; Stats may be
// called at any time by any goroutine. Reference: packet(7), and
// Documentation/networking/packet_mmap.rst of Linux. It needs CAP_NET_RAW.
package tap

import "time"

const (
	// DefaultRing is the size of the ring when Config leaves it open: 4 MiB hold
	// a quarter of a second of a gigabit link.
	DefaultRing = 4 << 20
	// BlockTimeout is how long a packet waits at most for others to share its
	// block.
	BlockTimeout = 5 * time.Millisecond

	blockBytes = 128 << 10 // the largest packet that is seen whole, but for its header of 128 bytes
	minRing    = 2 * blockBytes
)

// Namespace runs code inside a network namespace; *netns.NS is one.
type Namespace interface {
	Do(f func() error) error
}

// Config of a Tap.
type Config struct {
	Interface      string // a name, such as "lan0"
	RingBytes      int    // rounded up to blocks of 128 KiB; 0 = DefaultRing
	NS             Namespace
	IgnoreOutgoing bool // see only what comes in
	Promiscuous    bool // see also what is not for this host
	Whole          bool // see also what datagrams carry that nobody reads
}

// Stats of a Tap since it was opened.
type Stats struct {
	Packets uint64 // seen
	Drops   uint64 // lost since the ring was full
	Freezes uint64 // times that the ring was full
}
