package actor

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
)

// Habits count what a device did of its own accord.
type Habits struct {
	Sent       uint64 `json:"sent"`
	Failed     uint64 `json:"failed"`
	ClockAsked uint64 `json:"clockAsked"`
	LastError  string `json:"lastError,omitempty"`
}

// habits are the standing traffic of a device: a report to the vendor's cloud
// at every pace, the time every sixth.
type habits struct {
	mu sync.Mutex
	h  Habits
}

func (h *habits) stats() Habits {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.h
}

// count notes one try.
func (h *habits) count(n *uint64, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil {
		h.h.Failed++
		h.h.LastError = err.Error()
		return
	}
	*n++
}

// startHabits begins the standing traffic of a device. cloud and clock are
// names; secure says whether it reports by HTTPS.
func startHabits(e *Env, cloud, clock string, secure bool) *habits {
	h := &habits{}
	client := e.web()
	e.Go("reporting", func(ctx context.Context) error {
		every(ctx, e.Pace, func() { h.count(&h.h.Sent, e.report(ctx, client, cloud, secure)) })
		return nil
	})
	e.Go("asking the time", func(ctx context.Context) error {
		every(ctx, 6*e.Pace, func() { h.count(&h.h.ClockAsked, e.setClock(ctx, clock)) })
		return nil
	})
	return h
}

// report posts one small report to the vendor's cloud.
func (e *Env) report(ctx context.Context, client *http.Client, cloud string, secure bool) error {
	body, err := json.Marshal(map[string]any{"device": e.Name, "time": e.Now().UTC(), "status": "ok"})
	if err != nil {
		return err
	}
	scheme := "http"
	if secure {
		scheme = "https"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, scheme+"://"+cloud+"/v1/report", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "rangecam/1.0")
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("reporting to %q: %s", cloud, resp.Status)
	}
	return nil
}

func (e *Env) setClock(ctx context.Context, clock string) error {
	addrs, err := e.lookup(ctx, clock)
	if err != nil {
		return err
	}
	_, err = e.askTime(ctx, addrs[0])
	return err
}
