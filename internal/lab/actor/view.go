package actor

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"
)

// View is one camera that a phone looks at.
type View struct {
	Camera   string     `json:"camera"`
	Addr     netip.Addr `json:"addr"`
	User     string     `json:"user"`
	Password string     `json:"password"`
	// Hold keeps one session open for good; otherwise it looks for Look, then
	// rests for Rest.
	Hold bool          `json:"hold,omitempty"`
	Look time.Duration `json:"look,omitempty"`
	Rest time.Duration `json:"rest,omitempty"`
}

// PhoneSettings are what a phone looks at.
type PhoneSettings struct {
	Views []View `json:"views"`
	Cloud string `json:"cloud"`
	Clock string `json:"clock"`
}

// ViewStats count what a phone saw of one camera.
type ViewStats struct {
	Camera   string        `json:"camera"`
	Sessions uint64        `json:"sessions"` // that began to play
	Failed   uint64        `json:"failed"`   // that did not
	Broken   uint64        `json:"broken"`   // that ended before their time
	Pictures uint64        `json:"pictures"`
	Lost     uint64        `json:"lost"`      // RTP packets missing
	Longest  time.Duration `json:"longestNs"` // between two pictures of one session
	Last     time.Time     `json:"last"`      // when the last picture came
	Error    string        `json:"error,omitempty"`
}

// PhoneStats are a phone's statistics.
type PhoneStats struct {
	Views  []ViewStats `json:"views"`
	Habits Habits      `json:"habits"`
}

// ViewPassword tells a phone a camera's new password.
type ViewPassword struct {
	Camera   string `json:"camera"`
	Password string `json:"password"`
}

// viewer looks at one camera.
type viewer struct {
	mu    sync.Mutex
	view  View
	stats ViewStats
}

// phone plays the owner's phone, which looks at cameras for good reasons.
func phone(e *Env) (Ops, error) {
	s, err := settings[PhoneSettings](e)
	if err != nil {
		return nil, err
	}
	var viewers []*viewer
	for _, view := range s.Views {
		v := &viewer{view: view, stats: ViewStats{Camera: view.Camera}}
		viewers = append(viewers, v)
		e.Go("viewing", func(ctx context.Context) error { v.run(ctx, e); return nil })
	}
	h := startHabits(e, s.Cloud, s.Clock, true)
	ops := Ops{
		"stats": op(func(context.Context, struct{}) (any, error) {
			out := PhoneStats{Habits: h.stats()}
			for _, v := range viewers {
				v.mu.Lock()
				out.Views = append(out.Views, v.stats)
				v.mu.Unlock()
			}
			return out, nil
		}),
		"password": op(func(_ context.Context, o ViewPassword) (any, error) {
			for _, v := range viewers {
				v.mu.Lock()
				found := v.view.Camera == o.Camera
				if found {
					v.view.Password = o.Password
				}
				v.mu.Unlock()
				if found {
					return nil, nil
				}
			}
			return nil, fmt.Errorf("this phone does not view %q", o.Camera)
		}),
	}
	newBots(e).ops(ops)
	return ops, nil
}

// retry is how long a phone waits after a session that ended badly.
const retry = time.Second

func (v *viewer) run(ctx context.Context, e *Env) {
	for ctx.Err() == nil {
		v.mu.Lock()
		view := v.view
		v.mu.Unlock()
		sctx, cancel := ctx, context.CancelFunc(func() {})
		if !view.Hold {
			sctx, cancel = context.WithTimeout(ctx, view.Look)
		}
		err := v.session(sctx, e, view)
		ended := sctx.Err() != nil
		cancel()
		rest := view.Rest
		if !ended {
			v.broke(err)
			rest = retry
		}
		select {
		case <-ctx.Done():
		case <-time.After(rest):
		}
	}
}

// session looks once, until ctx ends or the camera does.
func (v *viewer) session(ctx context.Context, e *Env, view View) error {
	var last time.Time
	return watchVideo(ctx, watchConfig{Addr: view.Addr, User: view.User, Password: view.Password}, func(p picture) {
		now := e.Now()
		v.mu.Lock()
		defer v.mu.Unlock()
		v.stats.Lost += p.lost
		v.stats.Pictures++
		v.stats.Last = now
		if last.IsZero() {
			v.stats.Sessions++
		} else {
			v.stats.Longest = max(v.stats.Longest, now.Sub(last))
		}
		last = now
	})
}

// broke notes a session that ended before its time.
func (v *viewer) broke(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if err == nil {
		return
	}
	v.stats.Error = err.Error()
	if errors.Is(err, errNotPlayed) {
		v.stats.Failed++
		return
	}
	v.stats.Broken++
}
