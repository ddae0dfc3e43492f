package enforce

import (
	"encoding/json"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// Phase says how far a document has come.
type Phase string

// Phases. The empty one is that of a gateway that has no document.
const (
	// Confirmed: the platform was heard while the document was in force.
	Confirmed Phase = "confirmed"
	// Trial: it is in force and not confirmed yet.
	Trial Phase = "trial"
	// RolledBack: it was not confirmed in time; what both it and the one before
	// allow is in force, see Fallback.
	RolledBack Phase = "rolled-back"
)

// DefaultConfirm is how long a document waits for its confirmation when it does
// not say so itself; MinConfirm and MaxConfirm bound what it may say.
const (
	DefaultConfirm = 30 * time.Second
	MinConfirm     = time.Second
	MaxConfirm     = 24 * time.Hour
)

// ConfirmWithin returns how long the gateway waits for d to be confirmed.
func ConfirmWithin(d api.Desired) time.Duration {
	if d.Confirm <= 0 {
		return DefaultConfirm
	}
	return min(max(time.Duration(d.Confirm), MinConfirm), MaxConfirm)
}

// Phase returns how far the newest document has come.
func (s *State) Phase() Phase { return s.phase }

// Newest returns the newest document that was accepted, in force or not.
func (s *State) Newest() api.Desired { return s.newest }

// adopt makes d the newest document. One that is new is on trial; the one that
// was confirmed last stays at hand. The same again changes nothing.
func (s *State) adopt(signed packed, d api.Desired) {
	if s.newest.Generation == d.Generation && s.newest.Generation > 0 {
		return
	}
	if s.phase == Confirmed {
		s.confirmed, s.confirmedSigned = s.newest, s.signed
	}
	s.newest, s.signed, s.Desired, s.phase = d, signed, d, Trial
}

// Confirm ends the trial of the newest document if it has this generation, and
// reports whether that changed anything.
func (s *State) Confirm(generation uint64) bool {
	if s.phase != Trial || s.newest.Generation != generation {
		return false
	}
	s.phase, s.confirmed, s.confirmedSigned = Confirmed, api.Desired{}, packed{}
	s.version++
	return true
}

// Rollback ends the trial of a document that was not confirmed: what both it and
// the last confirmed one allow is in force from then on.
func (s *State) Rollback() bool {
	if s.phase != Trial {
		return false
	}
	s.phase, s.Desired = RolledBack, s.fallback()
	s.version++
	return true
}

// Retry puts a document that was rolled back on trial again.
func (s *State) Retry() bool {
	if s.phase != RolledBack {
		return false
	}
	s.phase, s.Desired = Trial, s.newest
	s.version++
	return true
}

// fallback is what is in force when the newest document is rolled back. Before
// the first document there was the closed gateway, and that is what it goes
// back to.
func (s *State) fallback() api.Desired {
	if s.confirmed.Generation == 0 {
		return api.Desired{Version: s.newest.Version, Org: s.Org, Gateway: s.Gateway, Issued: s.newest.Issued, Arrival: ringwall.Enforce}
	}
	return Fallback(s.confirmed, s.newest)
}

// stateOnDisk is the form of the file of documents. The last confirmed one
// stands where an agent of before this file had two looks for its only one.
type stateOnDisk struct {
	api.Signed
	Candidate *api.Signed `json:"candidate,omitempty"`
	Phase     Phase       `json:"phase,omitempty"` // of the candidate
}

func (s *State) onDisk() ([]byte, error) {
	newest, err := s.signed.unpack()
	if err != nil {
		return nil, err
	}
	if s.phase == Confirmed {
		return json.Marshal(stateOnDisk{Signed: newest})
	}
	confirmed, err := s.confirmedSigned.unpack()
	if err != nil {
		return nil, err
	}
	return json.Marshal(stateOnDisk{Signed: confirmed, Candidate: &newest, Phase: s.phase})
}

// Confirm makes it durable that the platform was heard while the newest
// document, of this generation, was in force. It reports whether the document was
// on trial until now.
func (k *Keeper) Confirm(generation uint64) (bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.state.Confirm(generation) {
		return false, nil
	}
	return true, k.writeDesired()
}

// Fallback returns what would be in force if the newest document were rolled
// back, with the version of the holds that this stands on; ok is false when it
// is not on trial.
func (k *Keeper) Fallback() (v View, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	then := k.state.clone()
	if !then.Rollback() {
		return View{}, false
	}
	return k.viewAfter(then), true
}

// Rollback takes what Fallback returned, in memory whatever the disk does: the
// kernel has it by then. Should the power go before it is durable, the next
// start tries the document anew.
func (k *Keeper) Rollback() (bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.state.Rollback() {
		return false, nil
	}
	return true, k.writeDesired()
}

// Retry puts a document that was rolled back on trial again, durably: the caller
// puts it into the kernel next.
func (k *Keeper) Retry() (bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.failed != nil {
		return false, k.failed
	}
	if !k.state.Retry() {
		return false, nil
	}
	return true, k.writeDesired()
}
