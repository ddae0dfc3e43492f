package passivedns_test

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/ringwall/ringwall/internal/capture"
	"github.com/ringwall/ringwall/internal/packet"
	"github.com/ringwall/ringwall/internal/passivedns"
	"github.com/ringwall/ringwall/internal/sharedtest"
)

func message(t testing.TB, rcode int, question string, rrs ...string) []byte {
	t.Helper()
	m := new(dns.Msg)
	m.SetQuestion(question, dns.TypeA)
	m.Response, m.Rcode, m.Compress = true, rcode, true
	for _, s := range rrs {
		rr, err := dns.NewRR(s)
		if err != nil {
			t.Fatal(err)
		}
		m.Answer = append(m.Answer, rr)
	}
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func parse(msg []byte) (out []string, err error) {
	err = passivedns.Parse(msg, func(name []byte, a netip.Addr) { out = append(out, fmt.Sprintf("%s=%s", name, a)) })
	return out, err
}

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		name string
		msg  []byte
		want []string
	}{
		{"through an alias", message(t, 0, "Cam.Vendor.example.", "cam.vendor.example. 60 IN CNAME edge.cdn.example.", "edge.cdn.example. 60 IN A 198.51.100.20", "edge.cdn.example. 60 IN AAAA 2001:db8::20"),
			[]string{"cam.vendor.example=198.51.100.20", "cam.vendor.example=2001:db8::20"}},
		{"no such name", message(t, dns.RcodeNameError, "x.example."), nil},
		{"no address", message(t, 0, "x.example.", "x.example. 60 IN TXT \"198.51.100.20\""), nil},
	} {
		if got, err := parse(tt.msg); err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, %v; want %q", tt.name, got, err, tt.want)
		}
	}
}

func TestParse_cutShort(t *testing.T) {
	whole := message(t, 0, "cam.vendor.example.", "cam.vendor.example. 60 IN A 198.51.100.20")
	for n := range len(whole) {
		if got, err := parse(whole[:n]); err == nil || len(got) != 0 {
			t.Errorf("%d of %d bytes: %q, %v; want an error", n, len(whole), got, err)
		}
	}
}

func TestParse_pointerLoops(t *testing.T) {
	msg := message(t, 0, "a.example.", "a.example. 60 IN A 198.51.100.20")
	msg[12], msg[13] = 0xc0, 12 // the question names itself
	if got, err := parse(msg); err == nil || got != nil {
		t.Errorf("loop: %q, %v", got, err)
	}
}

func TestTable(t *testing.T) {
	at := time.Unix(1e9, 0)
	tab := passivedns.NewTable(64, time.Hour, 0)
	a := netip.MustParseAddr("198.51.100.20")
	if tab.Known(a, at.UnixNano()) {
		t.Error("an empty table knows an address")
	}
	for _, n := range []string{"one", "two", "three", "two"} {
		tab.Note([]byte(n), a, at)
	}
	if got := tab.Names(a, at); got != [2]string{"two", "three"} {
		t.Errorf("names = %q, want the last two, newest first", got)
	}
	if tab.Known(a, at.Add(61*time.Minute).UnixNano()) {
		t.Error("a name outlives its life")
	}
	// A flood replaces old entries and grows nothing.
	for i := range 100000 {
		tab.Note([]byte("flood"), netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), at.Add(time.Duration(i)))
	}
	if tab.Known(a, at.UnixNano()) {
		t.Error("the oldest entry survives a hundred thousand newer ones in 64 places")
	}
	if !tab.Known(netip.AddrFrom4([4]byte{10, 1, 0x86, 0x9f}), at.UnixNano()) {
		t.Error("the newest entry is missing")
	}
}

// TestParse_realAnswers compares every DNS answer of the shared captures with
// what miekg/dns reads.
func TestParse_realAnswers(t *testing.T) {
	n := 0
	for _, file := range sharedtest.Glob(t, "pcap/benign/*/*.pcap") {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		r, err := capture.NewReader(f)
		for err == nil {
			var fr capture.Frame
			if fr, err = r.Next(); err != nil {
				break
			}
			var p packet.Packet
			if packet.Decode(fr.Link, fr.Data, &p) != nil || !p.Has(packet.UDP) || p.SrcPort != 53 {
				continue
			}
			var m dns.Msg
			if m.Unpack(p.Payload) != nil {
				continue
			}
			var want []string
			for _, rr := range m.Answer {
				switch rr := rr.(type) {
				case *dns.A:
					a, _ := netip.AddrFromSlice(rr.A.To4())
					want = append(want, a.String())
				case *dns.AAAA:
					a, _ := netip.AddrFromSlice(rr.AAAA.To16())
					want = append(want, a.String())
				}
			}
			var got []string
			if err := passivedns.Parse(p.Payload, func(_ []byte, a netip.Addr) { got = append(got, a.String()) }); err != nil {
				t.Errorf("%s packet %d: %v", file, fr.Number, err)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s packet %d: %q, want %q", file, fr.Number, got, want)
			}
			n += len(want)
		}
		if !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		f.Close()
	}
	if n < 100 {
		t.Errorf("only %d addresses compared", n)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(message(f, 0, "cam.vendor.example.", "cam.vendor.example. 60 IN CNAME e.example.", "e.example. 60 IN A 198.51.100.20"))
	f.Add(message(f, 0, "a.example.", "a.example. 60 IN AAAA ::1"))
	f.Fuzz(func(t *testing.T, msg []byte) {
		n := 0
		_ = passivedns.Parse(msg, func(name []byte, a netip.Addr) {
			n++
			if len(name) > 253 || !a.IsValid() {
				t.Fatalf("name of %d bytes, address %v", len(name), a)
			}
			for _, c := range name {
				if c <= ' ' || c >= 0x7f {
					t.Fatalf("name %q is not printable", name)
				}
			}
		})
		if n > passivedns.MaxAnswers {
			t.Fatalf("%d addresses", n)
		}
	})
}
