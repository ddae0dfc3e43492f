package gtpp

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ringwall/ringwall"
)

var opts = cmp.Options{cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Addr{})}

func messages() []Message {
	return []Message{
		{Version: 2, Type: EchoRequest, Sequence: 7},
		{Version: 0, Long: true, Type: EchoResponse, Sequence: 65535, Recovery: 3, HasRecovery: true},
		{Version: 1, Type: NodeAliveRequest, Sequence: 1, Node: netip.MustParseAddr("192.0.2.1")},
		{Version: 2, Type: RedirectionRequest, Sequence: 2, Cause: ThisNodeGoesDown, Use: []netip.Addr{netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("2001:db8::1")}},
		{Version: 2, Type: DataTransferRequest, Sequence: 3, Command: Send, Packet: &Packet{Format: BER, Version: 0x1234, Records: [][]byte{{1, 2, 3}, {}, {4}}}},
		{Version: 2, Type: DataTransferRequest, Sequence: 4, Command: Send, Packet: &Packet{}},
		{Version: 0, Type: DataTransferRequest, Sequence: 5, Command: Release, Released: []uint16{1, 65535}},
		{Version: 2, Type: DataTransferRequest, Sequence: 6, Command: Cancel, Cancelled: []uint16{9}},
		{Version: 2, Type: DataTransferResponse, Sequence: 3, Cause: Accepted, Responded: []uint16{3, 4}},
	}
}

func TestRoundTrip(t *testing.T) {
	for i, m := range messages() {
		b, err := Append([]byte("x"), m)
		if err != nil {
			t.Fatal(err)
		}
		b = b[1:]
		got, err := Decode(b)
		if d := cmp.Diff(m, got, opts); d != "" || err != nil {
			t.Errorf("%d: %v\n%s", i, err, d)
		}
		if n, err := Size(b[:4]); n != len(b) || err != nil {
			t.Errorf("%d: Size = %d, %v, want %d", i, n, err, len(b))
		}
		for n := range b {
			if _, err := Decode(b[:n]); n >= 4 && ringwall.CodeOf(err) != ringwall.Invalid {
				t.Errorf("%d cut to %d octets: %v, want an invalid error", i, n, err)
			}
		}
	}
}

// The octets are those of TS 32.295 sections 6.1.1 and 6.2.4.
func TestAppend_octets(t *testing.T) {
	b, err := Append(nil, Message{Version: 2, Type: DataTransferRequest, Sequence: 0x0102, Command: Send, Packet: &Packet{Format: BER, Version: 0x0503, Records: [][]byte{{0xaa}}}})
	if want := "4ff0000c01027e01fc000701010503" + "0001aa"; err != nil || hex.EncodeToString(b) != want {
		t.Errorf("%x, want %s (%v)", b, want, err)
	}
}

func TestDecode_refuses(t *testing.T) {
	for in, want := range map[string]string{
		"":                                     "0 octets",
		"3001":                                 "of GTP and not",
		"4f010002 0001":                        "the header says 8",
		"4f010002 0001 0000":                   "element 0 is not known",
		"4f010001 0001 01":                     "not known or cut",
		"4ff00003 0001 fc0001":                 "ends behind",
		"4ff00007 0001 fc000402010000":         "record 1 of 2",
		"4ff0000a 0001 fc0007 01010000 000000": "behind the last record",
		"4ff00006 0001 f9000301 0203":          "no list",
		"4f040005 0001 fb000201 02":            "an address of 2",
	} {
		b, err := hex.DecodeString(strings.ReplaceAll(in, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		if _, err = Decode(b); ringwall.CodeOf(err) != ringwall.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an invalid error with %q", in, err, want)
		}
	}
	// A version of the future is read as far as its header.
	if m, err := Decode([]byte{0x6f, 1, 0, 1, 0, 9, 0xff}); err != nil || m.Version != 3 || m.Sequence != 9 {
		t.Errorf("version 3: %+v, %v", m, err)
	}
}

func TestAppend_refuses(t *testing.T) {
	for name, p := range map[string]*Packet{"records": {Records: make([][]byte, 256)}, "octets": {Records: [][]byte{make([]byte, 1<<16)}}} {
		if b, err := Append([]byte("x"), Message{Type: DataTransferRequest, Packet: p}); ringwall.CodeOf(err) != ringwall.Invalid || !bytes.Equal(b, []byte("x")) {
			t.Errorf("too many %s: %v, want an invalid error", name, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, m := range messages() {
		b, err := Append(nil, m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		m, err := Decode(in)
		if err != nil {
			if ringwall.CodeOf(err) != ringwall.Invalid {
				t.Fatal(err)
			}
			return
		}
		if m.Version > 2 {
			return
		}
		b, err := Append(nil, m)
		if err != nil {
			return // lists of addresses may be longer when written in order
		}
		again, err := Decode(b)
		if d := cmp.Diff(m, again, opts); d != "" || err != nil {
			t.Fatalf("%v\n%s", err, d)
		}
	})
}
