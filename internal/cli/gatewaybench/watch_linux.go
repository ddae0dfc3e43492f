package gatewaybench

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/flow"
	"github.com/ringwall/ringwall/internal/detect"
	"github.com/ringwall/ringwall/internal/meter"
	"github.com/ringwall/ringwall/internal/packet"
	"github.com/ringwall/ringwall/internal/policy"
	"github.com/ringwall/ringwall/internal/tap"
)

// watch is what the agent has on its interfaces: a tap on the port and one on
// the uplink, whose packets go to the detectors and the meter, one at a time.
type watch struct {
	taps   []*tap.Tap
	end    context.CancelFunc
	wg     sync.WaitGroup
	seen   atomic.Uint64
	alerts atomic.Uint64
	flows  atomic.Uint64

	mu     sync.Mutex
	engine *detect.Engine
	meter  *meter.Meter
	errs   []error
}

func native(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }

func watchRig(r *Rig) (*watch, error) {
	w := &watch{}
	d := r.Desired()
	byID := make(map[ringwall.DeviceID]*policy.Judge, len(d.Devices))
	seen, counted := make([]detect.Device, 0, len(d.Devices)), make([]meter.Device, 0, len(d.Devices))
	for i := range d.Devices {
		dp := &d.Devices[i]
		byID[dp.Device] = policy.NewJudge(*dp, policy.Site{})
		seen = append(seen, detect.Device{ID: dp.Device, MAC: dp.Binding.MAC, IP: dp.Binding.IP, Terms: dp.Terms, Mode: dp.Mode})
		counted = append(counted, meter.Device{ID: dp.Device, MAC: dp.Binding.MAC, IP: dp.Binding.IP})
	}
	w.engine = detect.New(detect.Config{Local: d.LocalNets, Alert: func(ringwall.Alert) { w.alerts.Add(1) }})
	w.meter = meter.New(meter.Config{
		Local: d.LocalNets,
		Verdict: func(k *meter.Key) (flow.Verdict, string, string) {
			judge := byID[k.Device]
			if judge == nil {
				return flow.Refused, "stranger", ""
			}
			f := policy.Flow{Direction: api.Direction(k.Direction), Local: k.Local, Remote: k.Remote, Proto: flow.ProtoName(k.Proto)}
			v := judge.Decide(ringwall.Unrestricted, f)
			if !v.Pass {
				return flow.Refused, v.Reason, v.Term
			}
			return flow.Allowed, v.Reason, v.Term
		},
		Emit: func(rec flow.Record) {
			if _, err := rec.MarshalBinary(); err == nil { // as the agent does, before it writes it down
				w.flows.Add(1)
			}
		},
	})
	w.engine.SetDevices(seen)
	w.meter.SetDevices(counted)
	self := map[packet.MAC]bool{packet.MAC(bridgeMAC): true}
	ctx, cancel := context.WithCancel(context.Background())
	w.end = cancel
	for _, name := range []string{Port, Uplink} {
		uplink := name == Uplink
		t, err := tap.Open(tap.Config{Interface: name, NS: r.Gateway, RingBytes: tap.DefaultRing / 2, IgnoreOutgoing: uplink})
		if err != nil {
			return nil, errors.Join(err, w.stop())
		}
		if err := r.Gateway.Do(func() error {
			i, err := net.InterfaceByName(name)
			if err == nil {
				self[packet.MAC(i.HardwareAddr)] = true
			}
			return err
		}); err != nil {
			return nil, errors.Join(err, w.stop())
		}
		w.taps = append(w.taps, t)
	}
	for _, t := range w.taps {
		w.wg.Go(func() {
			var p packet.Packet
			err := t.Run(ctx, func(data []byte, ts time.Time, origLen int) {
				_ = packet.Decode(t.Link(), data, &p) // what cannot be decoded is judged as far as it goes
				p.Time, p.OrigLen = ts, origLen
				n := w.seen.Add(1)
				w.mu.Lock()
				defer w.mu.Unlock()
				p.Number = n
				if self[p.SrcMAC] && !(p.Has(packet.TCP) && p.Flags&packet.ACK != 0) {
					return
				}
				w.engine.Packet(&p)
				w.meter.Packet(&p)
			})
			w.mu.Lock()
			w.errs = append(w.errs, err)
			w.mu.Unlock()
		})
	}
	return w, nil
}

func (w *watch) stats() (seen, lost uint64) {
	for _, t := range w.taps {
		lost += t.Stats().Drops
	}
	return w.seen.Load(), lost
}

func (w *watch) stop() error {
	if w.end != nil {
		w.end()
	}
	w.wg.Wait()
	errs := w.errs
	for _, t := range w.taps {
		errs = append(errs, t.Close())
	}
	return errors.Join(errs...)
}
