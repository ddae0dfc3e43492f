package usage

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
)

// TestSnapshot_carriesOn stops at random places and compares with an
// undisturbed run.
func TestSnapshot_carriesOn(t *testing.T) {
	recs := stream(5, 2000)
	recs = append(recs, recs[500:900]...) // a file sent twice
	whole := newEngine(t, Config{Adopt: true}, fleet()[:6]...)
	var want []ringwall.Alert
	for i := range recs {
		want = append(want, whole.Record(&recs[i]).Alerts...)
	}
	rng := rand.New(rand.NewPCG(5, 5))
	e := newEngine(t, Config{Adopt: true}, fleet()[:6]...)
	var got []ringwall.Alert
	for i := 0; i < len(recs); i++ {
		got = append(got, e.Record(&recs[i]).Alerts...)
		if rng.IntN(150) != 0 {
			continue
		}
		var b bytes.Buffer
		if err := e.Snapshot(&b, []byte(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b.Bytes(), []byte("46000")) {
			t.Fatal("the snapshot names a card in clear")
		}
		e = newEngine(t, Config{Adopt: true})
		early := rng.IntN(2) == 0 // cards may be set before or after
		if early {
			setAll(t, e, fleet()[:6])
		}
		pos, err := e.Restore(&b)
		if err != nil || string(pos) != fmt.Sprint(i) {
			t.Fatalf("Restore = %q, %v; want %d", pos, err, i)
		}
		if !early {
			setAll(t, e, fleet()[:6])
		}
	}
	if d := cmp.Diff(want, got, addrs); d != "" {
		t.Errorf("an interrupted run says other things:\n%.800s", d)
	}
	if d := cmp.Diff(whole.Stats(), e.Stats()); d != "" || e.Hash() != whole.Hash() {
		t.Errorf("an interrupted run knows other things:\n%s", d)
	}
}

func setAll(t *testing.T, e *Engine, cards []Card) {
	t.Helper()
	for _, c := range cards {
		if err := e.SetCard(c); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRestore_refusesDamage(t *testing.T) {
	e := newEngine(t, Config{}, meter())
	e.Record(rec(func(r *cdr.Record) { r.ID = "1" }))
	var b bytes.Buffer
	if err := e.Snapshot(&b, []byte("pos")); err != nil {
		t.Fatal(err)
	}
	whole := b.Bytes()
	for cut := range len(whole) {
		fresh := newEngine(t, Config{}, meter())
		if _, err := fresh.Restore(bytes.NewReader(whole[:cut])); ringwall.CodeOf(err) != ringwall.Unverified {
			t.Fatalf("cut at %d: %v, want unverified", cut, err)
		}
		bent := slices.Clone(whole)
		bent[cut] ^= 0x10
		if _, err := fresh.Restore(bytes.NewReader(bent)); ringwall.CodeOf(err) != ringwall.Unverified {
			t.Fatalf("bent at %d: %v, want unverified", cut, err)
		}
		if u, _ := fresh.Use(imsi); u.Records != 0 || fresh.Stats().Records != 0 {
			t.Fatal("a refused snapshot changed the engine")
		}
	}
	if err := New(Config{}).Snapshot(&b, nil); ringwall.CodeOf(err) != ringwall.Invalid {
		t.Errorf("a snapshot without a key: %v, want invalid", err)
	}
}

func FuzzRestore(f *testing.F) {
	e := New(Config{Key: []byte("k"), Adopt: true})
	for i := range 20 {
		e.Record(&cdr.Record{ID: fmt.Sprint(i), Time: t0, IMSI: ringwall.IMSI(fmt.Sprint(460000000000000 + i)), IMEI: bound, Service: cdr.Data})
	}
	var b bytes.Buffer
	if err := e.Snapshot(&b, []byte("position")); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte(snapshotMagic))
	f.Add([]byte("RWUSAGE\x01 of the version before"))
	f.Add([]byte(snapshotMagic + "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		e := New(Config{Key: []byte("k")})
		if _, err := e.Restore(bytes.NewReader(b)); err != nil && ringwall.CodeOf(err) != ringwall.Unverified && ringwall.CodeOf(err) != ringwall.Conflict {
			t.Fatal(err)
		}
	})
}
