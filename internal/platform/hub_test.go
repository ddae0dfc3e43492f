package platform

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/ringwall/ringwall"
)

func TestHub_tellsOnlyItsOwnOrganisation(t *testing.T) {
	h := newHub()
	a, b := h.watch(t.Context(), "org_a"), h.watch(t.Context(), "org_b")
	h.tell(ringwall.Event{ID: "evt_1", Org: "org_a"})
	if ev := <-a; ev.ID != "evt_1" {
		t.Errorf("organisation a got %q", ev.ID)
	}
	select {
	case ev := <-b:
		t.Errorf("organisation b was told of %q of organisation a", ev.ID)
	default:
	}
}

func TestHub_closesWhoDoesNotKeepUp(t *testing.T) {
	h := newHub()
	slow, quick := h.watch(t.Context(), "org_a"), h.watch(t.Context(), "org_a")
	for range backlog + 1 {
		h.tell(ringwall.Event{Org: "org_a"})
		<-quick
	}
	n := 0
	for range slow {
		n++
	}
	if n != backlog {
		t.Errorf("the slow watcher got %d events before it was closed, want %d", n, backlog)
	}
	h.tell(ringwall.Event{ID: "evt_last", Org: "org_a"})
	if ev := <-quick; ev.ID != "evt_last" {
		t.Errorf("the quick watcher got %q", ev.ID)
	}
}

func TestHub_endsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub()
		ctx, cancel := context.WithCancel(t.Context())
		ch := h.watch(ctx, "org_a")
		cancel()
		synctest.Wait()
		if _, open := <-ch; open {
			t.Error("the channel is open after its context ended")
		}
		h.tell(ringwall.Event{Org: "org_a"}) // must not panic
	})
}
