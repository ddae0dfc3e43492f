package nft_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/nft"
)

// A fleet that outgrows the room in the sets gets more, nothing that was counted
// is lost by it, and the next life of the program finds it as it is.
func TestApply_fleetOutgrowsItsRoom(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	open := func() *nft.Firewall {
		c := w.config()
		c.Room = 8
		fw, err := nft.Open(c)
		must(t, err)
		t.Cleanup(func() { must(t, fw.Close()) })
		must(t, fw.Base(t.Context()))
		return fw
	}
	w.fw = open()
	echo(t, w.net, "198.51.100.20:443")
	small := w.desired(allowOut("a", "198.51.100.20/32", "tcp", p443))
	w.apply(t, small)
	s := openStream(t, w.dev[0], "198.51.100.20:443")
	for range 50 {
		s.lives()
	}
	before := w.counts(t)[1]
	large := small
	large.Devices = append([]api.DevicePolicy(nil), small.Devices...)
	for i := range 300 {
		large.Devices = append(large.Devices, api.DevicePolicy{
			Device: ringwall.DeviceID(fmt.Sprint("more_", i)), Mark: uint32(1000 + i), Mode: ringwall.Enforce, Trust: ringwall.T3,
			Binding: api.Binding{Port: "p0", MAC: fmt.Sprintf("06:00:00:00:%02x:%02x", i>>8, i&0xff), IP: netip.AddrFrom4([4]byte{10, 78, byte(i >> 8), byte(i)})},
		})
	}
	large.LocalNets = append([]netip.Prefix{netip.MustParsePrefix("10.78.0.0/16")}, large.LocalNets...)
	hash := w.apply(t, large)
	for range 10 {
		s.lives()
	}
	grown := w.counts(t)[1]
	if grown.PassedUp.Packets < before.PassedUp.Packets+10 || grown.PassedDown.Packets < before.PassedDown.Packets+10 {
		t.Errorf("before it grew %+v was counted, then %+v", before, grown)
	}
	again := open()
	if got, err := again.Hash(t.Context()); err != nil || got != hash {
		t.Errorf("the next life of the program finds %s, %v, want %s", got, err, hash)
	}
	w.fw = again
	if got := w.apply(t, large); got != hash {
		t.Errorf("and makes %s of it", got)
	}
	s.lives()
	if after := w.counts(t)[1]; after.PassedUp.Packets <= 10 {
		t.Errorf("the next life of the program has %+v, so that it has made the tables anew", after)
	}
	w.apply(t, small)
	s.lives()
	check(t, "what is not allowed", reach(w.dev[0], "tcp", "198.51.100.66:443"), false)
}
