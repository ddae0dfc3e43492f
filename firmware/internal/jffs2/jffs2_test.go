package jffs2

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"github.com/ringwall/ringwall/firmware/internal/codec"
	"github.com/ringwall/ringwall/firmware/internal/unpack"
	"github.com/ringwall/ringwall/firmware/internal/unpacktest"
)

// log writes nodes in little endian.
type log struct{ b []byte }

func (l *log) node(kind uint16, body []byte) {
	n := binary.LittleEndian.AppendUint16(nil, 0x1985)
	n = binary.LittleEndian.AppendUint16(n, kind)
	n = binary.LittleEndian.AppendUint32(n, uint32(headLen+len(body)))
	n = binary.LittleEndian.AppendUint32(n, sum(n))
	n = append(n, body...)
	for len(n)%4 != 0 {
		n = append(n, 0xff)
	}
	mend(n)
	l.b = append(l.b, n...)
}

func (l *log) name(parent, version, ino uint32, name string) {
	b := make([]byte, direntLen-headLen)
	binary.LittleEndian.PutUint32(b, parent)
	binary.LittleEndian.PutUint32(b[4:], version)
	binary.LittleEndian.PutUint32(b[8:], ino)
	b[16], b[17] = byte(len(name)), 8
	l.node(typeDirent, append(b, name...))
}

func (l *log) data(ino, version, size, off uint32, compr byte, length int, data string) {
	b := make([]byte, inodeLen-headLen)
	for i, v := range []uint32{ino, version, 0o100644, 0, size, 0, 0, 0, off, uint32(len(data)), uint32(length)} {
		binary.LittleEndian.PutUint32(b[4*i:], v)
	}
	b[44] = compr
	l.node(typeInode, append(b, data...))
}

func (l *log) blank(n int) { l.b = append(l.b, slices.Repeat([]byte{0xff}, n)...) }

func (l *log) walk(t *testing.T) (map[string]string, *Volume, error) {
	t.Helper()
	r, size := unpacktest.Reader(l.b)
	budget := unpacktest.Budget()
	v := Scan(r, size, budget)
	var c codec.Decoder
	var err error
	got := map[string]string{}
	for path, b := range unpacktest.Drain(t, budget, func(yield unpack.Sink) error {
		err = v.Walk(&c, budget, yield)
		return err
	}) {
		got[path] = string(b)
	}
	return got, v, err
}

func check(t *testing.T, got, want map[string]string) {
	t.Helper()
	for path, content := range want {
		if have, ok := got[path]; !ok || have != content {
			t.Errorf("%s is %q (%v), want %q", path, have, ok, content)
		}
	}
	if len(got) != len(want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestWalk_newestVersionCounts(t *testing.T) {
	var l log
	l.name(1, 1, 2, "kept")
	l.name(1, 2, 3, "deleted")
	l.data(2, 1, 10, 0, comprNone, 10, "0123456789")
	l.data(2, 3, 12, 8, comprNone, 4, "WXYZ") // grows the file
	l.data(2, 2, 10, 2, comprNone, 3, "abc")  // older than the one before, though later in the log
	l.data(2, 4, 12, 5, comprZero, 2, "")     // a hole
	l.data(3, 1, 3, 0, comprNone, 3, "old")
	l.name(1, 3, 0, "deleted")
	l.name(1, 5, 4, "renamed")
	l.name(1, 4, 5, "renamed")                           // an older node of the same name
	l.data(4, 1, 8, 0, comprRtime, 8, "a\x00b\x00a\x05") // a b a, then what followed the first a, five times on
	l.data(5, 1, 1, 0, comprNone, 1, "x")
	got, _, err := l.walk(t)
	if err != nil {
		t.Error(err)
	}
	check(t, got, map[string]string{"kept": "01abc\x00\x007WXYZ", "renamed": "abababab"})
}

func TestWalk_nodeWithAWrongChecksumIsLeftOut(t *testing.T) {
	var l log
	l.name(1, 1, 2, "f")
	l.data(2, 1, 4, 0, comprNone, 4, "good")
	l.data(2, 2, 4, 0, comprNone, 4, "evil")
	l.b[len(l.b)-1] ^= 1
	got, v, err := l.walk(t)
	check(t, got, map[string]string{"f": "good"})
	if v.Bad != 1 || err == nil || !strings.Contains(err.Error(), "wrong checksum") {
		t.Errorf("%d bad nodes, error %v", v.Bad, err)
	}
}

func TestWalk_obsoleteNodeIsLeftOut(t *testing.T) {
	var l log
	l.name(1, 1, 2, "f")
	l.data(2, 1, 3, 0, comprNone, 3, "new")
	at := len(l.b)
	l.data(2, 9, 3, 0, comprNone, 3, "old")
	l.b[at+3] &^= accurate >> 8 // as the kernel marks it in place
	got, _, err := l.walk(t)
	if err != nil {
		t.Error(err)
	}
	check(t, got, map[string]string{"f": "new"})
}

// TestScan_nextPartition has two volumes with erased flash between them: the
// second uses versions of the first for other things.
func TestScan_nextPartition(t *testing.T) {
	var first, l log
	first.name(1, 1, 2, "first")
	first.data(2, 1, 1, 0, comprNone, 1, "1")
	l.b = append(l.b, first.b...)
	l.blank(64 << 10)
	l.name(1, 1, 2, "second")
	l.data(2, 1, 1, 0, comprNone, 1, "2")
	got, v, err := l.walk(t)
	if err != nil || v.Length != int64(len(first.b)) {
		t.Errorf("the volume has %d bytes, want %d; %v", v.Length, len(first.b), err)
	}
	check(t, got, map[string]string{"first": "1"})
}

func TestWalk_foldersInACircle(t *testing.T) {
	var l log
	dir := func(ino uint32) {
		b := make([]byte, inodeLen-headLen)
		for i, v := range []uint32{ino, 1, 0o040755} {
			binary.LittleEndian.PutUint32(b[4*i:], v)
		}
		l.node(typeInode, b)
	}
	l.name(1, 1, 2, "a")
	l.name(2, 1, 3, "b")
	l.name(3, 1, 2, "a")
	l.name(3, 2, 1, "root")
	dir(1)
	dir(2)
	dir(3)
	got, _, err := l.walk(t)
	if len(got) != 2 || err == nil || !strings.Contains(err.Error(), "circle") {
		t.Errorf("got %q, %v", got, err)
	}
}
