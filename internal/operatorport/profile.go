package operatorport

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// The protocol of function profiles:
//
//	POST /v1/sim/profile   {"iccid": "...", "imsi": "...", "settings": {...}}   Idempotency-Key: profile:sim_...:N
//
// settings is an api.OperatorSettings, or null, which takes every setting of ours
// away. The answer names the card and repeats the settings that are in force; it
// counts when they are those that were asked for. An operator that does not speak
// of profiles answers 404 or 501 with no problem of its own.
const pathProfile = "/v1/sim/profile"

type profileRequest struct {
	ICCID    string                `json:"iccid,omitempty"`
	IMSI     string                `json:"imsi,omitempty"`
	Settings *api.OperatorSettings `json:"settings"`
}

// ErrNoProfiles tells that an operator does not speak of profiles at all.
var ErrNoProfiles = &ringwall.Error{Code: ringwall.Conflict, Text: "the operator does not take function profiles"}

// Configure asks that a card may be used as settings say and no otherwise; nil
// takes our settings away. Codes: as those of Suspend; ErrNoProfiles when the
// operator knows no profiles.
func (c *Client) Configure(ctx context.Context, card Card, settings *api.OperatorSettings, key string) error {
	if err := card.Validate(); err != nil {
		return err
	}
	if key == "" || len(key) > maxKey {
		return ringwall.Errorf(ringwall.Invalid, "idempotency key has %d bytes, want 1 to %d", len(key), maxKey)
	}
	body, err := json.Marshal(profileRequest{ICCID: card.ICCID.Reveal(), IMSI: card.IMSI.Reveal(), Settings: settings})
	if err != nil {
		return ringwall.Errorf(ringwall.Internal, "writing the request to the operator: %w", err)
	}
	if len(body) > maxBody {
		return ringwall.Errorf(ringwall.Invalid, "the profile has %d bytes, more than an operator takes (%d)", len(body), maxBody)
	}
	pause := c.c.Pause
	for try := 1; ; try++ {
		err := c.configureOnce(ctx, card, settings, body, key)
		if err == nil || ringwall.CodeOf(err) != ringwall.Unavailable || try >= c.c.Tries {
			return err
		}
		timer := time.NewTimer(min(pause, MaxPause))
		select {
		case <-ctx.Done():
			timer.Stop()
			return ringwall.Errorf(ringwall.Unavailable, "the operator was not reached in time: %w", err)
		case <-timer.C:
		}
		pause *= 2
	}
}

func (c *Client) configureOnce(ctx context.Context, card Card, settings *api.OperatorSettings, body []byte, key string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base.JoinPath(pathProfile).String(), bytes.NewReader(body))
	if err != nil {
		return ringwall.Errorf(ringwall.Internal, "making the request to the operator: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+c.c.Token)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, application/problem+json")
	req.Header.Set("Idempotency-Key", key)
	res, err := c.http.Do(req)
	if err != nil {
		return ringwall.Errorf(ringwall.Unavailable, "the operator does not answer: %w", err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxBody+1))
	if err != nil || len(text) > maxBody {
		return ringwall.Errorf(ringwall.Unavailable, "the operator's answer broke off or is over %d bytes", maxBody)
	}
	if s := res.StatusCode; (s == http.StatusNotFound || s == http.StatusNotImplemented || s == http.StatusMethodNotAllowed) && !isProblem(res, text) {
		return ErrNoProfiles
	}
	if res.StatusCode != http.StatusOK {
		return refusal(res, text)
	}
	var a profileRequest
	if err := json.Unmarshal(text, &a); err != nil {
		return ringwall.Errorf(ringwall.Unavailable, "the operator's answer cannot be read: %w", err)
	}
	if !same(card, Card{ICCID: ringwall.ICCID(a.ICCID), IMSI: ringwall.IMSI(a.IMSI)}) {
		return ringwall.Errorf(ringwall.Unavailable, "the operator answered for another card")
	}
	if canonical(a.Settings) != canonical(settings) {
		return ringwall.Errorf(ringwall.Unavailable, "the operator took the request, and other settings are in force")
	}
	return nil
}

// canonical is what settings say, as JSON would carry it.
func canonical(s *api.OperatorSettings) string {
	b, err := json.Marshal(s)
	if err != nil { // values without cycles or channels
		panic("operatorport: settings cannot be marshalled: " + err.Error())
	}
	return string(b)
}

// ProfileStore is a Store that keeps what cards may be used for.
type ProfileStore interface {
	// Configure puts settings in force for the card, nil takes them away, and returns
	// the card and what is in force. The same key with the same settings does
	// nothing again; with others it is a Conflict.
	Configure(ctx context.Context, card Card, settings *api.OperatorSettings, key string) (Card, *api.OperatorSettings, error)
}

// profile serves pathProfile for a store that keeps profiles.
func (h *handler) profile(store ProfileStore) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		card, settings, err := h.configure(w, r, store)
		if err != nil {
			h.fail(w, r, err)
			return
		}
		h.c.Log.Info("operator request", "path", r.URL.Path, "card", card.ICCID, "imsi", card.IMSI)
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(profileRequest{ICCID: card.ICCID.Reveal(), IMSI: card.IMSI.Reveal(), Settings: settings}); err != nil {
			h.c.Log.Debug("writing the answer", "err", err)
		}
	}
}

func (h *handler) configure(w http.ResponseWriter, r *http.Request, store ProfileStore) (Card, *api.OperatorSettings, error) {
	if !h.admits(r) {
		return Card{}, nil, ringwall.Errorf(ringwall.Forbidden, "no token, or a wrong one")
	}
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return Card{}, nil, ringwall.Errorf(ringwall.Invalid, "the request broke off or is over %d bytes: %w", maxBody, err)
	}
	var q profileRequest
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields() // a setting that nobody knows would not be in force
	if err := d.Decode(&q); err != nil {
		return Card{}, nil, ringwall.Errorf(ringwall.Invalid, "the request is not the JSON that is wanted: %w", err)
	}
	card := Card{ICCID: ringwall.ICCID(q.ICCID), IMSI: ringwall.IMSI(q.IMSI)}
	if err := card.Validate(); err != nil {
		return Card{}, nil, err
	}
	key := r.Header.Get("Idempotency-Key")
	if key == "" || len(key) > maxKey {
		return Card{}, nil, ringwall.Errorf(ringwall.Invalid, "the header Idempotency-Key has %d bytes, want 1 to %d", len(key), maxKey)
	}
	return store.Configure(r.Context(), card, q.Settings, key)
}

// Configure is of ProfileStore.
func (s *MemStore) Configure(_ context.Context, card Card, settings *api.OperatorSettings, key string) (Card, *api.OperatorSettings, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := s.find(card)
	if err != nil {
		return Card{}, nil, err
	}
	text := canonical(settings)
	if had, ok := s.configured[key]; ok && had != string(st.Card.ICCID)+text {
		return Card{}, nil, ringwall.Errorf(ringwall.Conflict, "the key was used for something else")
	}
	if len(s.configured) >= maxKeys {
		clear(s.configured)
	}
	s.configured[key] = string(st.Card.ICCID) + text
	if settings == nil {
		delete(s.settings, st.Card.ICCID)
	} else {
		s.settings[st.Card.ICCID] = *settings
	}
	return st.Card, settings, nil
}

// Settings returns what is in force for a card; ok is false when nothing is.
func (s *MemStore) Settings(iccid ringwall.ICCID) (settings api.OperatorSettings, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	settings, ok = s.settings[iccid]
	return settings, ok
}
