package nft

import (
	"net/netip"
	"testing"
	"time"

	"github.com/florianl/go-nflog/v2"
)

// FuzzRefusal reads packets of any octets, as the log of the kernel gives them.
func FuzzRefusal(f *testing.F) {
	f.Add([]byte{0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 10, 77, 0, 10, 198, 51, 100, 66, 0x9c, 0x40, 0, 23}, "refused:default")
	f.Add([]byte{0x4f, 0, 0, 40}, "would:deny")
	f.Add([]byte{0x60}, "refused")
	fw := &Firewall{}
	fw.cfg.Now = time.Now
	f.Fuzz(func(t *testing.T, b []byte, prefix string) {
		r, ok := fw.refusal(nflog.Attribute{Prefix: &prefix, Payload: &b})
		if ok && (!r.Src.Addr().Is4() || !r.Dst.Addr().Is4()) {
			t.Fatalf("refusal %+v of %x", r, b)
		}
	})
}

func TestRefusal_parse(t *testing.T) {
	b := []byte{0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 10, 77, 0, 10, 198, 51, 100, 66, 0x9c, 0x40, 0, 23}
	var r Refusal
	if !r.parse(b) || r.Src != netip.MustParseAddrPort("10.77.0.10:40000") || r.Dst != netip.MustParseAddrPort("198.51.100.66:23") || r.Proto != 6 || r.Length != 40 {
		t.Errorf("parsed %+v", r)
	}
	for n := range 20 {
		if r.parse(b[:n]) {
			t.Errorf("%d octets are taken for a packet", n)
		}
	}
}

// FuzzRule reads what the kernel tells of rules.
func FuzzRule(f *testing.F) {
	f.Add([]byte{8, 0, 1, 0, 'r', 'w', 0, 0, 8, 0, 2, 0, 'f', 'w', 0, 0})
	f.Add([]byte{4, 0, 4, 0x80, 255, 255})
	f.Fuzz(func(t *testing.T, b []byte) { _, _, _ = parseRule(b) })
}
