package actor

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/ringwall/ringwall/internal/lab/attack"
)

// MeterSettings make an electricity meter with two ways out: the home's
// network, and a SIM in its modem.
type MeterSettings struct {
	Cloud string `json:"cloud"`
	Clock string `json:"clock"`
	// Modem is the interface of its modem, Head the one address that it has
	// business with over it.
	Modem string     `json:"modem"`
	Head  netip.Addr `json:"head"`
}

// MeterState is what a meter tells of itself to the range.
type MeterState struct {
	Habits Habits `json:"habits"` // over the home's network
	Modem  Habits `json:"modem"`  // over the SIM
	Bots   int    `json:"bots"`
}

// meter plays an electricity meter. Over its SIM it sends a small reading at
// every pace; over the home's network it reports and asks the time.
func meter(e *Env) (Ops, error) {
	s, err := settings[MeterSettings](e)
	if err != nil {
		return nil, err
	}
	h := startHabits(e, s.Cloud, s.Clock, true)
	var mu sync.Mutex // guards modem
	var modem Habits
	d := net.Dialer{Timeout: 3 * time.Second, Control: attack.BindTo(s.Modem)}
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, DialContext: d.DialContext}}
	e.Go("reading the meter", func(ctx context.Context) error {
		every(ctx, e.Pace, func() {
			err := reading(ctx, e, client, s.Head)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				modem.Failed++
				modem.LastError = err.Error()
				return
			}
			modem.Sent++
		})
		return nil
	})
	b := newBots(e)
	ops := Ops{
		"state": op(func(context.Context, struct{}) (any, error) {
			mu.Lock()
			defer mu.Unlock()
			return MeterState{Habits: h.stats(), Modem: modem, Bots: b.running()}, nil
		}),
		"clean": op(func(context.Context, struct{}) (any, error) { b.stop(); return nil, nil }),
	}
	b.ops(ops)
	return ops, nil
}

// reading sends one reading over the modem.
func reading(ctx context.Context, e *Env, client *http.Client, head netip.Addr) error {
	body, err := json.Marshal(map[string]any{"meter": e.Name, "time": e.Now().UTC(), "kWh": 1234.5})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+head.String()+"/v1/report", bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("sending a reading: %s", resp.Status)
	}
	return nil
}
