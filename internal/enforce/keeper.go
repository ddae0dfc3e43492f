package enforce

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/durable"
)

// The sites of the keeper's fsyncs; those of WriteFile end in /file and /dir.
const (
	SiteMkdir   durable.Site = "enforce/mkdir"
	SiteOpen    durable.Site = "enforce/open"
	SiteDesired durable.Site = "enforce/desired"
	SiteHolds   durable.Site = "enforce/holds"
	SitePhase   durable.Site = "enforce/phase"
)

const (
	desiredFile = "desired.json"
	holdsFile   = "holds.json"
	markerFile  = "enforce.json"
)

// Config says whose state it is.
type Config struct {
	Org     ringwall.OrgID
	Gateway ringwall.GatewayID
	Keys    map[string]ed25519.PublicKey // that may sign a desired state, by id
	Now     func() time.Time             // nil means time.Now
	Mono    func() time.Duration         // nil means the time since the keeper was opened
	Disk    *durable.Disk                // for tests; nil is the real disk
}

// Keeper is the durable state of the running gateway.
type Keeper struct {
	dir string
	cfg Config

	mu     sync.Mutex
	state  *State
	seen   time.Time // the wall clock when the holds were last written
	failed error
}

// onDisk is the form of the holds file.
type onDisk struct {
	Version  int                           `json:"version"`
	Seen     time.Time                     `json:"seen"` // the wall clock when it was written
	Holds    []heldOnDisk                  `json:"holds"`
	Released map[ringwall.HoldID]time.Time `json:"released"`
}

type heldOnDisk struct {
	api.Hold
	Left   time.Duration `json:"leftNs,omitempty"` // to serve when it was written; 0 = until released
	Untold bool          `json:"untold,omitempty"`
}

// implausible is how far the clock may have moved while the gateway was off.
const implausible = 2 * 366 * 24 * time.Hour

// OpenKeeper reads the state in dir, or begins with none. Faults lists what
// could not be read, for the log: the state is then as the package says, and
// the gateway must go on with it. An error means that the disk does not work.
func OpenKeeper(dir string, cfg Config) (k *Keeper, faults []error, err error) {
	if err := begin(dir, cfg.Disk); err != nil {
		return nil, nil, fmt.Errorf("opening enforcement state: %w", err)
	}
	k, faults = read(dir, cfg)
	return k, faults, nil
}

// read reads the files; what cannot be read is in faults.
func read(dir string, cfg Config) (k *Keeper, faults []error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Mono == nil {
		start := time.Now()
		cfg.Mono = func() time.Duration { return time.Since(start) }
	}
	k = &Keeper{dir: dir, cfg: cfg, state: New(cfg.Org, cfg.Gateway)}
	if err := k.readDesired(); err != nil {
		faults = append(faults, err)
	}
	if err := k.readHolds(); err != nil {
		k.state.Unsure = true
		faults = append(faults, err)
	}
	// The document may have been written without the holds file that goes with
	// it: what it says of holds and releases is taken again.
	if k.state.newest.Generation > 0 {
		unsure := k.state.Unsure
		k.state.accept(k.state.signed, k.state.newest, k.clock())
		k.state.Unsure = unsure
	}
	return k, faults
}

