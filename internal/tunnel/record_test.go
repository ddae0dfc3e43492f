package tunnel

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/ringwall/ringwall"
)

func TestRecorder_readsBack(t *testing.T) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	var file nopCloser
	at := time.Date(2026, 11, 22, 8, 0, 0, 123_000, time.UTC)
	r, err := NewRecorder(&file, id.Recipient(), 1<<30, func() time.Time { return at })
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("v", maxFrame+7)
	for _, f := range []Frame{{Conn: 1, What: Opened, Data: []byte("usr_x")}, {Conn: 1, What: Sent, Data: []byte("hunter2")}, {Conn: 1, What: Received, Data: []byte(long)}, {Conn: 1, What: Closed}} {
		if err := r.Write(f.Conn, f.What, f.Data); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(file.Bytes(), []byte("hunter2")) || bytes.Contains(file.Bytes(), []byte("vvvv")) {
		t.Error("what went through stands in clear")
	}
	var got []Frame
	if err := ReadRecording(bytes.NewReader(file.Bytes()), id, func(f Frame) error { got = append(got, f); return nil }); err != nil {
		t.Fatal(err)
	}
	if len(got) != 5 || got[0].What != Opened || string(got[1].Data) != "hunter2" || len(got[2].Data)+len(got[3].Data) != len(long) || got[4].What != Closed || !got[1].Time.Equal(at) {
		t.Errorf("read back %d frames", len(got))
	}
	other, _ := age.GenerateX25519Identity()
	if err := ReadRecording(bytes.NewReader(file.Bytes()), other, nil); ringwall.CodeOf(err) != ringwall.Unverified {
		t.Errorf("with another key: %v", err)
	}
	// A changed byte is noticed; what came before it has been given.
	bad := bytes.Clone(file.Bytes())
	bad[len(bad)-10] ^= 1
	if err := ReadRecording(bytes.NewReader(bad), id, func(Frame) error { return nil }); err == nil {
		t.Error("a changed recording reads")
	}
}

func TestRecorder_fullStopsWhatCannotBeRecorded(t *testing.T) {
	id, _ := age.GenerateX25519Identity()
	var file nopCloser
	r, err := NewRecorder(&file, id.Recipient(), 100, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Write(1, Sent, make([]byte, 50)); err != nil {
		t.Fatal(err)
	}
	if err := r.Write(1, Sent, make([]byte, 50)); !errors.Is(err, ErrFull) {
		t.Errorf("over the limit: %v", err)
	}
}

type nopCloser struct{ bytes.Buffer }

func (*nopCloser) Close() error { return nil }

func FuzzReadFrames(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("\x00\x06\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01>\x00\x00\x02hi"))
	f.Add([]byte("\x00\x06\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01>\xff\xff\xffhi"))
	f.Fuzz(func(t *testing.T, b []byte) {
		n := 0
		err := readFrames(bytes.NewReader(b), func(fr Frame) error { n += frameHead + len(fr.Data); return nil })
		if err == nil && n != len(b) {
			t.Errorf("read %d of %d bytes without an error", n, len(b))
		}
	})
}
