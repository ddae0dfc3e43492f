package lab_test

import (
	"testing"
	"time"

	"github.com/ringwall/ringwall/internal/lab"
	"github.com/ringwall/ringwall/internal/nft"
)

// A gateway that lets nothing pass: attacks come in at it, all of them are
// seen there, and none of their packets arrives. The open gateway of the other
// tests is the negative control.
func TestAttack_closedGateway_isSeenAndDoesNotArrive(t *testing.T) {
	t.Parallel()
	r := newRange(t, lab.Config{Busybox: "-"})
	fw, err := nft.Open(nft.Config{NS: r.NS(lab.Gateway), Bridge: lab.Bridge, Uplink: lab.Uplink})
	if err != nil {
		t.Fatal(err)
	}
	defer fw.Close()
	if err := fw.Base(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		name string
		d    time.Duration
		did  bool // a scan goes on unheard
	}{
		{lab.MiraiScan, time.Second, true}, {lab.UnknownScan, time.Second, true}, {lab.TelnetGuess, 2 * time.Second, false},
		{lab.Beacon, 3 * time.Second, false}, {lab.StrangerVideo, 3 * time.Second, false},
	} {
		rep := attackOf(t, r, x.name, lab.AttackOptions{Duration: x.d})
		if rep.Packets == 0 || rep.First.IsZero() || rep.First.Before(rep.From.Add(-time.Second)) {
			t.Errorf("%s: %d packets seen at the gateway from %s", x.name, rep.Packets, rep.First)
		}
		if rep.Reached() != 0 {
			t.Errorf("%s: %d packets arrived: %+v", x.name, rep.Reached(), rep.Arrived)
		}
		if rep.Did != x.did {
			t.Errorf("%s: did = %t, want %t: %+v", x.name, rep.Did, x.did, rep.Steps)
		}
		pkts, _ := labelled(t, rep.Capture, x.name)
		if uint64(len(pkts)) != rep.Packets {
			t.Errorf("%s: %d packets recorded, %d seen", x.name, len(pkts), rep.Packets)
		}
	}
}
