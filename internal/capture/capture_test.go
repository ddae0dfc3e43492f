package capture_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/capture"
	"github.com/ringwall/ringwall/internal/packet"
	"github.com/ringwall/ringwall/internal/sharedtest"
)

// file builds capture files field by field, in either byte order.
type file struct {
	order binary.AppendByteOrder
	b     []byte
}

func (f *file) u16(v ...uint16) *file {
	for _, x := range v {
		f.b = f.order.AppendUint16(f.b, x)
	}
	return f
}

func (f *file) u32(v ...uint32) *file {
	for _, x := range v {
		f.b = f.order.AppendUint32(f.b, x)
	}
	return f
}

func (f *file) raw(s string) *file { f.b = append(f.b, s...); return f }

// block appends a pcapng block with a right length at both ends.
func (f *file) block(kind uint32, body *file) *file {
	for len(body.b)%4 != 0 {
		body.b = append(body.b, 0)
	}
	n := uint32(len(body.b) + 12)
	return f.u32(kind, n).raw(string(body.b)).u32(n)
}

func (f *file) part() *file { return &file{order: f.order} }

func (f *file) section() *file {
	return f.block(0x0a0d0d0a, f.part().u32(0x1a2b3c4d).u16(1, 0).u32(^uint32(0), ^uint32(0)))
}

func (f *file) iface(link uint16, options string) *file {
	return f.block(1, f.part().u16(link, 0).u32(0).raw(options))
}

func (f *file) enhanced(iface uint32, ticks uint64, data string) *file {
	return f.block(6, f.part().u32(iface, uint32(ticks>>32), uint32(ticks), uint32(len(data)), uint32(len(data))).raw(data))
}

func pcapHead(order binary.AppendByteOrder, magic uint32) *file {
	return (&file{order: order}).u32(magic).u16(2, 4).u32(0, 0, 65535, 1)
}

// all reads every frame, and the error that ends them.
func all(b []byte) (frames []capture.Frame, err error) {
	r, err := capture.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	for {
		f, err := r.Next()
		if err != nil {
			if again := func() error { _, e := r.Next(); return e }(); again != err {
				return frames, errors.New("a second call of Next gave another error: " + again.Error())
			}
			return frames, err
		}
		f.Data = slices.Clone(f.Data)
		frames = append(frames, f)
	}
}

func TestReader_pcap(t *testing.T) {
	for _, tt := range []struct {
		name  string
		order binary.AppendByteOrder
		magic uint32
		frac  uint32
		extra bool
	}{
		{"little µs", binary.LittleEndian, 0xa1b2c3d4, 250000, false},
		{"big µs", binary.BigEndian, 0xa1b2c3d4, 250000, false},
		{"little ns", binary.LittleEndian, 0xa1b23c4d, 250000000, false},
		{"big ns", binary.BigEndian, 0xa1b23c4d, 250000000, false},
		{"little modified", binary.LittleEndian, 0xa1b2cd34, 250000, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := pcapHead(tt.order, tt.magic).u32(1700000000, tt.frac, 3, 1500)
			if tt.extra {
				f.u32(0, 0)
			}
			frames, err := all(f.raw("abc").b)
			if err != io.EOF || len(frames) != 1 {
				t.Fatalf("%d frames, %v", len(frames), err)
			}
			got := frames[0]
			if string(got.Data) != "abc" || got.OrigLen != 1500 || got.Link != packet.LinkEthernet || got.Number != 1 ||
				!got.Time.Equal(time.Unix(1700000000, 250e6)) {
				t.Errorf("frame = %+v", got)
			}
		})
	}
}

