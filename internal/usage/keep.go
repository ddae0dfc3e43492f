package usage

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/durable"
)

// Keep is a directory of snapshots of a Set, the newest two: each a directory of
// one file an engine and a manifest. A snapshot gets its name when all of it is
// on the disk; one without a name is removed when the next begins. Files are
// readable by their owner alone: they hold numbers of cards.
type Keep struct {
	dir  string
	disk *durable.Disk
}

// The sites of a Keep's fsyncs.
const (
	SitePart     durable.Site = "usage/part"     // a file of states
	SiteManifest durable.Site = "usage/manifest" // that says that all are there
	SiteParts    durable.Site = "usage/parts"    // their names
	SiteName     durable.Site = "usage/name"     // the name of the snapshot
)

// generations are kept: when the newest is damaged, there is the one before.
const generations = 2

// OpenKeep opens a directory of snapshots, or makes it. A nil disk is the real
// one.
func OpenKeep(dir string, disk *durable.Disk) (*Keep, error) {
	if err := disk.MkdirAll(SiteName, dir, 0o700); err != nil {
		return nil, ringwall.Errorf(ringwall.Unavailable, "making the directory of snapshots: %w", err)
	}
	return &Keep{dir: dir, disk: disk}, nil
}

// manifest says what a snapshot is made of.
type manifest struct {
	Engines  int       `json:"engines"`
	Parts    []part    `json:"parts"`
	Position []byte    `json:"position"`
	Records  uint64    `json:"records"`
	Time     time.Time `json:"time"`
}

type part struct {
	Name  string `json:"name"`
	Bytes int64  `json:"bytes"`
}

const (
	manifestName  = "manifest"
	manifestMagic = "RWUSGEN\x01"
	genPrefix     = "snapshot-"
	tmpSuffix     = ".tmp"
	maxManifest   = 4 << 20
)

// list returns the numbers of the snapshots, the newest first.
func (k *Keep) list() (gens []uint64, err error) {
	entries, err := os.ReadDir(k.dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		var n uint64
		if s, ok := strings.CutPrefix(e.Name(), genPrefix); ok && len(s) == 16 && e.IsDir() {
			if _, err := fmt.Sscanf(s, "%016x", &n); err == nil {
				gens = append(gens, n)
			}
		}
	}
	slices.Sort(gens)
	slices.Reverse(gens)
	return gens, nil
}

func (k *Keep) path(gen uint64) string {
	return filepath.Join(k.dir, fmt.Sprintf("%s%016x", genPrefix, gen))
}

// clean removes what was begun and has no name, and what is older than the
// generations to keep.
func (k *Keep) clean() error {
	entries, err := os.ReadDir(k.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), genPrefix) && strings.HasSuffix(e.Name(), tmpSuffix) {
			if err := os.RemoveAll(filepath.Join(k.dir, e.Name())); err != nil {
				return err
			}
		}
	}
	gens, err := k.list()
	if err != nil {
		return err
	}
	for _, g := range gens[min(len(gens), generations):] {
		if err := os.RemoveAll(k.path(g)); err != nil {
			return err
		}
	}
	return nil
}

// Parts is how many engines the newest snapshot is of; 0 = there is none that
// can be read.
func (k *Keep) Parts() int {
	gens, err := k.list()
	if err != nil {
		return 0
	}
	for _, g := range gens {
		if m, err := k.manifest(g); err == nil {
			return m.Engines
		}
	}
	return 0
}

func (k *Keep) manifest(gen uint64) (m manifest, err error) {
	f, err := os.Open(filepath.Join(k.path(gen), manifestName))
	if err != nil {
		return m, err
	}
	defer f.Close() // it was only read
	b, err := io.ReadAll(io.LimitReader(f, maxManifest))
	if err != nil {
		return m, err
	}
	n := len(manifestMagic)
	if len(b) < n+4 || string(b[:n]) != manifestMagic || frameSum(0, b[n+4:]) != binary.LittleEndian.Uint32(b[n:]) || json.Unmarshal(b[n+4:], &m) != nil || m.Engines <= 0 {
		return m, torn("its manifest is none")
	}
	return m, nil
}

// Restored tells what Restore found.
type Restored struct {
	Position []byte    // nil = there is no snapshot: begin at the start
	Time     time.Time // when it was taken
	Records  uint64
	// Passed are newer snapshots that could not be read, and why.
	Passed []error
}

