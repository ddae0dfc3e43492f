package operatorport

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"

	"github.com/ringwall/ringwall"
)

// Store is what a Handler needs of an operator's system. Errors carry a code;
// one without is answered as a failure of the server.
type Store interface {
	// State returns the status of the card, NotFound when there is none, or
	// when its two numbers do not belong together.
	State(ctx context.Context, card Card) (Status, error)
	// Change makes the card Active or Suspended and returns its status, which
	// may be Pending. The same key with the same card and state does nothing
	// again; with others it is a Conflict.
	Change(ctx context.Context, card Card, to State, reason, key string) (Status, error)
}

// HandlerConfig configures a Handler.
type HandlerConfig struct {
	Store Store
	Token string       // that callers must bear
	Log   *slog.Logger // nil = silent
}

// NewHandler returns the server's side of the protocol.
func NewHandler(c HandlerConfig) http.Handler {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	h := &handler{c: c, token: sha256.Sum256([]byte(c.Token))}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+pathSuspend, h.answer(func(r *http.Request, q request) (Status, error) { return h.change(r, q, Suspended) }))
	mux.HandleFunc("POST "+pathRestore, h.answer(func(r *http.Request, q request) (Status, error) { return h.change(r, q, Active) }))
	mux.HandleFunc("POST "+pathState, h.answer(func(r *http.Request, q request) (Status, error) {
		card, err := q.card()
		if err != nil {
			return Status{}, err
		}
		return h.c.Store.State(r.Context(), card)
	}))
	if store, ok := c.Store.(RestrictStore); ok {
		mux.HandleFunc("POST "+pathRestrict, h.restrict(store))
	}
	if store, ok := c.Store.(ProfileStore); ok {
		mux.HandleFunc("POST "+pathProfile, h.profile(store))
	}
	return mux
}

type handler struct {
	c     HandlerConfig
	token [sha256.Size]byte
}

func (q request) card() (Card, error) {
	c := Card{ICCID: ringwall.ICCID(q.ICCID), IMSI: ringwall.IMSI(q.IMSI)}
	return c, c.Validate()
}

func (h *handler) change(r *http.Request, q request, to State) (Status, error) {
	card, err := q.card()
	if err != nil {
		return Status{}, err
	}
	key := r.Header.Get("Idempotency-Key")
	if key == "" || len(key) > maxKey {
		return Status{}, ringwall.Errorf(ringwall.Invalid, "the header Idempotency-Key has %d bytes, want 1 to %d", len(key), maxKey)
	}
	if len(q.Reason) > maxReason {
		return Status{}, ringwall.Errorf(ringwall.Invalid, "the reason has %d bytes, want at most %d", len(q.Reason), maxReason)
	}
	return h.c.Store.Change(r.Context(), card, to, q.Reason, key)
}

// answer is the one place where requests are admitted and answers written.
func (h *handler) answer(f func(*http.Request, request) (Status, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		st, err := h.serve(w, r, f)
		if err != nil {
			h.fail(w, r, err)
			return
		}
		status := http.StatusOK
		if st.State == Pending {
			status = http.StatusAccepted
		}
		h.c.Log.Info("operator request", "path", r.URL.Path, "card", st.Card.ICCID, "imsi", st.Card.IMSI, "state", string(st.State))
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		if err := json.NewEncoder(w).Encode(answer{ICCID: st.Card.ICCID.Reveal(), IMSI: st.Card.IMSI.Reveal(), State: st.State, Since: st.Since}); err != nil {
			h.c.Log.Debug("writing the answer", "err", err)
		}
	}
}

func (h *handler) serve(w http.ResponseWriter, r *http.Request, f func(*http.Request, request) (Status, error)) (Status, error) {
	if !h.admits(r) {
		return Status{}, ringwall.Errorf(ringwall.Forbidden, "no token, or a wrong one")
	}
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return Status{}, ringwall.Errorf(ringwall.Invalid, "the request broke off or is over %d bytes: %w", maxBody, err)
	}
	var q request
	if err := json.Unmarshal(text, &q); err != nil {
		return Status{}, ringwall.Errorf(ringwall.Invalid, "the request is not the JSON that is wanted: %w", err)
	}
	return f(r, q)
}

// admits compares hashes, so that the time taken tells nothing of the token.
func (h *handler) admits(r *http.Request) bool {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	sum := sha256.Sum256([]byte(token))
	return ok && h.c.Token != "" && strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(sum[:], h.token[:]) == 1
}

func (h *handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	status := map[ringwall.Code]int{
		ringwall.Invalid: http.StatusBadRequest, ringwall.NotFound: http.StatusNotFound, ringwall.Conflict: http.StatusConflict,
		ringwall.Forbidden: http.StatusUnauthorized, ringwall.Unavailable: http.StatusServiceUnavailable,
	}[ringwall.CodeOf(err)]
	detail := ""
	if status == 0 {
		status = http.StatusInternalServerError
	} else if e, ok := errors.AsType[*ringwall.Error](err); ok {
		detail = e.Text
	}
	h.c.Log.Warn("operator request refused", "path", r.URL.Path, "status", status, "err", err)
	w.Header().Set("Content-Type", "application/problem+json")
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(problem{Title: http.StatusText(status), Status: status, Detail: detail}); err != nil {
		h.c.Log.Debug("writing the answer", "err", err)
	}
}
