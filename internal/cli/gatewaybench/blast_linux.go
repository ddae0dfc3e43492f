package gatewaybench

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/internal/netns"
)

// mmsghdr is struct mmsghdr of sendmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
	_   [unsafe.Sizeof(uintptr(0)) - 4]byte
}

const (
	headers = 14 + 20 + 8
	batch   = 64
	// Sizes of frames without checksum: 60 bytes are 64 on the wire.
	smallFrame, largeFrame = 60, 14 + 1400
)

// blaster sends UDP from devices as fast as it can, a packet at a time through
// the whole gateway: on a veth cable the sender's processor does it all.
type blaster struct {
	fd    int
	heads []byte // one after the other, of each device and destination
	at    int    // the next
	ports uint16 // the source port of the next new flow
	pad   []byte
	slots [batch][headers]byte
	iov   [batch][2]unix.Iovec
	msgs  [batch]mmsghdr
}

// pairs lists up to n devices with a destination each, spread over all of both;
// all of them for n = 0.
func pairs(devices, n int) (out [][2]int) {
	total := devices * Destinations
	if n == 0 || n > total {
		n = total
	}
	for k := range n {
		at := k * total / n
		out = append(out, [2]int{at % devices, (at/devices + k) % Destinations})
	}
	return out
}

// newBlaster makes one for a rig, with this many flows.
func newBlaster(r *Rig, flows int) (*blaster, error) {
	b := &blaster{fd: -1, pad: make([]byte, largeFrame), ports: 1024}
	for _, p := range pairs(r.Devices, flows) {
		b.heads = append(b.heads, head(DeviceMAC(p[0]), netip.AddrPortFrom(DeviceIP(p[0]), 5000), netip.AddrPortFrom(Destination(p[0], p[1]), UDPPort), 0)...)
	}
	return b, b.open(r.Dev, "eth0")
}

// newReplier makes one that answers from the world, once for each flow. Its
// packets end at the gateway, since their TTL does, but tracking has seen them:
// the flows are those of talks that go on, as most are.
func newReplier(r *Rig, flows int) (*blaster, error) {
	all, err := r.Gateway.Interfaces()
	if err != nil {
		return nil, err
	}
	b := &blaster{fd: -1, pad: make([]byte, largeFrame)}
	for _, i := range all {
		if i.Name != Uplink {
			continue
		}
		for _, p := range pairs(r.Devices, flows) {
			h := head(nobodyMAC, netip.AddrPortFrom(Destination(p[0], p[1]), UDPPort), netip.AddrPortFrom(DeviceIP(p[0]), 5000), 0)
			copy(h, i.MAC)
			h[22] = 1
			b.heads = append(b.heads, h...)
		}
	}
	if err := b.open(r.Outside, "inet0"); err != nil {
		return nil, err
	}
	b.resize(smallFrame)
	return b, nil
}

// open opens the socket and ties the messages together.
func (b *blaster) open(ns *netns.NS, iface string) (err error) {
	if b.fd, err = packetSocket(ns, iface); err != nil {
		return err
	}
	for i := range b.msgs {
		m := &b.msgs[i]
		b.iov[i][1].Base = &b.pad[0]
		m.hdr.Iov = &b.iov[i][0]
		m.hdr.Iovlen = 2
	}
	return nil
}

func packetSocket(ns *netns.NS, iface string) (fd int, err error) {
	fd = -1
	err = ns.Do(func() error {
		i, err := net.InterfaceByName(iface)
		if err != nil {
			return err
		}
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1); err != nil {
			return err
		}
		return unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: i.Index})
	})
	if err != nil && fd >= 0 {
		err = errors.Join(err, unix.Close(fd))
	}
	if err != nil {
		return -1, fmt.Errorf("opening a sender: %w", err)
	}
	return fd, nil
}

