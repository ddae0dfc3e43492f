package httpapi

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
)

func FuzzVersion(f *testing.F) {
	for _, s := range []string{"", "*", `"v1"`, `"v18446744073709551615"`, `"v18446744073709551616"`, `W/"v1"`, `"v"`, `"v1`, `"v-1"`, `"v0"`, `"v1", "v2"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := version(s)
		switch {
		case err != nil && ringwall.CodeOf(err) != ringwall.Invalid:
			t.Errorf("version(%q): code %s", s, ringwall.CodeOf(err))
		case err == nil && n == 0 && s != "" && s != "*":
			t.Errorf("version(%q) takes any version", s)
		case err == nil && n != 0:
			if again, err := version(fmt.Sprintf(`"v%d"`, n)); err != nil || again != n {
				t.Errorf("version(%q) = %d, and back %d, %v", s, n, again, err)
			}
		}
	})
}

func TestThrottle_counts_an_IPv6_network_as_one_address(t *testing.T) {
	now := time.Date(2026, 11, 21, 20, 0, 0, 0, time.UTC)
	th := NewThrottle(func() time.Time { return now })
	take := func(remote string) bool {
		r := httptest.NewRequest("POST", "/", nil)
		r.RemoteAddr = remote
		_, ok := th.Take(r)
		return ok
	}
	for i := range throttleBurst {
		if !take(fmt.Sprintf("[2001:db8::%x]:1000", i+1)) {
			t.Fatalf("attempt %d is refused", i)
		}
	}
	if take("[2001:db8::ffff]:1000") {
		t.Error("a fresh address of the same network has attempts left")
	}
	if !take("[2001:db8:0:1::1]:1000") {
		t.Error("another network has none left")
	}
	now = now.Add(-time.Hour) // a clock that jumps back forgives nothing and refuses nobody else
	if take("[2001:db8::1]:1000") {
		t.Error("a clock that jumped back gave attempts")
	}
	if !take("192.0.2.1:1000") || !take("not an address") {
		t.Error("somebody else is refused")
	}
}

func TestReplays_stay_within_their_bounds(t *testing.T) {
	now := time.Date(2026, 11, 21, 20, 0, 0, 0, time.UTC)
	s := newReplays(func() time.Time { return now })
	big := strings.Repeat("x", 100<<10)
	for i := range 3 * replayEntries {
		e, mine := s.claim(digest(fmt.Sprint(i)), [32]byte{})
		if !mine {
			t.Fatal("a fresh key is not mine")
		}
		k := &keeper{ResponseWriter: httptest.NewRecorder()}
		if _, err := k.Write([]byte(big[:i%len(big)])); err != nil {
			t.Fatal(err)
		}
		k.finished = true
		s.settle(e, k)
		if s.order.Len() != len(s.byKey) || s.order.Len() > replayEntries || s.bytes > replayBytes+replayLargest {
			t.Fatalf("after %d answers %d entries, %d keys, %d bytes", i+1, s.order.Len(), len(s.byKey), s.bytes)
		}
	}
	now = now.Add(2 * replayLife)
	s.claim(digest("last"), [32]byte{})
	if s.order.Len() != 1 || s.bytes != 0 {
		t.Errorf("after their time %d entries, %d bytes are left", s.order.Len(), s.bytes)
	}
}

func TestFilled(t *testing.T) {
	type inner struct{ L []int }
	type outer struct {
		A []inner
		B *inner
		C []string `json:"c,omitempty"`
		D time.Time
	}
	shared := outer{A: []inner{{}, {L: []int{1}}}, B: &inner{}, D: time.Unix(1, 0)}
	v, err := emptyLists(nil, "200", shared)
	got := v.(outer)
	if err != nil || got.A[0].L == nil || got.A[1].L[0] != 1 || got.B.L == nil || got.C != nil || !got.D.Equal(shared.D) {
		t.Errorf("filled: %+v, %v", got, err)
	}
	if shared.A[0].L != nil || shared.B.L != nil {
		t.Error("the value that was shared has changed")
	}
}
