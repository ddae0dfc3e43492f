package httpapi

import (
	"context"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/audit"
)

// one is a Service that knows one token, until it is taken back.
type one struct {
	Service // what is not needed here
	gone    atomic.Bool
}

func (o *one) ActorOfToken(context.Context, string) (audit.Actor, error) {
	if o.gone.Load() {
		return audit.Actor{}, ringwall.Errorf(ringwall.Unverified, "the credential does not hold")
	}
	return audit.Actor{Kind: audit.KindToken, ID: "tok_1", Org: "org_1"}, nil
}

func (o *one) Events(context.Context, audit.Actor) (<-chan ringwall.Event, error) {
	return make(chan ringwall.Event), nil
}

func TestStream_ends_when_its_credential_does(t *testing.T) {
	o := &one{}
	s := &streams{svc: o, meters: newMeters(nil), beat: 10 * time.Millisecond}
	r := httptest.NewRequestWithContext(t.Context(), "GET", "/v1/events", nil)
	r.Header.Set("Authorization", "Bearer rwt_x")
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.ServeHTTP(httptest.NewRecorder(), r)
	}()
	select {
	case <-ended:
		t.Fatal("the stream ended while its credential held")
	case <-time.After(100 * time.Millisecond):
	}
	o.gone.Store(true)
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Fatal("the stream goes on without a credential")
	}
	if n := s.open.Load(); n != 0 {
		t.Errorf("%d streams are counted as open", n)
	}
}

func TestStream_bounds_how_many_are_open(t *testing.T) {
	s := &streams{svc: &one{}, meters: newMeters(nil), beat: time.Hour}
	s.open.Store(maxStreams)
	r := httptest.NewRequest("GET", "/v1/events", nil)
	r.Header.Set("Authorization", "Bearer rwt_x")
	rec := httptest.NewRecorder()
	s.ServeHTTP(rec, r)
	if rec.Code != 503 || s.open.Load() != maxStreams {
		t.Errorf("one too many answers %d; %d are open", rec.Code, s.open.Load())
	}
}
