package agent

import (
	"encoding/json"
	"os"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/nft"
)

// countsFile holds the kernel's counters as they were when they were last
// reported, so that what is refused between two runs of the agent is told by the
// next one. It is not synced: after a power cut the kernel counts from zero.
const countsFile = "counts.json"

// keepCounts writes down up to where the counters are reported.
func (a *Agent) keepCounts(now map[uint32]nft.Counts) {
	b, err := json.Marshal(now)
	if err == nil {
		path := a.cfg.path(countsFile)
		if err = os.WriteFile(path+".new", b, 0o600); err == nil {
			err = os.Rename(path+".new", path)
		}
	}
	if err != nil {
		a.log.Warn("counters are not on disk; what is counted while no agent runs will not be told", "err", err)
	}
}

// keptCounts returns the counters up to which the last run has reported: those of
// now where it is not known, or where the kernel has begun anew.
func (a *Agent) keptCounts(now map[uint32]nft.Counts) map[uint32]nft.Counts {
	b, err := os.ReadFile(a.cfg.path(countsFile))
	if err != nil {
		return now
	}
	var kept map[uint32]nft.Counts
	if err := json.Unmarshal(b, &kept); err != nil {
		return now
	}
	for mark, n := range now {
		k, ok := kept[mark]
		if !ok || k.Refused.Packets > n.Refused.Packets || k.Forged.Packets > n.Forged.Packets || k.PassedUp.Packets > n.PassedUp.Packets {
			kept[mark] = nft.Counts{} // since it counts, all is new
		}
	}
	return kept
}

// withTotals puts the kernel's counters into the newest features of each device.
func withTotals(features []api.Features, devices []api.DevicePolicy, now map[uint32]nft.Counts) {
	mark := map[string]uint32{}
	for _, d := range devices {
		mark[string(d.Device)] = d.Mark
	}
	done := map[uint32]bool{}
	for i := len(features) - 1; i >= 0; i-- {
		m, ok := mark[string(features[i].Device)]
		if !ok || done[m] {
			continue
		}
		done[m] = true
		c := now[m]
		features[i].Totals = &api.Totals{
			Up: c.PassedUp.Packets, Down: c.PassedDown.Packets, Refused: c.Refused.Packets, Would: c.Would.Packets, Forged: c.Forged.Packets,
		}
	}
}
