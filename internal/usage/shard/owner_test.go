package shard_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/internal/usage"
	"github.com/ringwall/ringwall/internal/usage/shard"
)

// TestEngineOwner: a number that is declared as another organisation's card begins
// with nothing, and one that is withdrawn is nobody's.
func TestEngineOwner(t *testing.T) {
	key := []byte("0123456789abcdef0123456789abcdef")
	keys := usage.KeysOf(key)
	m := shard.NewEngine(shard.EngineConfig{Usage: usage.Config{Key: key, Keys: keys, NoTotals: true, Duplicates: 1 << 10}, Shards: 1}) // shard 0 of one
	control := func(all []shard.Control) {
		t.Helper()
		for _, c := range all {
			b, err := json.Marshal(c)
			if err == nil {
				err = m.Apply(&shard.Entry{Kind: shard.Cards, Payload: b}, 0, &shard.Output{})
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	declare := func(org ringwall.OrgID, sim ringwall.SIMID, imsis ...ringwall.IMSI) {
		t.Helper()
		for _, i := range imsis {
			control(shard.Declare([]usage.Card{{SIM: sim, Org: org, IMSI: i}}))
		}
	}
	n := 0
	bring := func(imei ringwall.IMEI, imsis ...ringwall.IMSI) (said []ringwall.Alert) {
		t.Helper()
		for _, i := range imsis {
			n++
			r := cdr.Record{ID: string(rune('a' + n)), IMSI: i, IMEI: imei, Time: time.Date(2026, 11, 1+n, 12, 0, 0, 0, time.UTC), Service: cdr.Data}
			e, err := keys.Event(&r)
			if err != nil {
				t.Fatal(err)
			}
			b := cdr.Batch{Events: []cdr.Event{e}, Lines: []uint64{0}}
			m.Usage().Batch(&b, func(a ringwall.Alert) { said = append(said, a) })
		}
		return said
	}
	const moved, stays, goes = "460001234560001", "460001234560002", "460001234560003"
	declare("org_a", "sim_a", moved, stays, goes)
	bring("490154203237518", moved, stays, goes)
	declare("org_b", "sim_b", moved)
	declare("org_a", "sim_a", stays)
	control(shard.Withdraw([]ringwall.IMSI{goes}))
	if got := bring("356938035643809", moved, goes); len(got) != 0 {
		t.Errorf("of a number that moved and one that is nobody's it says %+v", got)
	}
	if got := bring("356938035643809", stays); len(got) != 1 || got[0].Org != "org_a" || got[0].Rule != usage.Separation {
		t.Errorf("of a card that stays it says %+v, want a separation", got)
	}
	if got := bring("490154203237518", moved); len(got) != 1 || got[0].Org != "org_b" {
		t.Errorf("of the moved card it says %+v, want a separation from what it was seen in since", got)
	}
	if _, known := m.Usage().View(cdr.CardKey(goes)); known {
		t.Error("the withdrawn card is known")
	}
}
