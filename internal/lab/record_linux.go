package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/ringwall/ringwall/internal/packet"
)

// Lengths of the parts of a recording.
const (
	recordQuiet = 20 * time.Second
	recordRest  = 2 * time.Second
)

// recordParts are the attacks of a recording, with how long each may take.
var recordParts = [...]struct {
	name string
	d    time.Duration
}{
	{Infect, time.Minute}, {Beacon, 12 * time.Second}, {MiraiScan, 2 * time.Second}, {UnknownScan, 2 * time.Second},
	{StrangerVideo, 3 * time.Second}, {MeterCompromise, 24 * time.Second}, {SIMSwap, 6 * time.Second},
}

// Record records a quiet home and then its fall into dir, as Recorded has it.
// The range should be fresh, and made with RecordConfig.
func (r *Range) Record(ctx context.Context, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var parts []part
	for _, p := range recordParts {
		d, ok := definitionOf(p.name)
		if !ok {
			return fmt.Errorf("there is no attack %q", p.name)
		}
		parts = append(parts, part{d, d.On})
	}
	l, _ := newLabels(parts)
	s := Script{
		Made: r.cfg.Now(), Seed: r.Seed(), Replaced: r.Replaced(), Devices: Devices(),
		SIM: RecordedSIM{r.ids.sim.ICCID.Reveal(), r.ids.sim.IMSI.Reveal(), r.ids.sim.IMEI.Reveal(), r.ids.sim.Peers},
	}
	rec, err := r.record(recorderConfig{label: l.label, path: filepath.Join(dir, recordedPackets), snap: brief})
	if err != nil {
		return err
	}
	err = r.story(ctx, &s, l)
	if err == nil {
		err = r.call(ctx, Operator, "flush", nil, nil)
	}
	if err := errors.Join(err, rec.stop()); err != nil {
		return err
	}
	s.Ended = r.cfg.Now() // after the last record of any kind
	if err := copyUsage(r.UsageFile(), filepath.Join(dir, recordedUsage)); err != nil {
		return err
	}
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, recordedScript), append(b, '\n'), 0o644)
}

// story lets the home be quiet, then attacks it.
func (r *Range) story(ctx context.Context, s *Script, l *labels) error {
	rest := func(d time.Duration) error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(d):
			return nil
		}
	}
	if err := rest(recordQuiet); err != nil {
		return err
	}
	for i, p := range recordParts {
		l.now.Store(int32(i))
		rep, err := r.Attack(ctx, p.name, AttackOptions{Seed: r.Seed() + uint64(i), Duration: p.d, NoCapture: true})
		if err != nil {
			return err
		}
		if !rep.Did {
			return fmt.Errorf("attack %q was foiled: %+v", p.name, rep.Steps)
		}
		s.Attacks = append(s.Attacks, rep)
		if err := rest(recordRest); err != nil {
			return err
		}
	}
	return nil
}

// brief keeps the head of packets that are full of what nobody can read in a
// recording, video and what TLS hides, and all of others.
func brief(data []byte) int {
	const full, head = 1000, 96
	var p packet.Packet
	if err := packet.Decode(packet.LinkEthernet, data, &p); err != nil || !p.Has(packet.TCP) {
		return len(data)
	}
	for _, port := range []uint16{p.SrcPort, p.DstPort} {
		switch {
		case port == 554 && (len(data) >= full || len(p.Payload) > 0 && p.Payload[0] == '$'), // RFC 2326 section 10.12: interleaved
			port == 443 && len(data) >= 2*head:
			return head
		}
	}
	return len(data)
}

// copyUsage copies the usage records, all of which belong to a fresh range.
func copyUsage(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
