package lab_test

import (
	"context"
	"errors"
	"io/fs"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/internal/lab"
	"github.com/ringwall/ringwall/internal/packet"
)

func TestRecorded_isSmall(t *testing.T) {
	total := int64(0)
	err := fs.WalkDir(lab.Recorded(), ".", func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		i, err := d.Info()
		if err == nil {
			total += i.Size()
		}
		return err
	})
	if err != nil || total > 1_500_000 {
		t.Errorf("the recording has %d bytes, %v, want at most 1,500,000", total, err)
	}
}

// played is what a player gave.
type played struct {
	labels  map[string]int
	records int
	imeis   map[ringwall.IMEI]bool
	attacks []lab.Report
	first   time.Time
	last    time.Time
}

func (p *played) see(t *testing.T, at time.Time) {
	if at.Before(p.last) {
		t.Errorf("%s is given after %s", at, p.last)
	}
	if p.first.IsZero() {
		p.first = at
	}
	p.last = at
	if now := time.Now(); at.After(now.Add(time.Second)) {
		t.Errorf("%s is given at %s, in the future", at, now)
	}
}

func play(t *testing.T, cfg lab.PlayerConfig) *played {
	t.Helper()
	p := &played{labels: map[string]int{}, imeis: map[ringwall.IMEI]bool{}}
	cfg.Frame = func(data []byte, at time.Time, origLen int, label string) error {
		p.see(t, at)
		var k packet.Packet
		if err := packet.Decode(packet.LinkEthernet, data, &k); err != nil && !k.IP() {
			t.Errorf("a packet does not decode: %v", err)
		}
		if origLen < len(data) {
			t.Errorf("a packet of %d bytes was %d long", len(data), origLen)
		}
		p.labels[label]++
		return nil
	}
	cfg.Usage = func(r *cdr.Record) error {
		p.see(t, r.Time)
		p.records++
		p.imeis[r.IMEI] = true
		return nil
	}
	cfg.Attack = func(r lab.Report) error {
		p.see(t, r.From)
		p.attacks = append(p.attacks, r)
		return nil
	}
	pl, err := lab.NewPlayer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := pl.Play(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPlayer_playsTheWholeStory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		const speed = 4
		p := play(t, lab.PlayerConfig{Speed: speed})
		pl, err := lab.NewPlayer(lab.PlayerConfig{})
		if err != nil {
			t.Fatal(err)
		}
		took, want := time.Since(began), pl.Length()/speed
		if took < want*9/10 || took > want*11/10 {
			t.Errorf("played in %s, want about %s", took, want)
		}
		for _, l := range []string{"benign", lab.Infect, lab.Beacon, lab.MiraiScan, lab.UnknownScan, lab.StrangerVideo, lab.MeterCompromise} {
			if p.labels[l] < 10 {
				t.Errorf("%d packets of %q", p.labels[l], l)
			}
		}
		if len(p.attacks) != 7 || p.records < 10 || len(p.imeis) != 2 {
			t.Errorf("%d attacks, %d usage records of %d equipments", len(p.attacks), p.records, len(p.imeis))
		}
		for _, a := range p.attacks {
			if !a.Did {
				t.Errorf("the recorded attack %q was foiled", a.Name)
			}
			if !a.First.IsZero() && (a.First.Before(a.From) || a.Last.After(a.To.Add(time.Second))) {
				t.Errorf("attack %q from %s to %s has packets from %s to %s", a.Name, a.From, a.To, a.First, a.Last)
			}
		}
		if span := p.last.Sub(p.first); span < pl.Length()*8/10 {
			t.Errorf("what was given spans %s, the recording %s: pauses must not shrink", span, pl.Length())
		}
	})
}

func TestPlayer_withoutPauses(t *testing.T) {
	p := play(t, lab.PlayerConfig{Speed: -1})
	if len(p.labels) < 6 {
		t.Errorf("labels = %v", p.labels)
	}
}

func TestPlayer_stops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	pl, err := lab.NewPlayer(lab.PlayerConfig{Speed: -1, Frame: func([]byte, time.Time, int, string) error {
		if n++; n == 10 {
			cancel()
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := pl.Play(ctx); !errors.Is(err, context.Canceled) || n != 10 {
		t.Errorf("stopped by %v after %d packets", err, n)
	}
}

func TestNewPlayer_refuses(t *testing.T) {
	good := map[string]string{}
	for _, f := range []string{"script.json", "home.pcapng", "usage.csv"} {
		b, err := fs.ReadFile(lab.Recorded(), f)
		if err != nil {
			t.Fatal(err)
		}
		good[f] = string(b)
	}
	for name, x := range map[string]struct{ file, text string }{
		"no script":     {"script.json", "-"},
		"garbage":       {"script.json", "{"},
		"unknown field": {"script.json", `{"made":"2026-01-01T00:00:00Z","ended":"2026-01-01T00:01:00Z","run":"rm"}`},
		"no time":       {"script.json", "{}"},
		"a year":        {"script.json", `{"made":"2026-01-01T00:00:00Z","ended":"2027-01-01T00:01:00Z"}`},
		"no packets":    {"home.pcapng", "-"},
		"no capture":    {"home.pcapng", "GIF89a"},
		"no usage":      {"usage.csv", "-"},
		"no columns":    {"usage.csv", "a,b\n"},
	} {
		fsys := fstest.MapFS{}
		for f, text := range good {
			if f == x.file {
				text = x.text
			}
			if text != "-" {
				fsys[f] = &fstest.MapFile{Data: []byte(text)}
			}
		}
		pl, err := lab.NewPlayer(lab.PlayerConfig{FS: fsys, Speed: -1})
		if err == nil {
			err = pl.Play(t.Context())
		}
		if err == nil || ringwall.CodeOf(err) != ringwall.Invalid {
			t.Errorf("%s: %v, want code invalid", name, err)
		}
	}
}
