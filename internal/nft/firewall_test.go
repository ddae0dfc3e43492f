package nft_test

import (
	"testing"

	"github.com/ringwall/ringwall/api"
)

func TestFirewall_closedBaseThenPolicy(t *testing.T) {
	w := newWorld(t, 2)
	echo(t, w.net, "198.51.100.20:443")
	echo(t, w.net, "198.51.100.20:80")
	echo(t, w.net, "198.51.100.66:443")
	d1 := w.dev[0]
	check(t, "control: without rules, a connection", reach(d1, "tcp", "198.51.100.20:443"), true)
	check(t, "control: without rules, the other port", reach(d1, "tcp", "198.51.100.20:80"), true)
	check(t, "control: without rules, the other address", reach(d1, "tcp", "198.51.100.66:443"), true)
	fw := w.open(t)
	defer w.ruleset(t)
	t.Log("tier:", fw.Tier())
	must(t, fw.Base(t.Context()))
	check(t, "with the closed base, a connection", reach(d1, "tcp", "198.51.100.20:443"), false)
	w.apply(t, w.desired(allowOut("cloud", "198.51.100.20/32", "tcp", api.PortRange{First: 443, Last: 443})))
	check(t, "what is allowed", reach(d1, "tcp", "198.51.100.20:443"), true)
	check(t, "the other port", reach(d1, "tcp", "198.51.100.20:80"), false)
	check(t, "the other protocol", reach(d1, "udp", "198.51.100.20:443"), false)
	check(t, "the other address", reach(d1, "tcp", "198.51.100.66:443"), false)
}
