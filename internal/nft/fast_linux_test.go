package nft_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/nft"
	"github.com/ringwall/ringwall/internal/policy"
)

// shortcut is a faster way that nothing goes: it keeps what it is told.
type shortcut struct {
	revoked []uint32
	tokens  map[uint32]uint32
	fail    error
	counts  map[uint32]nft.Counts
	before  func() // looks at the kernel while it is being told
}

func (s *shortcut) Revoke(marks []uint32) error {
	if s.before != nil {
		s.before()
	}
	s.revoked = append(s.revoked, marks...)
	return s.fail
}

func (s *shortcut) LiveTokens(tokens map[uint32]uint32)      { maps.Copy(s.tokens, tokens) }
func (s *shortcut) Counters() (map[uint32]nft.Counts, error) { return s.counts, nil }

func TestFast(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	echo(t, w.net, "198.51.100.20:443")
	echo(t, w.net, "198.51.100.66:443")
	s := &shortcut{tokens: map[uint32]uint32{}, counts: map[uint32]nft.Counts{1: {PassedUp: nft.Count{Packets: 1000, Bytes: 5000}}}}
	cfg := w.config()
	cfg.Fast = s
	fw, err := nft.Open(cfg)
	must(t, err)
	defer fw.Close()
	w.fw = fw
	t.Cleanup(func() { w.ruleset(t) })
	must(t, fw.Base(t.Context()))
	two := w.desired(allowOut("a", "198.51.100.20/32", "tcp", p443), allowOut("b", "198.51.100.66/32", "tcp", p443))
	w.apply(t, two)
	token, ok := fw.LiveToken(1)
	if !ok || token&nft.TokenMark != 1 || s.tokens[1] != token || len(s.revoked) != 0 {
		t.Fatalf("after the first plan the token is %#x, %v; told %v; revoked %v", token, ok, s.tokens, s.revoked)
	}
	open := openStream(t, w.dev[0], "198.51.100.66:443")
	c, err := fw.Counters(t.Context())
	must(t, err)
	if n := c[1].PassedUp.Packets; n < 1002 {
		t.Errorf("%d packets counted, want those of the faster way too", n)
	}
	// Nothing is taken away while the faster way is open.
	s.before = func() { check(t, "while it is told, a stream that is about to end", open.lives(), true) }
	one := w.desired(allowOut("a", "198.51.100.20/32", "tcp", p443))
	one.Devices[1].Terms = two.Devices[1].Terms // the other device stays as it is
	w.apply(t, one)
	s.before = nil
	if !slices.Equal(s.revoked, []uint32{1}) {
		t.Errorf("revoked %v, want the device that lost something", s.revoked)
	}
	if now, _ := fw.LiveToken(1); now == token || s.tokens[1] != now {
		t.Errorf("the token was %#x, is %#x, told %#x", token, now, s.tokens[1])
	}
	check(t, "a stream that is allowed no more", open.alive(), false)
	s.revoked = nil
	must(t, fw.Restrict(t.Context(), 1, ringwall.Quarantine))
	if _, ok := fw.LiveToken(1); ok || s.tokens[1] != 0 || !slices.Equal(s.revoked, []uint32{1}) {
		t.Errorf("in quarantine: live %v, told %#x, revoked %v", ok, s.tokens[1], s.revoked)
	}
	must(t, fw.Restrict(t.Context(), 1, ringwall.Unrestricted))
	if now, ok := fw.LiveToken(1); !ok || s.tokens[1] != now {
		t.Errorf("released: live %v, told %#x", ok, s.tokens[1])
	}
	// A limit counts every packet.
	s.revoked = nil
	w.force(t, w.plan(t, one, func(p *policy.Plan) {
		p.Devices[1].Limits = []policy.Limit{{ID: 1, Limit: api.Limit{PacketRate: 1000}}}
	}))
	if _, ok := fw.LiveToken(2); ok || !slices.Equal(s.revoked, []uint32{2}) {
		t.Errorf("under a limit: live %v, revoked %v", ok, s.revoked)
	}
	// Where it cannot be closed nothing changes.
	s.fail = errors.New("no")
	p, err := policy.Compile(w.desired(), nil, time.Now())
	must(t, err)
	if _, err := fw.Apply(context.Background(), p); ringwall.CodeOf(err) != ringwall.Unavailable {
		t.Errorf("Apply when the faster way cannot be closed = %v, want code unavailable", err)
	}
	check(t, "after it was refused, what was allowed", reaches(w.dev[0], "tcp", "198.51.100.20:443"), true)
	if err := fw.Restrict(t.Context(), 1, ringwall.Cutoff); err == nil {
		t.Error("Restrict does not say that the faster way cannot be closed")
	}
	s.fail = nil
	w.apply(t, w.desired())
	check(t, "once it can, what is allowed no more", reach(w.dev[0], "tcp", "198.51.100.20:443"), false)
}

// What passed by a token that has ended is still counted.
func TestCounters_survivePlans(t *testing.T) {
	t.Parallel()
	w := up(t, 1)
	echo(t, w.net, "198.51.100.20:443")
	all := w.desired(allowOut("a", "198.51.100.20/32", "tcp", p443), allowOut("b", "198.51.100.66/32", "tcp", p443))
	less := w.desired(allowOut("a", "198.51.100.20/32", "tcp", p443))
	w.apply(t, all)
	s := openStream(t, w.dev[0], "198.51.100.20:443")
	for range 50 {
		s.lives()
	}
	before := w.counts(t)[1]
	if before.PassedUp.Packets < 51 || before.PassedDown.Packets < 51 {
		t.Fatalf("counts %+v", before)
	}
	w.apply(t, less) // the token ends
	if after := w.counts(t)[1]; after != before {
		t.Errorf("after a plan that takes something away the counts are %+v, were %+v", after, before)
	}
	must(t, w.fw.Restrict(t.Context(), 1, ringwall.Quarantine))
	must(t, w.fw.Restrict(t.Context(), 1, ringwall.Unrestricted))
	if after := w.counts(t)[1]; after != before {
		t.Errorf("after a quarantine the counts are %+v, were %+v", after, before)
	}
	s.lives()
	if after := w.counts(t)[1]; after.PassedUp.Packets <= before.PassedUp.Packets {
		t.Errorf("nothing is counted any more: %+v", after)
	}
}