// head writes the headers of a UDP packet with this many bytes of data, without
// a UDP checksum.
func head(from net.HardwareAddr, src, dst netip.AddrPort, data int) []byte {
	h := append(append([]byte(nil), bridgeMAC...), from...)
	h = append(h, 8, 0, 0x45, 0)
	h = binary.BigEndian.AppendUint16(h, uint16(28+data))
	h = append(h, 0, 0, 0x40, 0, 64, unix.IPPROTO_UDP, 0, 0)
	h = append(append(h, src.Addr().AsSlice()...), dst.Addr().AsSlice()...)
	binary.BigEndian.PutUint16(h[24:], ipSum(h[14:34]))
	h = binary.BigEndian.AppendUint16(h, src.Port())
	h = binary.BigEndian.AppendUint16(h, dst.Port())
	h = binary.BigEndian.AppendUint16(h, uint16(8+data))
	return append(h, 0, 0)
}

func ipSum(b []byte) uint16 {
	var n uint32
	for i := 0; i < len(b); i += 2 {
		n += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for n > 0xffff {
		n = n&0xffff + n>>16
	}
	return ^uint16(n)
}

func (b *blaster) close() error { return unix.Close(b.fd) }

// resize makes the headers say how long the packets are.
func (b *blaster) resize(frame int) {
	for at := 0; at < len(b.heads); at += headers {
		h := b.heads[at : at+headers]
		binary.BigEndian.PutUint16(h[16:], uint16(frame-14))
		h[24], h[25] = 0, 0
		binary.BigEndian.PutUint16(h[24:], ipSum(h[14:34]))
		binary.BigEndian.PutUint16(h[38:], uint16(frame-34))
	}
	for i := range b.iov {
		b.iov[i][1].SetLen(frame - headers)
	}
}

// fill prepares the next batch.
func (b *blaster) fill(fresh bool) {
	for i := range batch {
		h := b.heads[b.at : b.at+headers]
		if b.at += headers; b.at == len(b.heads) {
			b.at = 0
			if fresh {
				if b.ports++; b.ports == 0 {
					b.ports = 1024
				}
			}
		}
		v := &b.iov[i][0]
		v.SetLen(headers)
		if !fresh {
			v.Base = &h[0]
			continue
		}
		s := &b.slots[i]
		copy(s[:], h)
		binary.BigEndian.PutUint16(s[34:], b.ports)
		v.Base = &s[0]
	}
}

// send blasts for a while and answers how many packets it sent in what time.
// fresh gives each round of the pairs a new source port: new flows.
func (b *blaster) send(d time.Duration, fresh bool) (sent uint64, took time.Duration, err error) {
	err = onPacketCPU(func() error {
		began := spent()
		for took = 0; took < d; took = spent() - began {
			b.fill(fresh)
			n, err := b.push(batch)
			if sent += n; err != nil {
				return err
			}
		}
		return nil
	})
	return sent, took, err
}

// one sends one batch from whatever processor.
func (b *blaster) one(fresh bool) (uint64, error) {
	b.fill(fresh)
	return b.push(batch)
}

// some sends the beginning of a batch of known flows.
func (b *blaster) some(n int) (uint64, error) {
	b.fill(false)
	return b.push(n)
}

// push sends the first n messages that were filled.
func (b *blaster) push(n int) (sent uint64, err error) {
	for off := 0; off < n; {
		k, _, e := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(b.fd), uintptr(unsafe.Pointer(&b.msgs[off])), uintptr(n-off), 0, 0, 0)
		switch e {
		case 0:
			off += int(k)
			sent += uint64(k)
		case unix.EINTR, unix.ENOBUFS:
		default:
			return sent, fmt.Errorf("sending: %w", e)
		}
	}
	return sent, nil
}

// all sends every pair once, or a little more.
func (b *blaster) all() error {
	return onPacketCPU(func() error {
		b.at = 0
		for n := 0; n < len(b.heads)/headers; n += batch {
			if _, err := b.one(false); err != nil {
				return err
			}
		}
		return nil
	})
}
