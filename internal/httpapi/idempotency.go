package httpapi

import (
	"bytes"
	"container/list"
	"crypto/sha256"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/ringwall/ringwall"
)

// Bounds of what is kept of answers to POSTs.
const (
	replayLife    = time.Hour
	replayEntries = 4096
	replayBytes   = 16 << 20
	replayLargest = 256 << 10 // a larger answer is not kept: its request is done again
	maxKey        = 128
)

// replays keeps answers by idempotency key. Its methods may be called
// concurrently.
type replays struct {
	now func() time.Time

	mu    sync.Mutex
	byKey map[[32]byte]*list.Element
	order *list.List // oldest first, of *replay
	bytes int
}

// replay is one answer, or the place of one that is still being made.
type replay struct {
	key    [32]byte // who, where and which key
	body   [32]byte // what was sent
	at     time.Time
	done   bool
	status int
	header http.Header
	answer []byte
}

func newReplays(now func() time.Time) *replays {
	return &replays{now: now, byKey: map[[32]byte]*list.Element{}, order: list.New()}
}

// guard puts the replays before h.
func (s *replays) guard(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key := r.Header.Get("Idempotency-Key")
		// Numbers in clear are kept nowhere, and each time they are shown is written down.
		if r.Method != http.MethodPost || key == "" || strings.HasSuffix(r.URL.Path, "/reveal") {
			h.ServeHTTP(w, r)
			return
		}
		refuse := func(status int, e *ringwall.Error) {
			ev := eventOf(r.Context())
			ev.code = e.Code
			writeProblem(w, newProblem(ev.id, status, e))
		}
		if len(key) > maxKey {
			refuse(http.StatusUnprocessableEntity, ringwall.Errorf(ringwall.Invalid, "the Idempotency-Key is longer than %d characters", maxKey))
			return
		}
		body, err := io.ReadAll(r.Body) // bounded by the wrapper
		if err != nil {
			refuse(http.StatusRequestEntityTooLarge, ringwall.Errorf(ringwall.Invalid, "the body is larger than %d bytes or ended early", maxBody))
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		e, mine := s.claim(digest(r.Header.Get("Authorization"), r.Header.Get("Cookie"), r.URL.Path, key), sha256.Sum256(body))
		switch {
		case mine:
			k := &keeper{ResponseWriter: w}
			defer func() { s.settle(e, k) }() // also when h panics: the place is freed
			h.ServeHTTP(k, r)
			k.finished = true
		case e == nil:
			refuse(http.StatusUnprocessableEntity, ringwall.Errorf(ringwall.Invalid, "this Idempotency-Key was used with another body"))
		case !e.done:
			refuse(http.StatusConflict, &ringwall.Error{Code: ringwall.Conflict, Text: "the first request with this Idempotency-Key is still being answered", Hint: "try again"})
		default:
			for name, v := range e.header {
				w.Header()[name] = v
			}
			w.Header().Set("Idempotency-Replayed", "true")
			w.WriteHeader(e.status)
			_, _ = w.Write(e.answer)
		}
	})
}

func digest(parts ...string) [32]byte {
	h := sha256.New()
	for _, p := range parts {
		sum := sha256.Sum256([]byte(p))
		h.Write(sum[:])
	}
	return [32]byte(h.Sum(nil))
}

// claim returns the caller's own new place (mine), or a copy of what is known
// under key, or nil when the key came with another body.
func (s *replays) claim(key, body [32]byte) (e *replay, mine bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trim()
	if el, ok := s.byKey[key]; ok {
		old := el.Value.(*replay)
		if old.body != body {
			return nil, false
		}
		known := *old
		return &known, false
	}
	e = &replay{key: key, body: body, at: s.now()}
	s.byKey[key] = s.order.PushBack(e)
	return e, true
}

// trim forgets what is too old or too much. The order is that of age.
func (s *replays) trim() {
	for el := s.order.Front(); el != nil; el = s.order.Front() {
		e := el.Value.(*replay)
		if s.now().Sub(e.at) < replayLife && s.order.Len() < replayEntries && s.bytes < replayBytes {
			return
		}
		s.forget(e)
	}
}

func (s *replays) forget(e *replay) {
	if el, ok := s.byKey[e.key]; ok && el.Value.(*replay) == e {
		s.order.Remove(el)
		delete(s.byKey, e.key)
		s.bytes -= len(e.answer)
	}
}

// settle keeps a good answer and frees the place of any other: a refused
// request changed nothing and may be sent again.
func (s *replays) settle(e *replay, k *keeper) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !k.finished || k.status < 200 || k.status > 299 || k.tooLarge {
		s.forget(e)
		return
	}
	if el, ok := s.byKey[e.key]; !ok || el.Value.(*replay) != e {
		return // forgotten for want of room while it was being made
	}
	e.done, e.status, e.header, e.answer = true, k.status, k.header, k.body.Bytes()
	s.bytes += len(e.answer)
}

// keeper passes an answer on and keeps a copy.
type keeper struct {
	http.ResponseWriter
	status   int
	header   http.Header
	body     bytes.Buffer
	tooLarge bool
	finished bool
}

func (k *keeper) WriteHeader(status int) {
	if k.status == 0 {
		k.status = status
		k.header = k.Header().Clone()
		k.header.Del("X-Request-Id") // each request has its own
	}
	k.ResponseWriter.WriteHeader(status)
}

func (k *keeper) Write(b []byte) (int, error) {
	if k.status == 0 {
		k.WriteHeader(http.StatusOK)
	}
	if k.body.Len()+len(b) > replayLargest {
		k.tooLarge = true
	} else if !k.tooLarge {
		k.body.Write(b)
	}
	return k.ResponseWriter.Write(b)
}

func (k *keeper) Unwrap() http.ResponseWriter { return k.ResponseWriter }
