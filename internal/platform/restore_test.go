package platform

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// Evidence that was lost, or put back from elsewhere, is read from its
// beginning: the place in what was there means nothing in what is.
func TestPlatform_replacedEvidenceIsReadFromItsBeginning(t *testing.T) {
	dir := t.TempDir()
	r := start(t, dir)
	b := r.enrol()
	r.connect(b)
	for n := range 20 { // far into the old store
		r.report(b, record(api.RecordPresence, sighting(n)))
	}
	r.wait("twenty devices", func() bool { return len(r.devices()) == 20 })
	b.conn.Close()
	r.stop()
	if err := os.RemoveAll(filepath.Join(dir, evidenceDir)); err != nil {
		t.Fatal(err)
	}
	r = start(t, dir)
	r.connect(b)
	b.seq = 0 // the new store knows nothing of this gateway
	r.send(b, api.Batch{Version: api.Version, Epoch: 8, Records: []api.Record{func() api.Record {
		rec := record(api.RecordPresence, sighting(20))
		rec.Seq = 1
		return rec
	}()}})
	r.wait("the device that the new evidence tells of", func() bool { return len(r.devices()) == 21 })
}

// State without the keys it stands on is refused: new keys would be taken by
// no gateway.
func TestPlatform_refusesStateWithoutItsKeys(t *testing.T) {
	dir := t.TempDir()
	start(t, dir).stop()
	for _, name := range []string{"desired.key", "ca.key", "ca.crt"} {
		path := filepath.Join(dir, keysDir, name)
		kept, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		p, err := New(t.Context(), testConfig(dir, io.Discard))
		if ringwall.CodeOf(err) != ringwall.Unavailable {
			t.Errorf("without %s the platform opens: %v", name, err)
			if err == nil {
				p.Close()
			}
		}
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s was made anew", name)
		}
		if err := os.WriteFile(path, kept, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	start(t, dir) // with its keys it opens again
}
