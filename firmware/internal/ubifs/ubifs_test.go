package ubifs

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"github.com/ringwall/ringwall/firmware/internal/codec"
	"github.com/ringwall/ringwall/firmware/internal/unpack"
	"github.com/ringwall/ringwall/firmware/internal/unpacktest"
)

// node makes a node of the journal.
func node(kind byte, seq uint64, body []byte) []byte {
	n := make([]byte, headLen, headLen+len(body))
	binary.LittleEndian.PutUint32(n, magic)
	binary.LittleEndian.PutUint64(n[8:], seq)
	binary.LittleEndian.PutUint32(n[16:], uint32(headLen+len(body)))
	n[20] = kind
	n = append(n, body...)
	for len(n)%8 != 0 {
		n = append(n, 0)
	}
	mend(n)
	return n
}

func words(n int, at map[int]uint64) []byte {
	b := make([]byte, n)
	for off, v := range at {
		binary.LittleEndian.PutUint32(b[off-headLen:], uint32(v))
	}
	return b
}

func inoNode(seq uint64, ino uint32, size, links uint32) []byte {
	return node(nodeIno, seq, words(160-headLen, map[int]uint64{24: uint64(ino), 48: uint64(size), 92: uint64(links), 104: 0o100640}))
}

func dentNode(seq uint64, parent, ino uint32, name string) []byte {
	b := words(56-headLen, map[int]uint64{24: uint64(parent), 28: nodeDent << 29, 40: uint64(ino)})
	binary.LittleEndian.PutUint16(b[50-headLen:], uint16(len(name)))
	return node(nodeDent, seq, append(append(b, name...), 0))
}

func dataNode(seq uint64, ino, block uint32, data string) []byte {
	b := words(48-headLen, map[int]uint64{24: uint64(ino), 28: nodeData<<29 | uint64(block), 40: uint64(len(data))})
	return node(nodeData, seq, append(b, data...))
}

func truncNode(seq uint64, ino uint32, size uint32) []byte {
	return node(nodeTrun, seq, words(56-headLen, map[int]uint64{24: uint64(ino), 48: uint64(size)}))
}

// journal adds nodes to the journal of an image that was never mounted: an
// entry in the log, and an erase block behind all others that it leads to.
func journal(t *testing.T, image []byte, nodes ...[]byte) []byte {
	t.Helper()
	s, ok := Parse(image)
	if !ok {
		t.Fatal("no superblock")
	}
	bud := int64(len(image)) / s.LEBSize
	out := slices.Clone(image)
	at := logLEB * s.LEBSize
	for bytes.HasPrefix(out[at:], []byte{0x31, 0x18, 0x10, 0x06}) {
		at += int64(binary.LittleEndian.Uint32(out[at+16:])+7) &^ 7
	}
	ref := words(64-headLen, map[int]uint64{24: uint64(bud)})
	copy(out[at:], node(nodeRef, 1_000_000, ref))
	leb := bytes.Join(nodes, nil)
	out = append(out, leb...)
	out = append(out, slices.Repeat([]byte{0xff}, int(s.LEBSize)-len(leb))...)
	binary.LittleEndian.PutUint32(out[40:], uint32(bud+1)) // one erase block more
	mend(out[:4096])
	return out
}

func walk(t *testing.T, image []byte) (map[string]string, error) {
	t.Helper()
	s, ok := Parse(image)
	if !ok {
		t.Fatal("no superblock")
	}
	r, size := unpacktest.Reader(image)
	budget := unpacktest.Budget()
	var c codec.Decoder
	var err error
	got := map[string]string{}
	for path, b := range unpacktest.Drain(t, budget, func(yield unpack.Sink) error {
		err = s.Walk(r, size, &c, budget, yield)
		return err
	}) {
		got[path] = string(b)
	}
	return got, err
}

func TestWalk_replaysTheJournal(t *testing.T) {
	image := unpacktest.Fixture(t, "ubifs-lzo")
	before, err := walk(t, image)
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", blockSize)
	after, err := walk(t, journal(t, image,
		inoNode(2_000_009, 900, 5, 1), dentNode(2_000_001, rootIno, 900, "new"), dataNode(2_000_003, 900, 0, "newer"), dataNode(2_000_002, 900, 0, "older"),
		inoNode(2_000_010, 901, blockSize+3, 1), dentNode(2_000_011, rootIno, 901, "cut"), dataNode(2_000_012, 901, 0, long), dataNode(2_000_013, 901, 1, "end"),
		truncNode(2_000_014, 901, blockSize), inoNode(2_000_015, 901, blockSize, 1),
		inoNode(2_000_020, 902, 3, 1), dentNode(2_000_021, rootIno, 902, "gone"), dataNode(2_000_022, 902, 0, "bye"), dentNode(2_000_023, rootIno, 0, "gone"), inoNode(2_000_024, 902, 3, 0),
	))
	if err != nil {
		t.Fatal(err)
	}
	if after["new"] != "newer" || after["cut"] != long {
		t.Errorf("new is %q, cut has %d bytes", after["new"], len(after["cut"]))
	}
	if _, ok := after["gone"]; ok {
		t.Error("what the journal deleted is listed")
	}
	if len(after) != len(before)+2 {
		t.Errorf("%d entries, and %d before", len(after), len(before))
	}
}

// TestWalk_oldJournalIsNotReplayed has an entry of the log from before the
// commit.
func TestWalk_oldJournalIsNotReplayed(t *testing.T) {
	image := journal(t, unpacktest.Fixture(t, "ubifs-lzo"), dentNode(2_000_001, rootIno, 900, "new"))
	i := bytes.Index(image, binary.LittleEndian.AppendUint64(nil, 1_000_000))
	binary.LittleEndian.PutUint64(image[i:], 0)
	mend(image)
	got, err := walk(t, image)
	if _, ok := got["new"]; ok || err != nil {
		t.Errorf("an old journal was replayed (%v), %v", ok, err)
	}
}

func TestWalk_withoutIndexFindsAllNodes(t *testing.T) {
	image := unpacktest.Fixture(t, "ubifs-zlib")
	want, err := walk(t, image)
	if err != nil {
		t.Fatal(err)
	}
	s, _ := Parse(image)
	clear(image[s.LEBSize : 3*s.LEBSize]) // both masters
	got, err := walk(t, image)
	if err == nil || !strings.Contains(err.Error(), "index does not hold") {
		t.Errorf("the error is %v", err)
	}
	if len(got) != len(want) || got["etc/passwd"] != want["etc/passwd"] || got["bin/tool"] != want["bin/tool"] {
		t.Errorf("%d entries, want %d; etc/passwd is %q", len(got), len(want), got["etc/passwd"])
	}
}
