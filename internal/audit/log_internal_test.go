package audit

import (
	"bytes"
	"path/filepath"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
)

func TestLog_RollsAndStaysOneChain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	record := func(l *Log, n int) {
		t.Helper()
		for range n {
			if err := l.Record(t.Context(), Entry{Time: time.Unix(0, 0).UTC(), Org: "org_a", Actor: "usr_a", Act: DeviceRead}, false); err != nil {
				t.Fatal(err)
			}
		}
	}
	l, err := open(dir, 1000)
	if err != nil {
		t.Fatal(err)
	}
	record(l, 40)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if l, err = open(dir, 1000); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	record(l, 40)
	files, err := l.files()
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files, %v; want at least 10", len(files), err)
	}
	if n, err := l.Verify(); n != 80 || err != nil {
		t.Errorf("Verify() = %d, %v; want 80, nil", n, err)
	}
	scope := Scope{grant: &grant{act: AuditRead, target: Target{Org: "org_a"}, reach: []Act{AuditRead}}}
	seen := 0
	for cursor := ""; ; {
		page, err := l.Entries(t.Context(), scope, cursor, 7)
		if err != nil {
			t.Fatal(err)
		}
		seen += len(page.Items)
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	if seen != 80 {
		t.Errorf("paged through %d entries over several files, want 80", seen)
	}
}

func FuzzDecode(f *testing.F) {
	text, _, err := encode(line{Seq: 1, Org: "org_a", Actor: "usr_a", Act: DeviceRead, Prev: "00"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"hash":""}`))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, in []byte) {
		at, err := verify(in, 1, "")
		if err == nil && at.bytes != len(in) {
			t.Errorf("sound, and yet only %d of %d bytes", at.bytes, len(in))
		}
		if err != nil && ringwall.CodeOf(err) != ringwall.Unverified {
			t.Errorf("verify = %v, want code unverified", err)
		}
		if n := bytes.Count(in[:at.bytes], []byte("\n")); uint64(n) != at.seq {
			t.Errorf("%d sound lines and entry number %d", n, at.seq)
		}
	})
}
