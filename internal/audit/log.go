package audit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

const (
	// fileSize is where a file of the log ends: small enough to be read whole
	// for a query, large enough for some 30,000 entries.
	fileSize = 8 << 20
	// scanFiles bounds what one query reads; the answer's cursor goes on.
	scanFiles = 8
	// maxPage bounds one answer.
	maxPage = 500
)

// line is an Entry as it is written, one a line. The hash follows as the last
// field; it covers the bytes of the line without itself, Prev included.
type line struct {
	Seq     uint64         `json:"n"`
	Time    time.Time      `json:"t"`
	Org     ringwall.OrgID `json:"org"`
	Actor   string         `json:"actor"`
	Act     Act            `json:"act"`
	Target  string         `json:"target"`
	Allowed bool           `json:"ok"`
	Why     string         `json:"why,omitempty"`
	Reason  string         `json:"reason,omitempty"`
	Durable bool           `json:"d,omitempty"` // fsynced before the act, and everything before it too
	Prev    string         `json:"prev"`
}

// hashField opens the last field of a line; 64 hex digits and "\"}" follow.
const hashField = `,"hash":"`

// Log is the append-only, hash-chained record in a directory: files named
// after the number of their first entry. It implements Recorder. After a write
// or an fsync has failed it takes nothing more: what is on the disk is unknown
// until it is opened again.
type Log struct {
	dir string
	max int64

	mu     sync.Mutex
	f      *os.File
	size   int64
	seq    uint64 // of the last entry
	prev   string // its hash
	failed error
	closed bool
}

// Open opens the log in dir, which it makes if it is missing. The newest file
// is verified. A power cut may damage what was not fsynced, all of it behind
// the last durable entry: that is cut off, for nothing lasting was done in its
// name. Damage with a durable entry behind it is no power cut: code Unverified.
func Open(dir string) (*Log, error) { return open(dir, fileSize) }

func open(dir string, max int64) (*Log, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the audit log's directory: %w", err)
	}
	l := &Log{dir: dir, max: max, prev: strings.Repeat("0", 64)}
	files, err := l.files()
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return l, l.roll()
	}
	newest := files[len(files)-1]
	text, err := os.ReadFile(filepath.Join(dir, newest))
	if err != nil {
		return nil, fmt.Errorf("reading the audit log: %w", err)
	}
	first, _ := firstOf(newest)
	last, err := verify(text, first, "")
	whole := text[:last.bytes]
	if err != nil && durableIn(text[last.bytes:]) {
		return nil, fmt.Errorf("verifying audit log %q: %w", newest, err)
	}
	l.f, err = os.OpenFile(filepath.Join(dir, newest), os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the audit log: %w", err)
	}
	if len(whole) < len(text) {
		if err := errors.Join(l.f.Truncate(int64(len(whole))), l.f.Sync()); err != nil {
			l.f.Close()
			return nil, fmt.Errorf("cutting an unfinished entry off the audit log: %w", err)
		}
	}
	l.size, l.seq, l.prev = int64(len(whole)), first-1, last.prev
	if last.seq > 0 {
		l.seq = last.seq
	}
	if last.seq == 0 && len(files) > 1 {
		// The newest file was made and nothing reached it: the chain goes on
		// from the end of the file before.
		if err := l.chainFrom(files[len(files)-2]); err != nil {
			l.f.Close()
			return nil, err
		}
	}
	if _, err := l.f.Seek(l.size, io.SeekStart); err != nil {
		l.f.Close()
		return nil, fmt.Errorf("opening the audit log: %w", err)
	}
	return l, nil
}

func (l *Log) chainFrom(file string) error {
	text, err := os.ReadFile(filepath.Join(l.dir, file))
	if err != nil {
		return fmt.Errorf("reading the audit log: %w", err)
	}
	first, _ := firstOf(file)
	last, err := verify(text, first, "")
	if err != nil {
		return fmt.Errorf("verifying audit log %q: %w", file, err)
	}
	l.seq, l.prev = last.seq, last.prev
	return nil
}

