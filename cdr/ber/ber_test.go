package ber

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

// The examples are those of X.690 sections 8.1.2 to 8.1.3 and 8.9.
func TestParse(t *testing.T) {
	for in, want := range map[string]TLV{
		"02 01 05":                            {Class: Universal, Tag: 2, From: 2, To: 3, Next: 3},
		"30 0a 16 05 53 6d 69 74 68 01 01 ff": {Class: Universal, Constructed: true, Tag: Sequence, From: 2, To: 12, Next: 12},
		"bf 81 48 02 80 00":                   {Class: Context, Constructed: true, Tag: 200, From: 4, To: 6, Next: 6},
		"9f 1f 81 01 ff":                      {Class: Context, Tag: 31, From: 4, To: 5, Next: 5},
		"84 82 00 01 07":                      {Class: Context, Tag: 4, From: 4, To: 5, Next: 5},
		"84 84 00 00 00 01 07":                {Class: Context, Tag: 4, From: 6, To: 7, Next: 7},
		"7f ff 7f 00":                         {Class: Application, Constructed: true, Tag: 1<<14 - 1, From: 4, To: 4, Next: 4},
		"a0 80 00 00":                         {Class: Context, Constructed: true, Indefinite: true, From: 2, To: 2, Next: 4},
		"a0 80 a1 80 81 01 00 00 00 00 00":    {Class: Context, Constructed: true, Indefinite: true, From: 2, To: 9, Next: 11},
		"a0 80 a1 02 00 00 00 00":             {Class: Context, Constructed: true, Indefinite: true, From: 2, To: 6, Next: 8}, // zeros inside a definite one end nothing
	} {
		b := unhex(in)
		got, err := Parse(b, 0, len(b))
		if err != nil || got != want {
			t.Errorf("%s: %v\n%s", in, err, cmp.Diff(want, got))
		}
		for i := range b[:want.Next] { // each byte that lacks is noticed, as a lack
			_, err := Parse(b, 0, i)
			if se, ok := errors.AsType[*SyntaxError](err); !ok || !se.Cut {
				t.Errorf("%s cut to %d bytes: %v, want an error that says it is cut", in, i, err)
			}
		}
	}
}

func TestParse_refuses(t *testing.T) {
	for in, want := range map[string]string{
		"00 00":                      reasonEnd,
		"84 85 00 00 00 00 01 07":    reasonLength,
		"84 ff 00":                   reasonLength,
		"84 80 00 00":                reasonPrim,
		"9f ff ff ff ff ff 7f 00":    reasonTag,
		"a0 80 84 84 7f ff ff ff 00": reasonCut,
		strings.Repeat("a0 80 ", MaxDepth+1) + strings.Repeat("00 00", MaxDepth+1): reasonDepth,
	} {
		b := unhex(in)
		_, err := Parse(b, 0, len(b))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: %v, want %q", in, err, want)
		}
	}
	b := unhex(strings.Repeat("a0 80 ", MaxDepth) + strings.Repeat("00 00", MaxDepth))
	if _, err := Parse(b, 0, len(b)); err != nil {
		t.Errorf("%d levels: %v", MaxDepth, err)
	}
}

func TestIntegers(t *testing.T) {
	var b Builder
	for _, v := range []uint64{0, 1, 127, 128, 255, 256, 1<<31 - 1, 1 << 31, 1<<63 - 1, 1 << 63, 1<<64 - 1} {
		b.B = b.B[:0]
		b.Uint(Context, 3, v)
		e, err := Parse(b.B, 0, len(b.B))
		got, ok := Uint(b.B[e.From:e.To])
		if err != nil || !ok || got != v {
			t.Errorf("%d came back as %d, %v, %v", v, got, ok, err)
		}
		if c := b.B[e.From:]; len(c) > 1 && c[0] == 0 && c[1] < 0x80 {
			t.Errorf("%d has %d octets, more than it needs", v, len(c))
		}
	}
	for _, in := range []string{"", "80", "ff", "01 00 00 00 00 00 00 00 00", "00 00 00 00 00 00 00 00 00 00"} {
		if v, ok := Uint(unhex(in)); ok {
			t.Errorf("Uint(%q) = %d", in, v)
		}
	}
	for in, want := range map[string]int64{"80": -128, "ff": -1, "00 80": 128, "7f": 127, "ff 7f": -129, "80 00 00 00 00 00 00 00": -1 << 63} {
		if v, ok := Int(unhex(in)); !ok || v != want {
			t.Errorf("Int(%q) = %d, %v, want %d", in, v, ok, want)
		}
	}
	if _, ok := Int(nil); ok {
		t.Error("Int of nothing is something")
	}
}

func TestBuilder(t *testing.T) {
	write := func(indefinite bool) []byte {
		b := Builder{Indefinite: indefinite}
		b.Begin(Context, 200)
		b.Uint(Context, 0, 200)
		b.Begin(Context, 5)
		b.Bytes(Context, 1, make([]byte, 200))
		b.End()
		b.Text(Context, 31, "x")
		b.End()
		return b.B
	}
	if got, want := write(false), append(unhex("bf8148 81d6 800200c8 a581cb 8181c8"), append(make([]byte, 200), unhex("9f1f0178")...)...); !bytes.Equal(got, want) {
		t.Errorf("%x\nwant\n%x", got, want)
	}
	if got, want := write(true), append(unhex("bf8148 80 800200c8 a580 8181c8"), append(make([]byte, 200), unhex("0000 9f1f0178 0000")...)...); !bytes.Equal(got, want) {
		t.Errorf("%x\nwant\n%x", got, want)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(unhex("bf8148 80 800200c8 a580 8101c8 0000 9f1f0178 0000"))
	f.Add(unhex("a0 80 a1 02 00 00 00 00"))
	f.Add(unhex("84 84 ff ff ff ff"))
	f.Fuzz(func(t *testing.T, in []byte) {
		e, err := Parse(in, 0, len(in))
		if err != nil {
			if _, ok := errors.AsType[*SyntaxError](err); !ok {
				t.Fatal(err)
			}
			return
		}
		if e.From > e.To || e.To > e.Next || e.Next > len(in) || e.From < 2 {
			t.Fatalf("%+v of %d bytes", e, len(in))
		}
		if _, err := Parse(in, 0, e.Next); err != nil {
			t.Fatalf("within its own bounds: %v", err)
		}
		if _, err := Parse(in, 0, e.Next-1); err == nil {
			t.Fatal("the element is there without its last byte")
		}
	})
}
