package tap

import (
	"context"
	"errors"
	"reflect"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/packet"
)

// Offsets in what the kernel writes (struct tpacket_block_desc and struct
// tpacket3_hdr of linux/if_packet.h).
const (
	offStatus = 8
	offCount  = 12
	offFirst  = 16
)

// Tap is an open tap.
type Tap struct {
	name  string
	index uint32
	link  packet.LinkType
	ring  []byte
	block int // the next to read

	mu    sync.Mutex // guards what follows; Close waits for nobody that holds it
	fd    int        // -1 = closed
	wake  int        // an eventfd that ends a wait
	stats Stats
}

// Open opens a tap on an interface.
func Open(c Config) (*Tap, error) {
	if c.RingBytes == 0 {
		c.RingBytes = DefaultRing
	}
	if c.RingBytes < minRing || c.RingBytes > 1<<30 {
		return nil, ringwall.Errorf(ringwall.Invalid, "tap: a ring of %d bytes is not between %d and %d", c.RingBytes, minRing, 1<<30)
	}
	t := &Tap{name: c.Interface, fd: -1, wake: -1}
	open := func() error { return t.open(c) }
	var err error
	// A nil *netns.NS in the interface means our own namespace too.
	if v := reflect.ValueOf(c.NS); c.NS == nil || v.Kind() == reflect.Pointer && v.IsNil() {
		err = open()
	} else {
		err = c.NS.Do(open)
	}
	if err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return t, nil
}

func (t *Tap) open(c Config) error {
	fail := func(act string, err error) error {
		e := ringwall.Errorf(ringwall.Unavailable, "%s for a tap on %q: %w", act, c.Interface, err)
		if errors.Is(err, unix.EPERM) {
			e.Code, e.Hint = ringwall.Forbidden, "a tap needs root or CAP_NET_RAW"
		}
		return e
	}
	var err error
	// Protocol 0: nothing comes in until bind names the interface.
	if t.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err != nil {
		t.fd = -1
		return fail("opening a packet socket", err)
	}
	if t.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		t.wake = -1
		return fail("making an eventfd", err)
	}
	ifr, err := unix.NewIfreq(c.Interface)
	if err != nil {
		return ringwall.Errorf(ringwall.Invalid, "tap: %q cannot name an interface", c.Interface)
	}
	if err := unix.IoctlIfreq(t.fd, unix.SIOCGIFINDEX, ifr); err != nil {
		if errors.Is(err, unix.ENODEV) {
			return ringwall.Errorf(ringwall.NotFound, "tap: there is no interface %q", c.Interface)
		}
		return fail("finding the interface", err)
	}
	t.index = ifr.Uint32()
	if t.link, err = linkOf(t.fd, c.Interface); err != nil {
		return fail("asking for the kind of the interface", err)
	}
	if err := unix.SetsockoptInt(t.fd, unix.SOL_PACKET, unix.PACKET_VERSION, unix.TPACKET_V3); err != nil {
		return fail("choosing TPACKET_V3", err)
	}
	blocks := (c.RingBytes + blockBytes - 1) / blockBytes
	req := unix.TpacketReq3{
		Block_size: blockBytes, Block_nr: uint32(blocks), Frame_size: 2048, Frame_nr: uint32(blocks * blockBytes / 2048),
		Retire_blk_tov: uint32(BlockTimeout / time.Millisecond),
	}
	if err := unix.SetsockoptTpacketReq3(t.fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &req); err != nil {
		return fail("making the ring", err)
	}
	if t.ring, err = unix.Mmap(t.fd, 0, blocks*blockBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return fail("mapping the ring", err)
	}
	if !c.Whole {
		f := snap(t.link)
		if err := unix.SetsockoptSockFprog(t.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(f)), Filter: &f[0]}); err != nil {
			return fail("cutting datagrams short", err)
		}
	}
	if c.IgnoreOutgoing {
		if err := unix.SetsockoptInt(t.fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1); err != nil {
			return fail("leaving out outgoing packets", err)
		}
	}
	if c.Promiscuous {
		m := unix.PacketMreq{Ifindex: int32(t.index), Type: unix.PACKET_MR_PROMISC}
		if err := unix.SetsockoptPacketMreq(t.fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &m); err != nil {
			return fail("going promiscuous", err)
		}
	}
	if err := unix.Bind(t.fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ALL), Ifindex: int(t.index)}); err != nil {
		return fail("binding", err)
	}
	return nil
}

// htons puts a number into the byte order of the network, whatever ours is.
func htons(v uint16) uint16 {
	b := [2]byte{byte(v >> 8), byte(v)}
	return *(*uint16)(unsafe.Pointer(&b))
}

// linkOf says what the packets of an interface begin with.
func linkOf(fd int, name string) (packet.LinkType, error) {
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return 0, err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFHWADDR, ifr); err != nil {
		return 0, err
	}
	switch family := ifr.Uint16(); family { // sa_family comes first in the hardware address
	case unix.ARPHRD_ETHER, unix.ARPHRD_LOOPBACK:
		return packet.LinkEthernet, nil
	case unix.ARPHRD_NONE, unix.ARPHRD_PPP, unix.ARPHRD_RAWIP:
		return packet.LinkRaw, nil
	default:
		return 0, ringwall.Errorf(ringwall.Invalid, "tap: interfaces of hardware type %d cannot be read", family)
	}
}