func TestReader_pcapng(t *testing.T) {
	for name, order := range map[string]binary.AppendByteOrder{"little": binary.LittleEndian, "big": binary.BigEndian} {
		t.Run(name, func(t *testing.T) {
			f := &file{order: order}
			resol := func(v byte) string { return string(f.part().u16(9, 1).b) + string([]byte{v, 0, 0, 0}) }
			offset := string(f.part().u16(14, 8).b) + string(order.AppendUint32(order.AppendUint32(nil, 0), 7))
			if order == binary.AppendByteOrder(binary.LittleEndian) {
				offset = string(f.part().u16(14, 8).b) + string([]byte{7, 0, 0, 0, 0, 0, 0, 0})
			}
			f.section().
				iface(1, "").                           // 0: µs
				iface(101, resol(9)).                   // 1: ns
				iface(113, resol(0x80|10)).             // 2: 1/1024 s
				iface(1, offset).                       // 3: µs, seven seconds later
				iface(1, resol(0)).                     // 4: whole seconds
				iface(1, resol(15)).                    // 5: femtoseconds
				block(0xbad, f.part().raw("whatever")). // a kind of block that nobody knows
				enhanced(0, 5e6+250000, "zero").
				enhanced(1, 5e9+250e6, "one").
				enhanced(2, 5*1024+256, "two").
				enhanced(3, 5e6+250000, "three").
				enhanced(4, 5, "four").
				enhanced(5, 5e15+25e13, "five").
				block(2, f.part().u16(1, 77).u32(0, 9, 3, 3).raw("old")).
				block(3, f.part().u32(6).raw("simple"))
			// A section of the other byte order follows; its interfaces start over.
			g := &file{order: binary.BigEndian}
			if order == binary.AppendByteOrder(binary.BigEndian) {
				g.order = binary.LittleEndian
			}
			g.section().iface(276, "").enhanced(0, 1e6, "next section")
			frames, err := all(append(f.b, g.b...))
			if err != io.EOF {
				t.Fatal(err)
			}
			want := []struct {
				data  string
				at    time.Time
				link  packet.LinkType
				iface int
			}{
				{"zero", time.Unix(5, 250e6), 1, 0}, {"one", time.Unix(5, 250e6), 101, 1}, {"two", time.Unix(5, 250e6), 113, 2}, {"three", time.Unix(12, 250e6), 1, 3},
				{"four", time.Unix(5, 0), 1, 4}, {"five", time.Unix(5, 250e6), 1, 5}, {"old", time.Unix(0, 9), 101, 1}, {"simple", time.Unix(0, 0), 1, 0},
				{"next section", time.Unix(1, 0), 276, 0},
			}
			if len(frames) != len(want) {
				t.Fatalf("%d frames, want %d", len(frames), len(want))
			}
			for i, w := range want {
				g := frames[i]
				if string(g.Data) != w.data || !g.Time.Equal(w.at) || g.Link != w.link || g.Interface != w.iface || g.Number != uint64(i+1) {
					t.Errorf("frame %d = %+v %q, want %+v", i, g, g.Data, w)
				}
			}
		})
	}
}