// files lists the files of the log, oldest first.
func (l *Log) files() ([]string, error) {
	entries, err := os.ReadDir(l.dir)
	if err != nil {
		return nil, fmt.Errorf("listing the audit log: %w", err)
	}
	var names []string
	for _, e := range entries {
		if _, ok := firstOf(e.Name()); ok {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

func firstOf(name string) (uint64, bool) {
	digits, ok := strings.CutSuffix(name, ".log")
	if !ok || len(digits) != 16 {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, err == nil
}

// roll begins the next file. The caller holds mu or is alone.
func (l *Log) roll() error {
	if l.f != nil {
		if err := errors.Join(l.f.Sync(), l.f.Close()); err != nil {
			return err
		}
	}
	f, err := os.OpenFile(filepath.Join(l.dir, fmt.Sprintf("%016d.log", l.seq+1)), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("making a file of the audit log: %w", err)
	}
	d, err := os.Open(l.dir)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return errors.Join(fmt.Errorf("syncing the audit log's directory: %w", err), f.Close())
	}
	l.f, l.size = f, 0
	return nil
}

// Record implements Recorder.
func (l *Log) Record(_ context.Context, e Entry, durable bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return ringwall.Errorf(ringwall.Unavailable, "the audit log is closed")
	case l.failed != nil:
		return l.failed
	}
	if l.size >= l.max {
		if err := l.roll(); err != nil {
			return l.fail(err)
		}
	}
	text, hash, err := encode(line{
		Seq: l.seq + 1, Time: e.Time, Org: e.Org, Actor: e.Actor, Act: e.Act, Target: e.Target, Allowed: e.Allowed, Why: e.Why, Reason: e.Reason, Durable: durable, Prev: l.prev,
	})
	if err != nil {
		return fmt.Errorf("encoding an audit entry: %w", err)
	}
	if _, err := l.f.Write(text); err != nil {
		return l.fail(err)
	}
	l.size += int64(len(text))
	l.seq++
	l.prev = hash
	if durable {
		if err := l.f.Sync(); err != nil {
			return l.fail(err)
		}
	}
	return nil
}

func (l *Log) fail(err error) error {
	l.failed = ringwall.Errorf(ringwall.Unavailable, "the audit log has failed and must be opened again: %w", err)
	return l.failed
}

// Close makes everything durable and closes the files.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	return errors.Join(l.f.Sync(), l.f.Close())
}

func encode(n line) (text []byte, hash string, err error) {
	body, err := json.Marshal(n)
	if err != nil {
		return nil, "", err
	}
	sum := sha256.Sum256(body)
	hash = hex.EncodeToString(sum[:])
	text = append(body[:len(body)-1], hashField...)
	text = append(text, hash...)
	return append(text, "\"}\n"...), hash, nil
}

// decode checks one line's own hash and reads it.
func decode(text []byte) (n line, hash string, err error) {
	tail := len(hashField) + 64 + len(`"}`)
	if len(text) < tail+2 || !bytes.HasPrefix(text[len(text)-tail:], []byte(hashField)) || !bytes.HasSuffix(text, []byte(`"}`)) {
		return line{}, "", ringwall.Errorf(ringwall.Unverified, "an audit entry carries no hash")
	}
	body := append(bytes.Clone(text[:len(text)-tail]), '}')
	hash = string(text[len(text)-66 : len(text)-2])
	sum := sha256.Sum256(body)
	if hex.EncodeToString(sum[:]) != hash {
		return line{}, "", ringwall.Errorf(ringwall.Unverified, "the hash of an audit entry does not hold")
	}
	if err := json.Unmarshal(body, &n); err != nil {
		return line{}, "", ringwall.Errorf(ringwall.Unverified, "an audit entry cannot be read: %w", err)
	}
	return n, hash, nil
}

// durableIn reports whether an intact durable entry stands in text.
func durableIn(text []byte) bool {
	for l := range bytes.Lines(text) {
		if n, _, err := decode(bytes.TrimSuffix(l, []byte("\n"))); err == nil && n.Durable {
			return true
		}
	}
	return false
}

// end is where a chain stands: the number and hash of its last entry, and how
// many bytes of the file are sound.
type end struct {
	seq   uint64
	prev  string
	bytes int
}

// verify walks the entries of one file, and on an error tells how far it was
// sound. prev is the hash that its first entry
// must carry; "" when the file before is not at hand.
func verify(text []byte, first uint64, prev string) (end, error) {
	at := end{prev: strings.Repeat("0", 64)}
	want := first
	for l := range bytes.Lines(text) {
		body, whole := bytes.CutSuffix(l, []byte("\n"))
		if !whole {
			return at, ringwall.Errorf(ringwall.Unverified, "entry %d is cut short", want)
		}
		n, hash, err := decode(body)
		switch {
		case err != nil:
			return at, fmt.Errorf("entry %d: %w", want, err)
		case n.Seq != want:
			return at, ringwall.Errorf(ringwall.Unverified, "entry %d stands where %d should", n.Seq, want)
		case prev != "" && n.Prev != prev:
			return at, ringwall.Errorf(ringwall.Unverified, "entry %d does not follow the one before it", n.Seq)
		}
		at, prev = end{n.Seq, hash, at.bytes + len(l)}, hash
		want++
	}
	return at, nil
}

// Verify walks the whole chain, all files, from the first entry, and returns
// how many there are. Codes: Unverified when it does not hold.
func (l *Log) Verify() (uint64, error) {
	l.mu.Lock()
	seq := l.seq
	l.mu.Unlock()
	files, err := l.files()
	if err != nil {
		return 0, err
	}
	at := end{prev: strings.Repeat("0", 64)}
	for _, name := range files {
		text, err := os.ReadFile(filepath.Join(l.dir, name))
		if err != nil {
			return 0, fmt.Errorf("reading the audit log: %w", err)
		}
		text = text[:bytes.LastIndexByte(text, '\n')+1] // an entry may be under way
		if len(text) == 0 {
			continue
		}
		if at, err = verify(text, at.seq+1, at.prev); err != nil {
			return 0, fmt.Errorf("verifying audit log %q: %w", name, err)
		}
	}
	if at.seq < seq {
		return 0, ringwall.Errorf(ringwall.Unverified, "the audit log ends at entry %d, and %d were written", at.seq, seq)
	}
	return at.seq, nil
}

// Entries returns the newest entries of the scope's organisation first, from
// cursor on ("" = the newest). A page may hold fewer than limit entries, even
// none, and still have a next one: a query reads a bounded part of the log.
// Codes: Forbidden without AuditRead, Invalid for a cursor that is none.
func (l *Log) Entries(_ context.Context, scope Scope, cursor string, limit int) (api.Page[api.AuditEntry], error) {
	page := api.Page[api.AuditEntry]{Items: []api.AuditEntry{}}
	if !scope.Permits(AuditRead) || scope.Org() == "" {
		return page, ringwall.Errorf(ringwall.Forbidden, "reading the audit log needs a scope for it")
	}
	if limit <= 0 || limit > maxPage {
		limit = maxPage
	}
	before := ^uint64(0)
	if cursor != "" {
		var err error
		if before, err = strconv.ParseUint(cursor, 10, 64); err != nil {
			return page, ringwall.Errorf(ringwall.Invalid, "cursor %.20q is none of this list", cursor)
		}
	}
	files, err := l.files()
	if err != nil {
		return page, err
	}
	read := 0
	for _, name := range slices.Backward(files) {
		first, _ := firstOf(name)
		if first >= before {
			continue
		}
		if read++; read > scanFiles {
			page.Next = strconv.FormatUint(before, 10)
			return page, nil
		}
		text, err := os.ReadFile(filepath.Join(l.dir, name))
		if err != nil {
			return page, fmt.Errorf("reading the audit log: %w", err)
		}
		lines := slices.Collect(bytes.Lines(text))
		for _, raw := range slices.Backward(lines) {
			if !bytes.HasSuffix(raw, []byte("\n")) {
				continue // being written
			}
			n, _, err := decode(raw[:len(raw)-1])
			if err != nil {
				return page, err
			}
			if n.Seq >= before {
				continue
			}
			if len(page.Items) == limit {
				page.Next = strconv.FormatUint(before, 10)
				return page, nil
			}
			before = n.Seq
			if n.Org == scope.Org() {
				page.Items = append(page.Items, api.AuditEntry{
					Time: n.Time, Actor: n.Actor, Act: string(n.Act), Target: n.Target, Allowed: n.Allowed, Why: n.Why, Reason: n.Reason,
				})
			}
		}
	}
	return page, nil
}