// Link says what packets begin with.
func (t *Tap) Link() packet.LinkType { return t.link }

// Run calls f for each packet until ctx ends, which is no error, or the
// interface is gone. data aliases the ring and is good until f returns; time is
// the kernel's, at which the packet came in; origLen is its length on the wire.
func (t *Tap) Run(ctx context.Context, f func(data []byte, ts time.Time, origLen int)) error {
	t.mu.Lock()
	fd, wake := t.fd, t.wake
	t.mu.Unlock()
	if fd < 0 {
		return ringwall.Errorf(ringwall.Unavailable, "tap on %q is closed", t.name)
	}
	stop := context.AfterFunc(ctx, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.wake >= 0 {
			_, _ = unix.Write(t.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0}) // an eventfd that is full wakes as well
		}
	})
	defer stop()
	down := false
	for {
		// What is ready is read before the context is asked, so that an end does
		// not lose it; a wire that never falls silent is left between blocks.
		for range len(t.ring) / blockBytes {
			if !t.readBlock(f) {
				break
			}
		}
		if ctx.Err() != nil {
			return nil
		}
		patience := -1
		if down {
			patience = downPoll
		}
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN | unix.POLLERR}, {Fd: int32(wake), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, patience); err != nil && !errors.Is(err, unix.EINTR) {
			return ringwall.Errorf(ringwall.Unavailable, "waiting for packets on %q: %w", t.name, err)
		}
		if down || fds[0].Revents&(unix.POLLERR|unix.POLLHUP|unix.POLLNVAL) != 0 {
			var err error
			if down, err = t.trouble(fd); err != nil {
				return err
			}
		}
	}
}

// downPoll is how often, in milliseconds, an interface that is down is looked
// at: the kernel tells that it went down, but not that it was taken away then.
const downPoll = 200

// trouble says whether the interface is down, and may come up again, or gone,
// which is an error.
func (t *Tap) trouble(fd int) (down bool, err error) {
	n, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR) // reading it clears it
	if err != nil {
		return false, ringwall.Errorf(ringwall.Unavailable, "reading the error of the tap on %q: %w", t.name, err)
	}
	if e := unix.Errno(n); n != 0 && e != unix.ENETDOWN {
		return false, ringwall.Errorf(ringwall.Unavailable, "reading packets of %q: %w", t.name, e)
	}
	ifr, err := unix.NewIfreq(t.name)
	if err != nil {
		return false, ringwall.Errorf(ringwall.Internal, "naming interface %q: %w", t.name, err)
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, ifr); err != nil {
		return false, ringwall.Errorf(ringwall.Unavailable, "interface %q of the tap is gone: %w", t.name, err)
	}
	if ifr.Uint32() != t.index {
		return false, ringwall.Errorf(ringwall.Unavailable, "interface %q of the tap is gone, another has its name", t.name)
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, ifr); err != nil {
		return false, ringwall.Errorf(ringwall.Unavailable, "asking whether interface %q is up: %w", t.name, err)
	}
	return ifr.Uint16()&unix.IFF_UP == 0, nil
}

// readBlock reads the next block, if the kernel has handed it over.
func (t *Tap) readBlock(f func(data []byte, ts time.Time, origLen int)) bool {
	b := t.ring[t.block*blockBytes : (t.block+1)*blockBytes]
	status := (*uint32)(unsafe.Pointer(&b[offStatus]))
	if atomic.LoadUint32(status)&unix.TP_STATUS_USER == 0 {
		return false
	}
	count := *(*uint32)(unsafe.Pointer(&b[offCount]))
	at := *(*uint32)(unsafe.Pointer(&b[offFirst]))
	var seen uint64
	for range count {
		if int(at)+int(unsafe.Sizeof(unix.Tpacket3Hdr{})) > len(b) {
			break // the kernel does not write this; our own memory is not to pay if it does
		}
		h := (*unix.Tpacket3Hdr)(unsafe.Pointer(&b[at]))
		from := int(at) + int(h.Mac)
		if to := from + int(h.Snaplen); to <= len(b) {
			f(b[from:to:to], time.Unix(int64(h.Sec), int64(h.Nsec)), int(h.Len))
			seen++
		}
		if h.Next_offset == 0 {
			break
		}
		at += h.Next_offset
	}
	atomic.StoreUint32(status, unix.TP_STATUS_KERNEL)
	t.block = (t.block + 1) % (len(t.ring) / blockBytes)
	t.mu.Lock()
	t.stats.Packets += seen
	t.mu.Unlock()
	return true
}

// Stats returns what the tap has seen and lost so far.
func (t *Tap) Stats() Stats {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.fd >= 0 {
		// The kernel counts from zero again after each reading.
		if s, err := unix.GetsockoptTpacketStatsV3(t.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil {
			t.stats.Drops += uint64(s.Drops)
			t.stats.Freezes += uint64(s.Freeze_q_cnt)
		}
	}
	return t.stats
}

// Close gives the ring back. It must not be called while Run runs: end its
// context and wait for it first.
func (t *Tap) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	var errs []error
	if t.ring != nil {
		errs = append(errs, unix.Munmap(t.ring))
		t.ring = nil
	}
	for _, fd := range []*int{&t.fd, &t.wake} {
		if *fd >= 0 {
			errs = append(errs, unix.Close(*fd))
			*fd = -1
		}
	}
	return errors.Join(errs...)
}