func TestReader_badInput(t *testing.T) {
	le := func() *file { return &file{order: binary.LittleEndian} }
	ng := func() *file { return le().section().iface(1, "") } // 28 + 20 bytes
	tests := []struct {
		name   string
		data   []byte
		frames int
		want   string
	}{
		{"empty", nil, 0, "capture: at byte 0: the file is empty"},
		{"text", []byte("hello world"), 0, `capture: at byte 0: neither pcap nor pcapng: the file begins with "hell"`},
		{"three bytes", []byte{0xa1, 0xb2, 0xc3}, 0, "capture: at byte 0: the file is truncated: the magic number is cut short"},
		{"head only in part", pcapHead(binary.LittleEndian, 0xa1b2c3d4).b[:20], 0, "capture: at byte 0: the file is truncated: the file header needs 24 bytes"},
		{"version", le().u32(0xa1b2c3d4).u16(9, 4).u32(0, 0, 65535, 1).b, 0, "capture: at byte 4: pcap version 9.4 is not known, want 2.4"},
		{"link type", le().u32(0xa1b2c3d4).u16(2, 4).u32(0, 0, 65535, 147).b, 0, "capture: at byte 20: link type 147 cannot be decoded"},
		{"packet cut", pcapHead(binary.LittleEndian, 0xa1b2c3d4).u32(1, 0, 3, 3).raw("abc").u32(1, 0, 30, 30).raw("abc").b, 1, "capture: at byte 59: the file is truncated: a packet is cut short"},
		{"packet header cut", pcapHead(binary.LittleEndian, 0xa1b2c3d4).u32(1, 0, 3, 3).raw("abc").u32(1).b, 1, "capture: at byte 43: the file is truncated: the header of a packet is cut short"},
		{"giant packet", pcapHead(binary.LittleEndian, 0xa1b2c3d4).u32(1, 0, 0xffffffff, 3).b, 0, "capture: at byte 24: a packet of 4294967295 bytes is over the limit of 1048576"},
		{"no section", append(le().u32(0x0a0d0d0a, 28, 7).u16(1, 0).u32(0, 0, 28).b, 0), 0, "capture: at byte 0: a section header has no byte-order magic"},
		{"giant block", ng().u32(6, 0x7ffffffc).b, 0, "capture: at byte 48: a block of 2147483644 bytes is over the limit of 1048576"},
		{"giant unknown block", ng().u32(0xbad, 0x7ffffffc).b, 0, "capture: at byte 56: the file is truncated: a block is cut short"},
		{"tiny block", ng().u32(6, 8).b, 0, "capture: at byte 48: a block claims a length of 8 bytes"},
		{"odd block", ng().u32(6, 33).b, 0, "capture: at byte 48: a block claims a length of 33 bytes"},
		{"lengths differ", ng().u32(3, 16, 0, 20).b, 0, "capture: at byte 48: a block begins with length 16 and ends with 20"},
		{"interface out of range", ng().enhanced(1, 0, "abc").b, 0, "capture: at byte 48: a packet names interface 1 of 1"},
		{"link type of interface", le().section().iface(147, "").enhanced(0, 0, "abc").b, 0, "capture: at byte 48: link type 147 of interface 0 cannot be decoded"},
		{"packet over its block", ng().block(6, le().u32(0, 0, 0, 999, 999).raw("abc")).b, 0, "capture: at byte 48: a packet of 999 bytes does not fit its block"},
		{"option over its block", ng().block(6, le().u32(0, 0, 0, 0, 0).u16(1, 999)).b, 0, "capture: at byte 48: option 1 of 999 bytes runs past the end of its block"},
		{"resolution", le().section().iface(1, string(le().u16(9, 1).raw("\x20\x00\x00\x00").b)).b, 0, "capture: at byte 28: timestamp resolution 0x20 is finer than can be kept"},
		{"cut after a packet", ng().enhanced(0, 0, "abc").enhanced(0, 0, "def").b[:48+36+20], 1, "capture: at byte 92: the file is truncated: a block is cut short"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			frames, err := all(tt.data)
			if err == nil || err.Error() != tt.want || ringwall.CodeOf(err) != ringwall.Invalid || len(frames) != tt.frames {
				t.Errorf("%d frames and error %v, want %d and %q", len(frames), err, tt.frames, tt.want)
			}
		})
	}
}

// endless gives the same bytes for ever and counts them.
type endless struct {
	b []byte
	n int64
}

func (e *endless) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		n += copy(p[n:], e.b[(e.n+int64(n))%int64(len(e.b)):])
	}
	e.n += int64(n)
	return n, nil
}

