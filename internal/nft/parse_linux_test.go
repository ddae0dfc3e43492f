package nft

import (
	"net/netip"
	"testing"
	"time"

	"github.com/florianl/go-nflog/v2"
	"github.com/google/nftables/expr"
)

// FuzzRefusal reads packets of any octets, as the log of the kernel gives them.
func FuzzRefusal(f *testing.F) {
	f.Add([]byte{0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 10, 77, 0, 10, 198, 51, 100, 66, 0x9c, 0x40, 0, 23}, "refused:default")
	f.Add([]byte{0x4f, 0, 0, 40}, "would:deny")
	f.Add([]byte{0x60}, "refused")
	f.Add([]byte{0x60, 0, 0, 0, 0, 8, 17, 64, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0x9c, 0x40, 0, 53}, "refused:rogue")
	fw := &Firewall{}
	fw.cfg.Now = time.Now
	f.Fuzz(func(t *testing.T, b []byte, prefix string) {
		r, ok := fw.refusal(nflog.Attribute{Prefix: &prefix, Payload: &b})
		if ok && (!r.Src.IsValid() || r.Src.Addr().BitLen() != r.Dst.Addr().BitLen()) {
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

// FuzzElements reads what the kernel tells of the elements of sets, and what it
// says of chains.
func FuzzElements(f *testing.F) {
	full, err := appendElement(nil, &element{key: []byte{1, 0, 0, 0, 10, 77, 0, 11}, end: []byte{1, 0, 0, 0, 10, 77, 0, 12}, val: num(7), comment: "a.example", life: time.Minute, expr: &expr.Quota{Bytes: 5, Over: true}})
	if err != nil {
		f.Fatal(err)
	}
	d := setDef{family: ipv4, name: setAllow}
	f.Add(appendList(nil, msgNewElem, 0, 1, &d, full)[20:])
	f.Add([]byte{8, 0, 3, 0x80, 4, 0, 1, 0x80})
	f.Add([]byte{12, 0, 4, 0x80, 8, 0, 1, 0, 0, 0, 0, 2})
	f.Fuzz(func(t *testing.T, b []byte) {
		n := 0
		_ = eachElement(b, func(e *found) {
			n++
			_, _, _ = e.comment(), e.stop(), e.boxEnd(&d)
		})
		if n > len(b) {
			t.Fatalf("%d elements in %d octets", n, len(b))
		}
		_, _, _ = parseChain(ipv4, b)
	})
}

// What is written of an element is what is read of it.
func TestElement_isReadAsWritten(t *testing.T) {
	in := element{key: cat(num(7), be4(1), []byte{6}, be16(443)), end: cat(num(7), be4(9), []byte{6}, be16(444)), val: num(3), comment: "b.example", expr: &expr.Quota{Bytes: 99, Consumed: 5, Over: true}}
	list, err := appendElement(nil, &in)
	if err != nil {
		t.Fatal(err)
	}
	d := setDef{family: ipv4, name: setAllowI}
	n := 0
	err = eachElement(appendList(nil, msgNewElem, 0, 1, &d, list)[20:], func(e *found) {
		n++
		if string(e.key) != string(in.key) || string(e.end) != string(in.end) || string(e.val) != string(in.val) || e.comment() != in.comment ||
			e.quota == nil || *e.quota != (quotaState{99, 5}) || e.bound != boundOf(in.expr) {
			t.Errorf("read %+v", e)
		}
	})
	if err != nil || n != 1 {
		t.Errorf("read %d elements, %v", n, err)
	}
}

func TestPeriods(t *testing.T) {
	at := time.Date(2026, 12, 31, 23, 59, 0, 0, time.FixedZone("", 3600)) // 22:59 UTC
	for _, c := range []struct{ per, name, end string }{
		{"hour", "hour 2026-12-31T22", "2026-12-31T23:00:00Z"},
		{"day", "day 2026-12-31", "2027-01-01T00:00:00Z"},
		{"month", "month 2026-12", "2027-01-01T00:00:00Z"},
		{"", "always", "0001-01-01T00:00:00Z"},
	} {
		if got := periodOf(c.per, at); got != c.name {
			t.Errorf("periodOf(%q) = %q, want %q", c.per, got, c.name)
		}
		if got := periodEnd(c.per, at).Format(time.RFC3339); got != c.end {
			t.Errorf("periodEnd(%q) = %s, want %s", c.per, got, c.end)
		}
	}
}

// Two plans of which the kernel could not hold both at once have tokens and
// groups of their own; those are found by the digest alone.
func TestDigest(t *testing.T) {
	var l ledger
	d := setDef{family: ipv4, name: setAllow}
	a, b := element{key: []byte("aaaa")}, element{key: []byte("bbbb"), val: []byte("x")}
	l.add(&d, &a)
	one := l
	l.add(&d, &b)
	if l.same(&one) {
		t.Error("an element more changes nothing")
	}
	l.remove(&d, &b)
	if !l.same(&one) {
		t.Error("what was taken away again is still there")
	}
	var other ledger
	other.add(&d, &element{key: []byte("aaaa"), val: []byte("y")})
	if other.same(&one) {
		t.Error("another value changes nothing")
	}
}
