package lab

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/internal/capture"
	"github.com/ringwall/ringwall/internal/packet"
)

// Player plays a recorded range: packets, usage records and what was done, in
// the order and with the pauses of the recording.
//
// Times are moved so that the recording ends when it has been played: what is
// given never lies in the future, however fast it is played.
type Player struct {
	cfg    PlayerConfig
	script Script
	shift  time.Duration
}

// PlayerConfig configures a Player.
type PlayerConfig struct {
	FS    fs.FS            // nil = Recorded()
	Speed float64          // 2 = twice as fast; 0 = 1; negative = without pauses
	Now   func() time.Time // nil = time.Now
	// Frame, Usage and Attack are called one at a time, in order; nil ones are
	// left out. Data is good during the call only. The times inside a Report of
	// Attack are moved as well; it is called when the attack begins.
	Frame  func(data []byte, t time.Time, origLen int, label string) error
	Usage  func(r *cdr.Record) error
	Attack func(r Report) error
}

// NewPlayer opens a recording.
func NewPlayer(cfg PlayerConfig) (*Player, error) {
	if cfg.FS == nil {
		cfg.FS = Recorded()
	}
	if cfg.Speed == 0 {
		cfg.Speed = 1
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s, err := readScript(cfg.FS)
	if err != nil {
		return nil, err
	}
	return &Player{cfg: cfg, script: s}, nil
}

// Script tells what the recording holds, in its own times.
func (p *Player) Script() Script { return p.script }

// Length is how long the recording is.
func (p *Player) Length() time.Duration { return p.script.Ended.Sub(p.script.Made) }

// at is one thing that happens.
type at struct {
	time time.Time // of the recording
	do   func() error
}

// stream gives what happens next of one kind; io.EOF at the end.
type stream func() (at, error)

// Play plays the recording once, from the beginning to its end or until ctx
// ends, which is an error. It stops at the first error of a callback.
func (p *Player) Play(ctx context.Context) error {
	began := p.cfg.Now()
	played := time.Duration(0)
	if p.cfg.Speed > 0 {
		played = time.Duration(float64(p.Length()) / p.cfg.Speed)
	}
	p.shift = began.Add(played).Sub(p.script.Ended)

	frames, stop, err := p.frames()
	if err != nil {
		return err
	}
	defer stop()
	usage, stop, err := p.usage()
	if err != nil {
		return err
	}
	defer stop()
	streams := []stream{p.attacks(), usage, frames}
	next := make([]*at, len(streams))
	for {
		first := -1
		for i, s := range streams {
			if next[i] == nil && s != nil {
				a, err := s()
				if errors.Is(err, io.EOF) {
					streams[i] = nil
					continue
				}
				if err != nil {
					return err
				}
				next[i] = &a
			}
			if next[i] != nil && (first < 0 || next[i].time.Before(next[first].time)) {
				first = i
			}
		}
		if first < 0 {
			return nil
		}
		a := next[first]
		next[first] = nil
		if err := p.wait(ctx, began, a.time); err != nil {
			return err
		}
		if err := a.do(); err != nil {
			return err
		}
	}
}

// wait waits until it is time for what happened at t.
func (p *Player) wait(ctx context.Context, began, t time.Time) error {
	if p.cfg.Speed < 0 {
		return ctx.Err()
	}
	due := began.Add(time.Duration(float64(t.Sub(p.script.Made)) / p.cfg.Speed))
	d := due.Sub(p.cfg.Now())
	if d < time.Millisecond {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

func (p *Player) attacks() stream {
	left := p.script.Attacks
	return func() (at, error) {
		if len(left) == 0 {
			return at{}, io.EOF
		}
		r := left[0]
		left = left[1:]
		return at{r.From, func() error {
			if p.cfg.Attack == nil {
				return nil
			}
			return p.cfg.Attack(r.moved(p.shift))
		}}, nil
	}
}

// moved returns the report with its times moved.
func (r Report) moved(d time.Duration) Report {
	move := func(t time.Time) time.Time {
		if t.IsZero() {
			return t
		}
		return t.Add(d)
	}
	r.From, r.To, r.First, r.Last = move(r.From), move(r.To), move(r.First), move(r.Last)
	r.Arrived = append([]Arrival(nil), r.Arrived...)
	for i := range r.Arrived {
		r.Arrived[i].First = move(r.Arrived[i].First)
	}
	r.Steps = append([]Step(nil), r.Steps...)
	for i := range r.Steps {
		r.Steps[i].Start, r.Steps[i].End = move(r.Steps[i].Start), move(r.Steps[i].End)
	}
	return r
}

func (p *Player) usage() (stream, func() error, error) {
	f, err := p.cfg.FS.Open(recordedUsage)
	if err != nil {
		return nil, nil, ringwall.Errorf(ringwall.Invalid, "the recording has no usage records: %w", err)
	}
	rd, err := cdr.NewReader(f, cdr.Mapping{})
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return func() (at, error) {
		rec := new(cdr.Record)
		if err := rd.Read(rec); err != nil {
			return at{}, err
		}
		t := rec.Time
		rec.Time = t.Add(p.shift)
		return at{t, func() error {
			if p.cfg.Usage == nil {
				return nil
			}
			return p.cfg.Usage(rec)
		}}, nil
	}, f.Close, nil
}

func (p *Player) frames() (stream, func() error, error) {
	f, err := p.cfg.FS.Open(recordedPackets)
	if err != nil {
		return nil, nil, ringwall.Errorf(ringwall.Invalid, "the recording has no packets: %w", err)
	}
	rd, err := capture.NewReader(f)
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return func() (at, error) {
		fr, err := rd.Next()
		if err != nil {
			return at{}, err
		}
		if fr.Link != packet.LinkEthernet {
			return at{}, ringwall.Errorf(ringwall.Invalid, "the recording has packets of link type %d", fr.Link)
		}
		label := ""
		for _, c := range fr.Comments {
			if l, ok := strings.CutPrefix(c, "label="); ok {
				label = l
			}
		}
		return at{fr.Time, func() error {
			if p.cfg.Frame == nil {
				return nil
			}
			return p.cfg.Frame(fr.Data, fr.Time.Add(p.shift), fr.OrigLen, label)
		}}, nil
	}, f.Close, nil
}