func TestReader_endlessFileTakesBoundedMemory(t *testing.T) {
	head := (&file{order: binary.LittleEndian}).section().iface(1, "")
	one := (&file{order: binary.LittleEndian}).enhanced(0, 0, strings.Repeat("x", 1400))
	r, err := capture.NewReader(io.MultiReader(bytes.NewReader(head.b), &endless{b: one.b}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(10000, func() {
		if _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("a packet costs %v allocations", n)
	}
	interfaces := (&file{order: binary.LittleEndian}).iface(1, "")
	r, err = capture.NewReader(io.MultiReader(bytes.NewReader(head.b), &endless{b: interfaces.b}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Next(); err == nil || !strings.Contains(err.Error(), "more than 4096 interfaces") {
		t.Errorf("endless interfaces: %v", err)
	}
}

func TestReader_failingDiskIsNotBadInput(t *testing.T) {
	boom := errors.New("disk on fire")
	whole := pcapHead(binary.LittleEndian, 0xa1b2c3d4).u32(1, 0, 3, 3).raw("ab")
	r, err := capture.NewReader(io.MultiReader(bytes.NewReader(whole.b), failing{boom}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err = r.Next(); !errors.Is(err, boom) || ringwall.CodeOf(err) != ringwall.Unavailable {
		t.Errorf("error %v of code %s, want the disk's of code unavailable", err, ringwall.CodeOf(err))
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestWriter_roundTrip(t *testing.T) {
	var b bytes.Buffer
	w, err := capture.NewWriter(&b, packet.LinkEthernet)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 21, 22, 0, 0, 123456789, time.UTC)
	for i, data := range []string{"", "a", "abcd", strings.Repeat("z", 1501)} {
		var comments []string
		if i > 0 {
			comments = []string{"attack=scan", strings.Repeat("c", i)}
		}
		if err := w.Write([]byte(data), at.Add(time.Duration(i)), len(data)+i, comments...); err != nil {
			t.Fatal(err)
		}
	}
	frames, err := all(b.Bytes())
	if err != io.EOF || len(frames) != 4 {
		t.Fatalf("%d frames, %v", len(frames), err)
	}
	for i, f := range frames {
		if !f.Time.Equal(at.Add(time.Duration(i))) || f.OrigLen != len(f.Data)+i || f.Link != packet.LinkEthernet {
			t.Errorf("frame %d = %+v", i, f)
		}
		if i > 0 && (len(f.Comments) != 2 || f.Comments[0] != "attack=scan" || f.Comments[1] != strings.Repeat("c", i)) {
			t.Errorf("comments of frame %d = %q", i, f.Comments)
		}
	}
	if err := w.Write(make([]byte, 300000), at, 0); ringwall.CodeOf(err) != ringwall.Invalid {
		t.Errorf("a packet of 300,000 bytes: %v", err)
	}
}

func TestWriter_nothingAfterAFailure(t *testing.T) {
	boom := errors.New("full")
	out := &flaky{}
	w, err := capture.NewWriter(out, packet.LinkEthernet)
	if err != nil {
		t.Fatal(err)
	}
	out.err = boom
	if err := w.Write([]byte("a"), time.Unix(1, 0), 0); !errors.Is(err, boom) {
		t.Errorf("first write: %v", err)
	}
	out.err = nil
	n := out.n
	if err := w.Write([]byte("a"), time.Unix(1, 0), 0); !errors.Is(err, boom) || out.n != n {
		t.Errorf("after a failure: %v, %d more writes", err, out.n-n)
	}
}

type flaky struct {
	err error
	n   int
}

func (f *flaky) Write(p []byte) (int, error) { f.n++; return len(p), f.err }

func FuzzReader(f *testing.F) {
	f.Add(pcapHead(binary.BigEndian, 0xa1b23c4d).u32(1, 0, 3, 3).raw("abc").b)
	ng := &file{order: binary.LittleEndian}
	ng.section().iface(1, "").enhanced(0, 5, "abc").block(3, ng.part().u32(3).raw("abc"))
	f.Add(ng.b)
	var b bytes.Buffer
	w, err := capture.NewWriter(&b, packet.LinkRaw)
	if err != nil {
		f.Fatal(err)
	}
	if err := w.Write([]byte("abc"), time.Unix(1, 2), 0, "label"); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := capture.NewReader(bytes.NewReader(data))
		for err == nil {
			var fr capture.Frame
			if fr, err = r.Next(); err == nil {
				if len(fr.Data) > len(data) || fr.OrigLen < len(fr.Data) || !fr.Link.Known() {
					t.Fatalf("frame %+v from %d bytes", fr, len(data))
				}
				var p packet.Packet
				_ = packet.Decode(fr.Link, fr.Data, &p) // whatever comes out of a file must not hurt the decoder
			}
		}
		if err != io.EOF && ringwall.CodeOf(err) != ringwall.Invalid {
			t.Fatalf("error %v has code %s", err, ringwall.CodeOf(err))
		}
	})
}

func TestReader_realCaptures(t *testing.T) {
	n := 0
	for _, name := range append(sharedtest.Glob(t, "pcap/*/*.pcap"), sharedtest.Glob(t, "pcap/benign/*/*.pcap")...) {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		frames, err := all(b)
		if err != io.EOF || len(frames) == 0 {
			t.Errorf("%s: %d frames, %v", name, len(frames), err)
		}
		for _, f := range frames {
			if y := f.Time.Year(); y < 1998 || y > 2026 {
				t.Fatalf("%s: packet %d is of year %d", name, f.Number, y)
			}
		}
		n += len(frames)
	}
	t.Logf("%d frames", n)
}
