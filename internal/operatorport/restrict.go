package operatorport

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// The protocol of restrictions:
//
//	POST /v1/sim/restrict  {"iccid": "...", "imsi": "...", "restriction": {...}, "until": "RFC 3339", "reason": "..."}   Idempotency-Key: restricted:rsp_...
//
// restriction is an api.SIMRestriction, or null, which takes ours away (the key is
// then "released:" and the id). A card has at most one; it stands beside whether
// the card is suspended. until, where it is given, is when the operator ends it by
// itself. The answer names the card and repeats what is in force:
//
//	{"iccid": "...", "imsi": "...", "restriction": {...}, "until": "...", "state": "done|pending"}
//
// It counts when it says "done" and what was asked for. An operator that does not
// speak of restrictions answers 404, 405 or 501 with no problem of its own.
const pathRestrict = "/v1/sim/restrict"

type restriction struct {
	ICCID       string              `json:"iccid,omitempty"`
	IMSI        string              `json:"imsi,omitempty"`
	Restriction *api.SIMRestriction `json:"restriction"`
	Until       time.Time           `json:"until,omitzero"`
	Reason      string              `json:"reason,omitempty"`
	State       string              `json:"state,omitempty"`
}

// States of a restriction in an answer.
const (
	restrictDone    = "done"
	restrictPending = "pending"
)

// ErrNoRestrictions tells that an operator does not speak of restrictions at all.
var ErrNoRestrictions = &ringwall.Error{Code: ringwall.Conflict, Text: "the operator takes no restrictions: only suspending is left"}

// CheckRestriction returns an Invalid error when nobody could do as r says.
func CheckRestriction(r *api.SIMRestriction) error {
	switch {
	case r == nil || r.Rate == 0 && len(r.Services) == 0 && len(r.APNs) == 0:
		return ringwall.Errorf(ringwall.Invalid, "a restriction has a rate, services that are switched off, or access points")
	case r.Rate > 0 && r.Rate < 1000:
		return ringwall.Errorf(ringwall.Invalid, "a rate of %d bit/s is below 1000: switch the service off", r.Rate)
	case len(r.APNs) > 20 || len(r.Services) > 3:
		return ringwall.Errorf(ringwall.Invalid, "a restriction has at most 3 services and 20 access points")
	}
	for _, s := range r.Services {
		if s != "data" && s != "sms" && s != "voice" {
			return ringwall.Errorf(ringwall.Invalid, "service %.20q is none of data, sms, voice", s)
		}
	}
	for _, a := range r.APNs {
		if a == "" || len(a) > 100 {
			return ringwall.Errorf(ringwall.Invalid, "an access point's name has %d bytes, want 1 to 100", len(a))
		}
	}
	return nil
}

// Restrict asks that a card be reduced to r until a time (zero = until it is
// lifted); nil lifts what was asked before. It returns nil when the operator
// says that this is in force. Codes as those of Suspend; ErrNoRestrictions when
// the operator knows none.
func (c *Client) Restrict(ctx context.Context, card Card, r *api.SIMRestriction, until time.Time, reason string, idem ringwall.ResponseID) error {
	if err := card.Validate(); err != nil {
		return err
	}
	if r != nil {
		if err := CheckRestriction(r); err != nil {
			return err
		}
	}
	if idem == "" || len(idem) > maxKey/2 {
		return ringwall.Errorf(ringwall.Invalid, "idempotency key has %d bytes, want 1 to %d", len(idem), maxKey/2)
	}
	key := "restricted:" + string(idem)
	if r == nil {
		key = "released:" + string(idem)
	}
	body, err := json.Marshal(restriction{ICCID: card.ICCID.Reveal(), IMSI: card.IMSI.Reveal(), Restriction: r, Until: until, Reason: cut(reason)})
	if err != nil {
		return ringwall.Errorf(ringwall.Internal, "writing the request to the operator: %w", err)
	}
	pause := c.c.Pause
	for try := 1; ; try++ {
		after, err := c.restrictOnce(ctx, card, r, body, key)
		if err == nil || ringwall.CodeOf(err) != ringwall.Unavailable {
			return err
		}
		if try >= c.c.Tries {
			return fmt.Errorf("asking the operator %d times: %w", try, err)
		}
		timer := time.NewTimer(min(max(pause, after), MaxPause))
		select {
		case <-ctx.Done():
			timer.Stop()
			return ringwall.Errorf(ringwall.Unavailable, "the operator was not reached in time: %w", err)
		case <-timer.C:
		}
		pause *= 2
	}
}

func (c *Client) restrictOnce(ctx context.Context, card Card, want *api.SIMRestriction, body []byte, key string) (after time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base.JoinPath(pathRestrict).String(), bytes.NewReader(body))
	if err != nil {
		return 0, ringwall.Errorf(ringwall.Internal, "making the request to the operator: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+c.c.Token)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, application/problem+json")
	req.Header.Set("Idempotency-Key", key)
	res, err := c.http.Do(req)
	if err != nil {
		return 0, ringwall.Errorf(ringwall.Unavailable, "the operator does not answer: %w", err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxBody+1))
	if err != nil || len(text) > maxBody {
		return 0, ringwall.Errorf(ringwall.Unavailable, "the operator's answer broke off or is over %d bytes", maxBody)
	}
	after = retryAfter(res.Header)
	if s := res.StatusCode; (s == http.StatusNotFound || s == http.StatusNotImplemented || s == http.StatusMethodNotAllowed) && !isProblem(res, text) {
		return 0, ErrNoRestrictions
	}
	if res.StatusCode != http.StatusOK && res.StatusCode != http.StatusAccepted {
		return after, refusal(res, text)
	}
	var a restriction
	if err := json.Unmarshal(text, &a); err != nil {
		return after, ringwall.Errorf(ringwall.Unavailable, "the operator's answer cannot be read: %w", err)
	}
	switch {
	case !same(card, Card{ICCID: ringwall.ICCID(a.ICCID), IMSI: ringwall.IMSI(a.IMSI)}):
		return after, ringwall.Errorf(ringwall.Unavailable, "the operator answered for another card")
	case a.State != restrictDone:
		return after, ringwall.Errorf(ringwall.Unavailable, "the operator took the request, and has not done it yet")
	case !SameRestriction(a.Restriction, want):
		return after, ringwall.Errorf(ringwall.Unavailable, "the operator took the request, and another restriction is in force")
	}
	return after, nil
}