// begin makes the directory, and makes durable the names in it that a killed
// program has left behind: what is acted on must not be gone after the next
// power cut.
func begin(dir string, disk *durable.Disk) error {
	marker := filepath.Join(dir, markerFile)
	if _, err := os.Stat(marker); errors.Is(err, os.ErrNotExist) {
		if err := disk.MkdirAll(SiteMkdir, dir, 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(marker, nil, 0o600); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	return disk.SyncDir(SiteOpen, dir)
}

func (k *Keeper) readDesired() error {
	b, err := os.ReadFile(filepath.Join(k.dir, desiredFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the last desired state: %w", err)
	}
	var f stateOnDisk
	if err := json.Unmarshal(b, &f); err != nil {
		return ringwall.Errorf(ringwall.Invalid, "reading the last desired state: %w", err)
	}
	st := k.state
	var fault error
	if len(f.Payload) > 0 || f.Candidate == nil {
		d, err := st.Verify(f.Signed, k.cfg.Keys)
		switch {
		case err == nil:
			p, err := pack(f.Signed)
			if err != nil {
				return fmt.Errorf("reading the last desired state: %w", err)
			}
			st.newest, st.Desired, st.signed, st.phase = d, d, p, Confirmed
		case f.Candidate == nil:
			return fmt.Errorf("reading the last desired state: %w", err)
		default:
			fault = fmt.Errorf("reading the last confirmed desired state: %w", err)
		}
	}
	if f.Candidate == nil {
		return nil
	}
	d, err := st.Verify(*f.Candidate, k.cfg.Keys)
	if err != nil {
		// What it has taken away is not known: nothing is in force.
		*st = *New(st.Org, st.Gateway)
		return errors.Join(fault, fmt.Errorf("reading the last desired state: %w", err))
	}
	p, err := pack(*f.Candidate)
	if err != nil {
		return errors.Join(fault, fmt.Errorf("reading the last desired state: %w", err))
	}
	st.adopt(p, d)
	if f.Phase == RolledBack {
		st.Rollback()
	}
	return fault
}

func (k *Keeper) readHolds() error {
	b, err := os.ReadFile(filepath.Join(k.dir, holdsFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the holds: %w", err)
	}
	var f onDisk
	if err := json.Unmarshal(b, &f); err != nil || f.Version != 1 {
		return ringwall.Errorf(ringwall.Invalid, "the file of the holds cannot be read (version %d): %w", f.Version, err)
	}
	now := k.clock()
	k.seen = f.Seen
	off := now.Wall.Sub(f.Seen)
	if off < 0 || off > implausible {
		off = 0
	}
	for _, h := range f.Holds {
		e := held{Hold: h.Hold, untold: h.Untold}
		if h.Left > 0 {
			// What was served while the gateway was off is lifted by Expire, and reported.
			e.until = now.Mono + max(h.Left-off, 1)
		}
		k.state.holds[h.ID] = e
	}
	k.state.released = f.Released
	if k.state.released == nil {
		k.state.released = map[ringwall.HoldID]time.Time{}
	}
	return nil
}

func (k *Keeper) clock() Clock { return Clock{Wall: k.cfg.Now(), Mono: k.cfg.Mono()} }

// writeHolds makes the holds durable. After a failure the keeper does not
// write again, see package durable; what is in memory is still enforced.
func (k *Keeper) writeHolds() error {
	if k.failed != nil {
		return k.failed
	}
	now := k.clock()
	f := onDisk{Version: 1, Seen: now.Wall, Holds: []heldOnDisk{}, Released: k.state.released}
	for _, h := range k.state.holds {
		e := heldOnDisk{Hold: h.Hold, Untold: h.untold}
		if h.until > 0 {
			e.Left = max(h.until-now.Mono, 1)
		}
		f.Holds = append(f.Holds, e)
	}
	b, err := json.Marshal(f)
	if err != nil {
		return err
	}
	return k.check(k.cfg.Disk.WriteFile(SiteHolds, filepath.Join(k.dir, holdsFile), b, 0o600))
}

func (k *Keeper) check(err error) error {
	if err != nil {
		k.failed = ringwall.Errorf(ringwall.Unavailable, "keeping enforcement state: %w", err)
		return k.failed
	}
	return nil
}

// Verified is a document whose signature and form hold.
type Verified struct {
	signed  api.Signed
	desired api.Desired
	known   bool
}

// Desired returns the document. Nobody changes it.
func (v Verified) Desired() api.Desired { return v.desired }

// Known reports whether it was the newest document already, and nothing of what
// it says of holds is missing: to take it again changes nothing.
func (v Verified) Known() bool { return v.known }

// Verify checks a signed desired state against the one in force, see
// State.Verify.
func (k *Keeper) Verify(signed api.Signed) (Verified, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	known := k.state.has(signed)
	d, err := k.state.Verify(signed, k.cfg.Keys)
	if err != nil {
		return Verified{}, err
	}
	return Verified{signed: signed, desired: d, known: known && !k.state.Unsure && k.failed == nil}, nil
}

// After returns what would be in force if a verified document were accepted. Its
// Version is that of the holds that this stands on.
func (k *Keeper) After(v Verified) View {
	k.mu.Lock()
	defer k.mu.Unlock()
	then := k.state.clone()
	then.accept(packed{}, v.desired, k.clock())
	return k.viewAfter(then)
}

// viewAfter returns the view of what may become of the state. The caller holds mu.
func (k *Keeper) viewAfter(then *State) View {
	v := k.view(then)
	v.Version = k.state.version
	return v
}

// Accept verifies a signed desired state and makes it durable, then takes it.
// It returns the holds that it lifted.
func (k *Keeper) Accept(signed api.Signed) ([]Lifted, error) {
	v, err := k.Verify(signed)
	if err != nil {
		return nil, err
	}
	return k.Take(v)
}

// Take makes a verified document durable, then takes it, unless a newer one came
// since it was verified. It returns the holds that it lifted.
func (k *Keeper) Take(v Verified) ([]Lifted, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.state.follows(v.signed, v.desired); err != nil {
		return nil, err
	}
	if k.failed != nil {
		return nil, k.failed
	}
	// First the document: its releases and holds are taken again when it is
	// read, so a cut between the two files loses nothing. Writing the holds also
	// makes the new name of the document durable.
	then := k.state.clone()
	lifted, err := then.Accept(v.signed, v.desired, k.clock())
	if err != nil {
		return nil, err
	}
	b, err := then.onDisk()
	if err != nil {
		return nil, err
	}
	if err := k.check(k.cfg.Disk.Replace(SiteDesired, filepath.Join(k.dir, desiredFile), b, 0o600)); err != nil {
		return nil, err
	}
	k.state = then
	return lifted, k.writeHolds()
}

// writeDesired makes the documents and their phase durable; the holds stay as
// they are.
func (k *Keeper) writeDesired() error {
	if k.failed != nil {
		return k.failed
	}
	b, err := k.state.onDisk()
	if err != nil {
		return err
	}
	return k.check(k.cfg.Disk.WriteFile(SitePhase, filepath.Join(k.dir, desiredFile), b, 0o600))
}

// React decides on an alert and, if a reflex acts, makes its hold durable and
// puts it in force. The hold is in force in memory even when the disk fails:
// the error then says so, and ok is true.
func (k *Keeper) React(a ringwall.Alert) (h api.Hold, ok bool, why string, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.clock()
	h, ok, why = k.state.React(a, now)
	if !ok {
		return h, false, why, nil
	}
	k.state.Hold(h, now)
	e := k.state.holds[h.ID]
	e.untold = true
	k.state.holds[h.ID] = e
	return h, true, "", k.writeHolds()
}

// Untold returns the holds that React has made and that were not reported before
// the program ended: its successor reports them.
func (k *Keeper) Untold() (out []api.Hold) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, h := range k.state.holds {
		if h.untold {
			out = append(out, h.Hold)
		}
	}
	slices.SortFunc(out, func(a, b api.Hold) int { return cmpID(a.ID, b.ID) })
	return out
}

// Told notes that a hold of React's was reported.
func (k *Keeper) Told(id ringwall.HoldID) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	h, ok := k.state.holds[id]
	if !ok || !h.untold {
		return nil
	}
	h.untold = false
	k.state.holds[id] = h
	return k.writeHolds()
}

// Expire lifts the holds that have been served and makes that durable.
func (k *Keeper) Expire() ([]Lifted, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	lifted := k.state.Expire(k.clock())
	if lifted == nil {
		return nil, nil
	}
	return lifted, k.writeHolds()
}

// NextExpiry returns how long until a hold will have been served.
func (k *Keeper) NextExpiry() (time.Duration, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.state.NextExpiry(k.clock())
}

// View is what is in force at one moment. Nobody changes it.
type View struct {
	Desired api.Desired
	Holds   []api.Hold
	Version uint64 // of the holds and the phase
	Unsure  bool
	// Newest is the generation of the newest document, which is not in force when
	// Phase is RolledBack; 0 when there is none.
	Newest uint64
	Phase  Phase
	// Issued is when the newest document was.
	Issued time.Time
	// Within is how long the newest document waits for its confirmation.
	Within time.Duration
	// Resolver is that of the newest document, Before that of the one confirmed
	// before it.
	Resolver, Before netip.AddrPort
}

// View returns what is in force now.
func (k *Keeper) View() View {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.view(k.state)
}

func (k *Keeper) view(s *State) View {
	return View{
		Desired: s.Desired, Holds: s.Holds(k.clock()), Version: s.version, Unsure: s.Unsure,
		Newest: s.newest.Generation, Phase: s.phase, Within: ConfirmWithin(s.newest), Issued: s.newest.Issued,
		Resolver: s.newest.Resolver, Before: s.confirmed.Resolver,
	}
}

// InForce returns the restriction on each device that has one.
func (k *Keeper) InForce() map[ringwall.DeviceID]ringwall.Restriction {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.state.InForce(k.clock())
}

// Device returns the policy of a device of the desired state.
func (k *Keeper) Device(id ringwall.DeviceID) (api.DevicePolicy, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.state.Device(id)
}

// Have returns the generation to ask the platform after: 0 while it is not
// known which holds are in force, so that it sends the document again.
func (k *Keeper) Have() uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.state.Unsure {
		return 0
	}
	return k.state.newest.Generation
}

// Floor returns the latest time that a document or the disk bears: it cannot be
// earlier now.
func (k *Keeper) Floor() time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	t := k.seen
	if i := k.state.newest.Issued; i.After(t) {
		t = i
	}
	return t
}

// Clock reads both clocks.
func (k *Keeper) Clock() Clock { return k.clock() }

// Ahead returns how far in the future of this gateway's clock the desired
// state was issued; 0 when it was not.
func (k *Keeper) Ahead() time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	return max(0, k.state.newest.Issued.Sub(k.cfg.Now()))
}

// ReadKeeper reads what would be in force in dir and changes nothing; it works
// beside a Keeper that is open.
func ReadKeeper(dir string, cfg Config) (v View, faults []error) {
	k, faults := read(dir, cfg)
	return k.View(), faults
}