// Restore reads the newest snapshot that is whole into a set that has judged
// nothing. The error has code Unverified when there are snapshots and none can
// be read: to begin anew then is for people to decide; Conflict when it is of
// another number of engines.
func (k *Keep) Restore(s *Set) (r Restored, err error) {
	gens, err := k.list()
	if err != nil {
		return r, ringwall.Errorf(ringwall.Unavailable, "looking for snapshots: %w", err)
	}
	for _, g := range gens {
		m, err := k.manifest(g)
		if err == nil && m.Engines != s.Workers() {
			return r, ringwall.Errorf(ringwall.Conflict, "the snapshot in %q is of %d engines, there are %d", k.dir, m.Engines, s.Workers())
		}
		if err == nil {
			err = k.read(g, m, s)
		}
		if err == nil {
			r.Position, r.Time, r.Records = m.Position, m.Time, m.Records
			return r, nil
		}
		r.Passed = append(r.Passed, fmt.Errorf("snapshot %d: %w", g, err))
	}
	if len(gens) > 0 {
		return r, ringwall.Errorf(ringwall.Unverified, "no snapshot in %q can be read: %w", k.dir, errors.Join(r.Passed...))
	}
	return r, nil
}

// read reads the parts of a snapshot, all at once.
func (k *Keep) read(gen uint64, m manifest, s *Set) error {
	errs := make([]error, m.Engines)
	s.Each(func(n int, e *Engine) {
		f, err := os.Open(filepath.Join(k.path(gen), partName(n)))
		if err != nil {
			errs[n] = err
			return
		}
		defer f.Close() // it was only read
		position, err := e.Restore(f)
		if err == nil && !bytes.Equal(position, m.Position) {
			err = torn("its parts are of different moments")
		}
		errs[n] = err
	})
	if i := slices.IndexFunc(m.Parts, func(p part) bool { return p.Name == acrossName }); i >= 0 {
		f, err := os.Open(filepath.Join(k.path(gen), acrossName))
		if err != nil {
			return err
		}
		defer f.Close() // it was only read
		errs = append(errs, s.loadAcross(f))
	}
	return errors.Join(errs...)
}

// acrossName is the file of what is noted of several cards at once.
const acrossName = "across"

func partName(n int) string { return fmt.Sprintf("engine-%04d", n) }

// Saving is a snapshot of a Set that is being taken.
type Saving struct {
	k     *Keep
	s     *Set
	gen   uint64
	tmp   string
	files []*os.File
	takes []*taking
	left  sync.WaitGroup
	ready chan struct{}
	done  chan struct{}
	err   error
	pause time.Duration
	bytes int64

	finished bool // Finish was called
	position []byte
}

// Begin begins a snapshot of a set, while the set judges records. When Ready is
// closed, little is left, and Finish is to be called between two batches. The
// error has code Unavailable (the disk), Invalid (no key).
func (k *Keep) Begin(s *Set) (*Saving, error) {
	v, err := k.begin(s)
	if err != nil && ringwall.CodeOf(err) != ringwall.Invalid {
		err = ringwall.Errorf(ringwall.Unavailable, "beginning a snapshot: %w", err)
	}
	return v, err
}

func (k *Keep) begin(s *Set) (*Saving, error) {
	if err := k.clean(); err != nil {
		return nil, err
	}
	gens, err := k.list()
	if err != nil {
		return nil, err
	}
	v := &Saving{k: k, s: s, gen: 1, ready: make(chan struct{}), done: make(chan struct{})}
	if len(gens) > 0 {
		v.gen = gens[0] + 1
	}
	v.tmp = k.path(v.gen) + tmpSuffix
	if err := os.Mkdir(v.tmp, 0o700); err != nil {
		return nil, err
	}
	n := s.Workers()
	for i := range n {
		f, err := os.OpenFile(filepath.Join(v.tmp, partName(i)), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			v.remove()
			return nil, err
		}
		v.files = append(v.files, f)
	}
	v.takes = make([]*taking, n)
	v.left.Add(n)
	errs := make([]error, n)
	s.Each(func(i int, e *Engine) {
		v.takes[i], errs[i] = take(e, v.files[i], v.left.Done)
		s.shards[i].snap = v.takes[i]
	})
	if err := errors.Join(errs...); err != nil { // all of them: they have one key
		v.remove()
		return nil, err
	}
	go func() { // ends when each engine is ready, at the latest by Abort
		v.left.Wait()
		close(v.ready)
	}()
	return v, nil
}

// Ready is closed when little is left to be taken.
func (v *Saving) Ready() <-chan struct{} { return v.ready }

