package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/ringwall/ringwall/internal/capture"
	"github.com/ringwall/ringwall/internal/lab/wire"
	"github.com/ringwall/ringwall/internal/netns"
	"github.com/ringwall/ringwall/internal/packet"
)

// recorder watches the gateway and the victims of an attack: it labels,
// counts and records.
//
// At the gateway it takes every packet once, where it first comes in: at their
// ports what devices send, at the uplink what the internet sends, and at the
// bridge what the gateway itself says. So it sees what the packet filter
// refuses, too, whether it filters frames or packets.
type recorder struct {
	label func(*packet.Packet) string // "" = benign
	snap  func(data []byte) int       // how many bytes are kept of a packet; nil = all

	mu         sync.Mutex // guards what follows
	out        *capture.Writer
	left       int64 // bytes that may still be written
	held       []held
	first      time.Time
	last       time.Time
	packets    uint64
	unrecorded uint64
	arrived    map[string]*Arrival
	err        error

	cancel context.CancelFunc
	wg     sync.WaitGroup
	taps   []*wire.Tap
	file   *os.File
	buf    *bufio.Writer
}

type held struct {
	data  []byte
	orig  int
	time  time.Time
	label string
}

// Bounds of a recording.
const (
	maxCapture = 64 << 20
	// holdFor is how long a packet is held back, so that those of several taps
	// are written in the order of their times.
	holdFor = 300 * time.Millisecond
	maxHeld = 4096
)

// recorderConfig says what to record.
type recorderConfig struct {
	label   func(*packet.Packet) string
	path    string // "" = do not record
	victims []string
	snap    func(data []byte) int
}

func (r *Range) record(c recorderConfig) (*recorder, error) {
	ctx, cancel := context.WithCancel(r.ctx)
	rec := &recorder{label: c.label, snap: c.snap, left: maxCapture, cancel: cancel, arrived: map[string]*Arrival{}}
	if err := rec.open(ctx, r, c); err != nil {
		return nil, errors.Join(err, rec.stop())
	}
	return rec, nil
}

func (rec *recorder) open(ctx context.Context, r *Range, c recorderConfig) (err error) {
	if c.path != "" {
		if rec.file, err = os.Create(c.path); err != nil {
			return err
		}
		rec.buf = bufio.NewWriterSize(rec.file, 1<<16)
		if rec.out, err = capture.NewWriter(rec.buf, packet.LinkEthernet); err != nil {
			return err
		}
	}
	gw := r.NS(Gateway)
	incoming := func(f wire.Frame) {
		if !f.Outgoing {
			rec.gateway(f)
		}
	}
	for _, h := range plan() {
		if !h.home {
			continue
		}
		if err := rec.tap(ctx, gw, Port(h.name), incoming); err != nil {
			return err
		}
	}
	if err := rec.tap(ctx, gw, Uplink, incoming); err != nil {
		return err
	}
	own := addrOf(Gateway)
	err = rec.tap(ctx, gw, Bridge, func(f wire.Frame) {
		if f.Outgoing && source(f.Data) == own {
			rec.gateway(f)
		}
	})
	if err != nil {
		return err
	}
	for _, v := range c.victims {
		ns := r.NS(v)
		if ns == nil {
			return fmt.Errorf("there is no actor %q", v)
		}
		rec.arrived[v] = &Arrival{Actor: v}
		err := rec.tap(ctx, ns, "eth0", func(f wire.Frame) {
			if !f.Outgoing {
				rec.arrival(v, f)
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// source returns the source address of an IPv4 frame.
func source(data []byte) netip.Addr {
	if len(data) < 30 || data[12] != 8 || data[13] != 0 {
		return netip.Addr{}
	}
	return netip.AddrFrom4([4]byte(data[26:30]))
}

func (rec *recorder) tap(ctx context.Context, ns *netns.NS, ifc string, f func(wire.Frame)) error {
	var t *wire.Tap
	if err := ns.Do(func() (err error) { t, err = wire.Open(ifc); return err }); err != nil {
		return err
	}
	rec.taps = append(rec.taps, t)
	rec.wg.Go(func() {
		if err := t.Run(ctx, f); err != nil {
			rec.mu.Lock()
			defer rec.mu.Unlock()
			rec.err = errors.Join(rec.err, err)
		}
	})
	return nil
}

// name labels a frame; "" = benign.
func (rec *recorder) name(data []byte) string {
	var p packet.Packet
	if err := packet.Decode(packet.LinkEthernet, data, &p); err != nil && !p.IP() {
		return ""
	}
	return rec.label(&p)
}

func (rec *recorder) gateway(f wire.Frame) {
	label := rec.name(f.Data)
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if label != "" {
		rec.packets++
		if rec.first.IsZero() || f.Time.Before(rec.first) {
			rec.first = f.Time
		}
		if f.Time.After(rec.last) {
			rec.last = f.Time
		}
	}
	if rec.out == nil {
		return
	}
	data := f.Data
	if rec.snap != nil {
		data = data[:min(rec.snap(data), len(data))]
	}
	rec.held = append(rec.held, held{slices.Clone(data), f.OrigLen, f.Time, label})
	if len(rec.held) >= maxHeld || f.Time.Sub(rec.held[0].time) > 2*holdFor {
		rec.flush(f.Time.Add(-holdFor))
	}
}

// flush writes what was held that came before a time. Callers hold mu.
func (rec *recorder) flush(before time.Time) {
	slices.SortStableFunc(rec.held, func(a, b held) int { return a.time.Compare(b.time) })
	n := 0
	for ; n < len(rec.held) && (len(rec.held)-n >= maxHeld || rec.held[n].time.Before(before)); n++ {
		h := rec.held[n]
		if rec.left -= int64(len(h.data)) + 64; rec.left < 0 {
			rec.unrecorded++
			continue
		}
		comment := "label=benign"
		if h.label != "" {
			comment = "label=" + h.label
		}
		if err := rec.out.Write(h.data, h.time, h.orig, comment); err != nil && rec.err == nil {
			rec.err = err
		}
	}
	rec.held = slices.Delete(rec.held, 0, n)
}

func (rec *recorder) arrival(actor string, f wire.Frame) {
	if rec.name(f.Data) == "" {
		return
	}
	rec.mu.Lock()
	defer rec.mu.Unlock()
	a := rec.arrived[actor]
	if a.Packets++; a.First.IsZero() || f.Time.Before(a.First) {
		a.First = f.Time
	}
}

// stop ends the recording and closes its file.
func (rec *recorder) stop() error {
	rec.cancel()
	rec.wg.Wait()
	err := rec.err
	if rec.out != nil {
		rec.flush(time.Unix(1<<40, 0))
		err = errors.Join(rec.err, rec.buf.Flush())
	}
	if rec.file != nil {
		err = errors.Join(err, rec.file.Close())
	}
	return err
}

// tell fills in a report.
func (rec *recorder) tell(rep *Report, victims []string) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	rep.First, rep.Last, rep.Packets, rep.Unrecorded = rec.first, rec.last, rec.packets, rec.unrecorded
	for _, v := range victims {
		rep.Arrived = append(rep.Arrived, *rec.arrived[v])
	}
	for _, t := range rec.taps {
		rep.Dropped += t.Dropped()
	}
}