// SameRestriction reports whether a and b reduce a card to the same.
func SameRestriction(a, b *api.SIMRestriction) bool {
	if a == nil || b == nil {
		return a == b
	}
	sorted := func(s []string) []string { s = slices.Clone(s); slices.Sort(s); return slices.Compact(s) }
	return a.Rate == b.Rate && slices.Equal(sorted(a.Services), sorted(b.Services)) && slices.Equal(sorted(a.APNs), sorted(b.APNs))
}

// RestrictStore is a Store that reduces cards.
type RestrictStore interface {
	// Restrict puts r in force for the card until a time (zero = until it is lifted),
	// nil lifts it; it returns the card and what is in force. The same key with the
	// same request does nothing again; with another it is a Conflict. An error with
	// code Unavailable says that it is taken and not done yet.
	Restrict(ctx context.Context, card Card, r *api.SIMRestriction, until time.Time, reason, key string) (Card, *api.SIMRestriction, error)
}

// restrict serves pathRestrict for a store that reduces cards.
func (h *handler) restrict(store RestrictStore) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		out, err := h.restrictCard(w, r, store)
		if err != nil {
			h.fail(w, r, err)
			return
		}
		h.c.Log.Info("operator request", "path", r.URL.Path, "card", ringwall.ICCID(out.ICCID), "imsi", ringwall.IMSI(out.IMSI))
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(out); err != nil {
			h.c.Log.Debug("writing the answer", "err", err)
		}
	}
}

func (h *handler) restrictCard(w http.ResponseWriter, r *http.Request, store RestrictStore) (out restriction, err error) {
	if !h.admits(r) {
		return out, ringwall.Errorf(ringwall.Forbidden, "no token, or a wrong one")
	}
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return out, ringwall.Errorf(ringwall.Invalid, "the request broke off or is over %d bytes: %w", maxBody, err)
	}
	var q restriction
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields() // a bound that nobody knows would not be in force
	if err := d.Decode(&q); err != nil {
		return out, ringwall.Errorf(ringwall.Invalid, "the request is not the JSON that is wanted: %w", err)
	}
	card := Card{ICCID: ringwall.ICCID(q.ICCID), IMSI: ringwall.IMSI(q.IMSI)}
	if err := card.Validate(); err != nil {
		return out, err
	}
	if q.Restriction != nil {
		if err := CheckRestriction(q.Restriction); err != nil {
			return out, err
		}
	}
	key := r.Header.Get("Idempotency-Key")
	if key == "" || len(key) > maxKey {
		return out, ringwall.Errorf(ringwall.Invalid, "the header Idempotency-Key has %d bytes, want 1 to %d", len(key), maxKey)
	}
	if len(q.Reason) > maxReason {
		return out, ringwall.Errorf(ringwall.Invalid, "the reason has %d bytes, want at most %d", len(q.Reason), maxReason)
	}
	got, in, err := store.Restrict(r.Context(), card, q.Restriction, q.Until, q.Reason, key)
	if err != nil {
		return out, err
	}
	return restriction{ICCID: got.ICCID.Reveal(), IMSI: got.IMSI.Reveal(), Restriction: in, Until: q.Until, State: restrictDone}, nil
}

// reduced is what a card of a MemStore is reduced to.
type reduced struct {
	to    api.SIMRestriction
	until time.Time
}

// Restrict is of RestrictStore.
func (s *MemStore) Restrict(_ context.Context, card Card, r *api.SIMRestriction, until time.Time, _, key string) (Card, *api.SIMRestriction, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := s.find(card)
	if err != nil {
		return Card{}, nil, err
	}
	text, err := json.Marshal(r)
	if err != nil {
		return Card{}, nil, ringwall.Errorf(ringwall.Internal, "writing a restriction: %w", err)
	}
	was := string(st.Card.ICCID) + string(text)
	if had, again := s.configured[key]; again {
		if had != was {
			return Card{}, nil, ringwall.Errorf(ringwall.Conflict, "the key was used for something else")
		}
		return st.Card, r, nil // done already, whatever came after it
	}
	if len(s.configured) >= maxKeys {
		clear(s.configured)
	}
	s.configured[key] = was
	if r == nil {
		delete(s.reduced, st.Card.ICCID)
	} else {
		s.reduced[st.Card.ICCID] = reduced{*r, until}
	}
	return st.Card, r, nil
}

// Restriction returns what a card is reduced to now; nil when it is not.
func (s *MemStore) Restriction(iccid ringwall.ICCID) *api.SIMRestriction {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.reduced[iccid]
	if !ok || !r.until.IsZero() && !s.now().Before(r.until) {
		return nil
	}
	return &r.to
}
