package detect_test

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/detect"
	"github.com/ringwall/ringwall/internal/packet"
)

// frame builds an Ethernet frame with an IPv4 header.
func frame(src, dst [4]byte, proto byte, transport []byte, payload int) []byte {
	b := make([]byte, 34+len(transport)+payload)
	copy(b[0:], []byte{2, 0, 0, 0, 0, 1})
	copy(b[6:], []byte{2, 0, src[0], src[1], src[2], src[3]})
	binary.BigEndian.PutUint16(b[12:], 0x0800)
	b[14], b[22], b[23] = 0x45, 64, proto
	binary.BigEndian.PutUint16(b[16:], uint16(len(b)-14))
	copy(b[26:], src[:])
	copy(b[30:], dst[:])
	copy(b[34:], transport)
	return b
}

func tcpHead(sport, dport uint16, seq uint32, flags packet.Flags) []byte {
	h := make([]byte, 20)
	binary.BigEndian.PutUint16(h, sport)
	binary.BigEndian.PutUint16(h[2:], dport)
	binary.BigEndian.PutUint32(h[4:], seq)
	h[12], h[13] = 0x50, byte(flags)
	return h
}

func udpHead(sport, dport uint16, payload int) []byte {
	h := make([]byte, 8)
	binary.BigEndian.PutUint16(h, sport)
	binary.BigEndian.PutUint16(h[2:], dport)
	binary.BigEndian.PutUint16(h[4:], uint16(8+payload))
	return h
}

// home is an engine that knows thirty devices, each with learned peers.
func homeEngine(alert func(ringwall.Alert)) *detect.Engine {
	e := detect.New(detect.Config{Seed: 7, Local: []netip.Prefix{netip.MustParsePrefix("10.77.0.0/24")}, Alert: alert})
	var list []detect.Device
	for i := range 30 {
		ip := [4]byte{10, 77, 0, byte(10 + i)}
		list = append(list, detect.Device{
			ID: ringwall.DeviceID(ringwall.DeriveID("dev", string(rune('a'+i)))), MAC: packet.MAC{2, 0, ip[0], ip[1], ip[2], ip[3]}.String(), IP: netip.AddrFrom4(ip),
			Learned: []api.Peer{{Direction: api.FromDevice, Addr: netip.AddrFrom4([4]byte{198, 51, 100, 20}), Proto: "tcp", Port: 443}},
		})
	}
	e.SetDevices(list)
	return e
}

// mixed makes traffic of a home: video and its acknowledgements, small
// reports, questions to DNS, new connections with answers, ARP.
func mixed() (frames [][]byte) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 1 << 14 {
		dev := [4]byte{10, 77, 0, byte(10 + r.IntN(30))}
		peer := [4]byte{198, 51, 100, byte(20 + int(dev[3])%8*4 + r.IntN(4))}
		port := uint16(40000 + r.IntN(16))
		switch x := r.IntN(100); {
		case x < 45:
			frames = append(frames, frame(dev, peer, 6, tcpHead(port, 443, r.Uint32(), packet.ACK|packet.PSH), 1200))
		case x < 65:
			frames = append(frames, frame(peer, dev, 6, tcpHead(443, port, r.Uint32(), packet.ACK), 0))
		case x < 85:
			frames = append(frames, frame(dev, peer, 17, udpHead(port, 5004, 160), 160))
		case x < 90:
			frames = append(frames, frame(dev, [4]byte{10, 77, 0, 1}, 17, udpHead(port, 53, 40), 40))
		case x < 95:
			seq := r.Uint32()
			frames = append(frames, frame(dev, peer, 6, tcpHead(port+1000, 443, seq, packet.SYN), 0),
				frame(peer, dev, 6, tcpHead(443, port+1000, seq, packet.SYN|packet.ACK), 0))
		default:
			b := make([]byte, 42)
			copy(b, []byte{255, 255, 255, 255, 255, 255, 2, 0, dev[0], dev[1], dev[2], dev[3], 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, dev[0], dev[1], dev[2], dev[3], dev[0], dev[1], dev[2], dev[3]})
			copy(b[38:], []byte{10, 77, 0, 1})
			frames = append(frames, b)
		}
	}
	return frames
}

// pump decodes and judges n frames, made by next, and reports the rate.
func pump(b *testing.B, e *detect.Engine, next func(i int) []byte) {
	var p packet.Packet
	at := time.Unix(1.7e9, 0)
	i := 0
	// The machine is shared: what counts is the processor time of this thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	begun := processorTime(b)
	b.ReportAllocs()
	for b.Loop() {
		p.Number, p.Time = uint64(i+1), at
		_ = packet.Decode(packet.LinkEthernet, next(i), &p)
		e.Packet(&p)
		at = at.Add(2 * time.Microsecond)
		i++
	}
	b.ReportMetric(float64(i)/(processorTime(b)-begun).Seconds()/1e6, "Mpps/core")
}

// processorTime is what this thread has used of the processor.
func processorTime(b *testing.B) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkEngine_mixed(b *testing.B) {
	frames := mixed()
	pump(b, homeEngine(nil), func(i int) []byte { return frames[i&(1<<14-1)] })
}

// BenchmarkEngine_scan: every packet tries another target.
func BenchmarkEngine_scan(b *testing.B) {
	f := frame([4]byte{10, 77, 0, 10}, [4]byte{}, 6, tcpHead(6000, 23, 1, packet.SYN), 0)
	pump(b, homeEngine(nil), func(i int) []byte {
		binary.BigEndian.PutUint32(f[30:], 0xcb000000|uint32(i)&0xffffff)
		binary.BigEndian.PutUint32(f[38:], 0xcb000000|uint32(i)&0xffffff)
		return f
	})
}

// BenchmarkEngine_scanUnknown: the same from an address that is no known
// device, in a capture judged on a workstation.
func BenchmarkEngine_scanUnknown(b *testing.B) {
	f := frame([4]byte{192, 168, 1, 10}, [4]byte{}, 6, tcpHead(6000, 23, 1, packet.SYN), 0)
	e := detect.New(detect.Config{Seed: 7, Limits: detect.Workstation()})
	pump(b, e, func(i int) []byte {
		binary.BigEndian.PutUint32(f[30:], 0xcb000000|uint32(i)&0xffffff)
		return f
	})
}

// BenchmarkEngine_spoofed: every packet bears another source, half of them of
// the local network.
func BenchmarkEngine_spoofed(b *testing.B) {
	f := frame([4]byte{}, [4]byte{10, 77, 0, 10}, 6, tcpHead(6000, 80, 1, packet.SYN), 0)
	e := detect.New(detect.Config{Seed: 7})
	pump(b, e, func(i int) []byte {
		v := uint32(i) * 2654435761
		if i&1 == 0 {
			v = 10<<24 | v&0xffffff
		}
		binary.BigEndian.PutUint32(f[26:], v)
		binary.BigEndian.PutUint32(f[8:], v)
		return f
	})
}
