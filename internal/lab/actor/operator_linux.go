package actor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/lab/wire"
	"github.com/ringwall/ringwall/internal/operatorport"
)

// operator plays a telecom operator: the card's packets pass it, it makes usage
// records of them, and its port suspends and restores the card, which takes
// the radio link down and up.
func operator(e *Env) (Ops, error) {
	s, err := settings[OperatorSettings](e)
	if err != nil {
		return nil, err
	}
	m := &meterOf{s: s, now: e.Now, out: os.NewFile(extraFD, "usage"), imei: s.IMEI, peers: map[netip.Addr]*volume{}}
	tap, err := wire.Open(s.Radio)
	if err != nil {
		return nil, err
	}
	e.Go("counting usage", func(ctx context.Context) error {
		return tap.Run(ctx, func(f wire.Frame) { m.packet(f.Data, f.OrigLen) })
	})
	e.Go("recording usage", func(ctx context.Context) error {
		t := time.NewTicker(s.Period)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return m.close()
			case <-t.C:
			}
			if err := m.close(); err != nil {
				return err
			}
		}
	})

	card := operatorport.Card{ICCID: ringwall.ICCID(s.ICCID), IMSI: ringwall.IMSI(s.IMSI)}
	store, err := operatorport.NewMemStore(e.Now, func(st operatorport.Status) {
		if err := radioLink(s.Radio, st.State == operatorport.Active); err != nil {
			// An operator that says suspended while the card works is worse than none.
			e.fail(err)
		}
	}, card)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp4", net.JoinHostPort(e.Addr.String(), s.Port))
	if err != nil {
		return nil, err
	}
	h := operatorport.NewHandler(operatorport.HandlerConfig{Store: store, Token: s.Token, Log: e.Log})
	serveHTTP(e, "serving the operator's port", &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, ErrorLog: quiet()}, l)
	return Ops{
		"state": op(func(ctx context.Context, _ struct{}) (any, error) {
			st, err := store.State(ctx, card)
			if err != nil {
				return nil, err
			}
			m.mu.Lock()
			defer m.mu.Unlock()
			out := m.state
			out.State = string(st.State)
			return out, nil
		}),
		"attach":  op(func(_ context.Context, a Attach) (any, error) { return nil, m.attach(a.IMEI) }),
		"service": op(func(_ context.Context, o Service) (any, error) { return nil, m.service(o) }),
		"flush":   op(func(context.Context, struct{}) (any, error) { return nil, m.close() }),
	}, nil
}

// radioLink takes the radio link up or down: the card really has service or
// none.
func radioLink(name string, up bool) error {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("finding the radio link: %w", err)
	}
	if up {
		err = netlink.LinkSetUp(l)
	} else {
		err = netlink.LinkSetDown(l)
	}
	if err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("switching the radio link: %w", err)
	}
	return nil
}
