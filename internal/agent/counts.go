package agent

import (
	"encoding/json"
	"errors"
	"io/fs"
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
	if err := a.keep(countsFile, now); err != nil {
		a.log.Warn("counters are not on disk; what is counted while no agent runs will not be told", "err", err)
	}
}

// keep puts a file in place.
func (a *Agent) keep(name string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	path := a.cfg.path(name)
	if err := os.WriteFile(path+".new", b, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
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

// toldFile holds what the log had let go of when that was last told, so that the
// next run tells of what came after. It is not synced: after a power cut something
// may be told twice or not at all, and the log's own counts are right.
const toldFile = "told.json"

// told is what toldFile holds.
type told struct {
	Epoch  uint64                    `json:"epoch"` // of the log
	Losses map[api.RecordKind]uint64 `json:"losses"`
}

// keepTold writes down what is about to be told.
func (a *Agent) keepTold(epoch uint64, losses map[api.RecordKind]uint64) {
	if err := a.keep(toldFile, told{epoch, losses}); err != nil {
		a.log.Warn("what was told of lost reports is not on disk; it may be told again", "err", err)
	}
}

// toldLosses returns what the last run has told of what the log let go of: all of
// it where that is not known.
func (a *Agent) toldLosses() map[api.RecordKind]uint64 {
	l := a.books.current()
	if l == nil {
		return nil
	}
	var t told
	b, err := os.ReadFile(a.cfg.path(toldFile))
	if err == nil {
		err = json.Unmarshal(b, &t)
	}
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		a.log.Warn("what was told of lost reports cannot be read; what was lost before now is not told again", "err", err)
		return l.Losses()
	case err != nil || t.Epoch != l.Epoch():
		return nil // of this log nothing was told
	}
	return t.Losses
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