// Finish takes the rest after all that was submitted so far, which position
// names, and returns when the engines judge again. The disk is waited for by Done.
// saved is called before the snapshot gets its name, after the alerts of all
// records that it covers were given to Emit: it makes them durable. nil = they
// are.
func (v *Saving) Finish(position []byte, saved func() error) {
	v.finished, v.position = true, position
	records := make([]uint64, len(v.takes))
	pauses := make([]time.Duration, len(v.takes))
	errs := make([]error, len(v.takes))
	sent := v.s.sent
	v.s.Each(func(n int, e *Engine) {
		from := time.Now() // of a pause, which is no time of records
		errs[n] = v.takes[n].finish(position)
		v.s.shards[n].snap = nil
		records[n], pauses[n] = e.stats.Records, time.Since(from)
	})
	v.pause = slices.Max(pauses)
	across, err := v.s.saveAcross()
	errs = append(errs, err)
	m := manifest{Engines: len(v.takes), Position: position, Time: time.Now().UTC()}
	for _, n := range records {
		m.Records += n
	}
	go func() {
		defer close(v.done)
		if v.err = v.commit(m, across, sent, saved, errors.Join(errs...)); v.err != nil {
			v.remove()
		}
	}()
}

func (v *Saving) writeAcross(b []byte) error {
	f, err := os.OpenFile(filepath.Join(v.tmp, acrossName), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if _, err = f.Write(b); err == nil {
		err = v.k.disk.Sync(SitePart, f)
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// Abort gives a snapshot up that is not finished.
func (v *Saving) Abort() {
	v.s.Each(func(n int, _ *Engine) {
		v.takes[n].once.Do(v.takes[n].ready)
		v.takes[n].drop()
		v.s.shards[n].snap = nil
	})
	for _, t := range v.takes {
		t.written.Wait()
	}
	v.remove()
}

// commit makes a snapshot durable and gives it its name.
func (v *Saving) commit(m manifest, across []byte, sent uint64, saved func() error, err error) error {
	for i, t := range v.takes {
		t.written.Wait()
		if err == nil {
			err = t.w.err
		}
		if err == nil {
			err = v.k.disk.Sync(SitePart, v.files[i])
		}
		m.Parts = append(m.Parts, part{partName(i), t.w.bytes})
		v.bytes += t.w.bytes
	}
	for _, f := range v.files {
		if cerr := f.Close(); err == nil {
			err = cerr
		}
	}
	v.files = nil
	if across != nil && err == nil {
		err = v.writeAcross(across)
		m.Parts = append(m.Parts, part{acrossName, int64(len(across))})
		v.bytes += int64(len(across))
	}
	if err == nil {
		err = v.s.flushed(sent)
	}
	if err == nil && saved != nil {
		err = saved()
	}
	if err != nil {
		return err
	}
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	b := binary.LittleEndian.AppendUint32([]byte(manifestMagic), frameSum(0, text))
	if err := v.k.disk.Replace(SiteManifest, filepath.Join(v.tmp, manifestName), append(b, text...), 0o600); err != nil {
		return err
	}
	if err := v.k.disk.SyncDir(SiteParts, v.tmp); err != nil {
		return err
	}
	if err := os.Rename(v.tmp, v.k.path(v.gen)); err != nil {
		return err
	}
	if err := v.k.disk.SyncDir(SiteName, v.k.dir); err != nil {
		return err
	}
	return v.k.clean()
}

// Done is closed when the snapshot is durable, or never will be: see Err.
func (v *Saving) Done() <-chan struct{} { return v.done }

// Err is why the snapshot is not durable, after Done. It has code Unavailable.
func (v *Saving) Err() error {
	if v.err == nil {
		return nil
	}
	return ringwall.Errorf(ringwall.Unavailable, "taking a snapshot of usage states: %w", v.err)
}

// Position is what Finish was given: up to where the snapshot covers the input.
func (v *Saving) Position() []byte { return v.position }

// Pause is for how long engines judged nothing at the end, and Bytes what was
// written, after Done.
func (v *Saving) Pause() time.Duration { return v.pause }

// Bytes is what was written, after Done.
func (v *Saving) Bytes() int64 { return v.bytes }

// remove takes away what was begun.
func (v *Saving) remove() {
	for _, f := range v.files {
		_ = f.Close() // it is removed
	}
	v.files = nil
	if err := os.RemoveAll(v.tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return // clean does it when the next begins
	}
}
