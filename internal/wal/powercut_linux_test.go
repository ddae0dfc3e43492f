package wal_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/durable"
	"github.com/ringwall/ringwall/internal/powercut/powercuttest"
	"github.com/ringwall/ringwall/internal/wal"
)

// far is the far end of the wire: it stores each (epoch, seq) once, and finds
// out when a number is used for two things or left out.
type far struct {
	epoch  uint64
	stored []string // by seq-1
	lost   uint64
}

func (f *far) ingest(l *wal.Log, records []api.Record) error {
	if f.epoch == 0 {
		f.epoch = l.Epoch()
	}
	if f.epoch != l.Epoch() {
		return fmt.Errorf("the log has begun a new epoch: what it held is lost")
	}
	for _, r := range records {
		from, text := r.Seq, string(r.Data)
		if r.Kind == api.RecordLost {
			var lr api.LostRange
			if err := json.Unmarshal(r.Data, &lr); err != nil {
				return err
			}
			from, text = lr.From, ""
		} else if r.Kind == api.RecordFlow {
			text = string(r.Bin)
		}
		for seq := from; seq <= r.Seq; seq++ {
			switch have := uint64(len(f.stored)); {
			case seq > have+1:
				return fmt.Errorf("seq %d follows %d", seq, have)
			case seq == have+1:
				f.stored = append(f.stored, text)
				if r.Kind == api.RecordLost {
					f.lost++
				}
			case r.Kind != api.RecordLost && f.stored[seq-1] != text && f.stored[seq-1] != "":
				return fmt.Errorf("seq %d is %q and was %q", seq, text, f.stored[seq-1])
			}
		}
	}
	return nil
}

// scenario runs a gateway's life: appends, uploads, kills and power cuts.
func scenario(t *testing.T, rig *powercuttest.Rig) error {
	dir := filepath.Join(rig.Dir, "state", "wal")
	acked := map[string]bool{}
	var platform far
	number := 0
	rng := rig.Rand
	for life := 0; life < 10; life++ {
		if rng.IntN(4) == 0 {
			rig.Kill(rng.IntN(6))
		}
		l, err := wal.Open(dir, wal.Config{MaxBytes: 1 << 20, Disk: rig.Disk})
		rig.Revive()
		if errors.Is(err, powercuttest.ErrKilled) {
			if rng.IntN(2) == 0 {
				rig.Cut(t)
			}
			continue
		}
		if err != nil {
			return err
		}
		upload := func(steps int) error {
			from := uint64(len(platform.stored)) + 1
			if f := l.First(); f > from {
				return fmt.Errorf("the log starts at %d, and only %d is stored", f, from-1)
			}
			for range steps {
				records, err := l.Read(from, 1+rng.IntN(20))
				if err != nil {
					return err
				}
				if err := platform.ingest(l, records); err != nil {
					return err
				}
				if len(records) == 0 {
					break
				}
				from = records[len(records)-1].Seq + 1
				if rng.IntN(2) == 0 {
					if err := l.Trim(from - 1); err != nil {
						return err
					}
				}
			}
			return nil
		}
		err = func() error {
			// Short lives leave the next Open to make durable what they wrote.
			if rng.IntN(2) == 0 {
				if err := upload(3); err != nil {
					return err
				}
			}
			for range rng.IntN([]int{3, 8, 50}[rng.IntN(3)]) {
				number++
				text := fmt.Sprintf("%d-", number) + string(make([]byte, rng.IntN(9000)))
				kind := []api.RecordKind{api.RecordAlert, api.RecordHold, api.RecordDNS, api.RecordFlow, api.RecordFlow}[rng.IntN(5)]
				data, _ := json.Marshal(text)
				switch rng.IntN(8) {
				case 0:
					if err := upload(1 + rng.IntN(5)); err != nil {
						return err
					}
				case 1, 2, 3:
					if _, err := l.AppendAsync(kind, time.Now(), data); err != nil {
						return err
					}
				default:
					if _, err := l.Append(kind, time.Now(), data); err != nil {
						return err
					}
					if kind == api.RecordAlert || kind == api.RecordHold {
						acked[string(data)] = true
					}
				}
			}
			if rng.IntN(2) == 0 { // power goes at any moment, also with nothing under way
				return l.SyncAll()
			}
			return nil
		}()
		rig.Kill(rng.IntN(2))
		l.Close() // what it still held is written but not synced
		rig.Revive()
		if err != nil {
			return err
		}
		if rng.IntN(2) == 0 {
			rig.Cut(t)
		}
	}
	l, err := wal.Open(dir, wal.Config{MaxBytes: 1 << 20, Disk: rig.Disk})
	if err != nil {
		return err
	}
	defer l.Close()
	for {
		records, err := l.Read(uint64(len(platform.stored))+1, 1000)
		if err != nil {
			return err
		}
		if len(records) == 0 {
			break
		}
		if err := platform.ingest(l, records); err != nil {
			return err
		}
	}
	times := map[string]int{}
	for _, s := range platform.stored {
		times[s]++
	}
	for text := range acked {
		if times[text] != 1 {
			return fmt.Errorf("acknowledged record %.20q is stored %d times", text, times[text])
		}
	}
	return nil
}

func TestLog_powerCuts(t *testing.T) {
	sites := []durable.Site{
		durable.SiteOpenFile, durable.SiteOpenDir, durable.SiteFrames, durable.SiteSegmentDir, durable.SiteRewrite,
		wal.SiteMkdir, wal.SiteMeta,
	}
	all := powercuttest.SiteConstants(t, ".", "../durable")
	slices.Sort(all)
	if got := slices.Sorted(slices.Values(sites)); !slices.Equal(got, all) {
		t.Errorf("the test knows the fsyncs %q, the code has %q", got, all)
	}
	powercuttest.Mutate(t, sites, 25, scenario)
}
