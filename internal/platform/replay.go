package platform

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/flow"
	"github.com/ringwall/ringwall/internal/detect"
	"github.com/ringwall/ringwall/internal/enforce"
	"github.com/ringwall/ringwall/internal/lab"
	"github.com/ringwall/ringwall/internal/meter"
	"github.com/ringwall/ringwall/internal/packet"
	"github.com/ringwall/ringwall/internal/policy"
	"github.com/ringwall/ringwall/internal/spine"
)

// replayGateway is a gateway whose packets are recorded. It is enrolled like
// any other, asks for its desired state and reports over the spine like any
// other, and judges with the same detectors, meter, reflexes and policy. What
// it lacks is a kernel: a verdict is what the packet filter would decide, and
// a hold is in force for the verdicts that follow.
//
// It belongs to the goroutine that plays the recording, but for poke.
type replayGateway struct {
	id    ringwall.GatewayID
	org   ringwall.OrgID
	conn  *spine.Conn
	now   func() time.Time
	epoch uint64
	seq   uint64
	out   []api.Record

	keeper *enforce.Keeper
	engine *detect.Engine
	meter  *meter.Meter
	ports  map[string]string // MAC -> port of the recorded gateway
	view   *api.Desired
	number uint64
	ticked time.Time

	mu     sync.Mutex
	stale  bool             // a newer desired state may be there
	alerts []ringwall.Alert // of the engine, to be reacted to between packets
}

// replayLimits: how often, in the recording's time, presence and health are
// reported, and how often the spine is asked.
const (
	replayTick  = time.Second
	replayFlush = 100 * time.Millisecond
)

// newReplayGateway enrols a gateway for a recording.
func newReplayGateway(ctx context.Context, d *demo, conn *spine.Conn, dir string, script lab.Script) (*replayGateway, error) {
	token, err := d.svc.CreateEnrolToken(ctx, d.actor())
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, err
	}
	a, err := d.svc.Enrol(ctx, api.EnrolRequest{
		Token: token.Token, Name: "Recorded gateway", CSR: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr})),
	})
	if err != nil {
		return nil, fmt.Errorf("enrolling the recorded gateway: %w", err)
	}
	keys := map[string]ed25519.PublicKey{}
	for id, k := range a.SigningKeys {
		keys[id] = k
	}
	g := &replayGateway{id: a.Gateway, org: a.Org, conn: conn, now: d.svc.now, epoch: uint64(d.svc.now().UnixNano()), ports: map[string]string{}, stale: true}
	for _, dev := range script.Devices {
		g.ports[dev.MAC] = dev.Port
	}
	if g.keeper, _, err = enforce.OpenKeeper(filepath.Join(dir, "enforce"), enforce.Config{Org: a.Org, Gateway: a.Gateway, Keys: keys, Now: g.now}); err != nil {
		return nil, err
	}
	local := []netip.Prefix{netip.MustParsePrefix("10.77.0.0/24")}
	g.engine = detect.New(detect.Config{Now: g.now, Local: local, Alert: func(a ringwall.Alert) { g.alerts = append(g.alerts, a) }})
	g.meter = meter.New(meter.Config{Local: local, Verdict: g.verdict, Emit: g.emit})
	return g, d.furnish(ctx, a.Gateway)
}

// poke hears that there is a newer desired state.
func (g *replayGateway) poke([]byte) {
	g.mu.Lock()
	g.stale = true
	g.mu.Unlock()
}

func (g *replayGateway) put(kind api.RecordKind, v any) {
	r := api.Record{Time: g.now().UTC(), Kind: kind}
	if kind == api.RecordFlow {
		r.Bin = v.([]byte)
	} else {
		b, err := json.Marshal(v)
		if err != nil {
			panic("platform: a record of plain values cannot be marshalled: " + err.Error())
		}
		r.Data = b
	}
	g.seq++
	r.Seq = g.seq
	g.out = append(g.out, r)
}

// send reports what there is, over the spine, and waits until it is stored.
func (g *replayGateway) send(ctx context.Context) error {
	for len(g.out) > 0 {
		n := min(len(g.out), api.MaxBatchRecords)
		b, err := json.Marshal(api.Batch{Version: api.Version, Epoch: g.epoch, Records: g.out[:n]})
		if err != nil {
			return err
		}
		data, err := g.conn.Request(ctx, api.ReportSubject(g.org, g.id), b)
		if err != nil {
			return err
		}
		var ack api.BatchAck
		if err := json.Unmarshal(data, &ack); err != nil {
			return err
		}
		if ack.Error != "" {
			return ringwall.Errorf(ringwall.Unavailable, "the platform did not take the recording's report: %s", ack.Error)
		}
		g.out = g.out[n:]
	}
	return nil
}

// fetch takes a newer desired state, if there is one.
func (g *replayGateway) fetch(ctx context.Context) error {
	g.mu.Lock()
	stale := g.stale
	g.stale = false
	g.mu.Unlock()
	if !stale {
		return nil
	}
	req, err := json.Marshal(api.DesiredRequest{Version: api.Version, Have: g.keeper.Have()})
	if err != nil {
		return err
	}
	data, err := g.conn.Request(ctx, api.DesiredSubject(g.org, g.id), req)
	if err != nil {
		return err
	}
	var a api.DesiredAnswer
	if err := json.Unmarshal(data, &a); err != nil {
		return err
	}
	if a.Signed == nil {
		return nil
	}
	lifted, err := g.keeper.Accept(*a.Signed)
	if err != nil {
		g.put(api.RecordAck, api.Ack{At: g.now(), Error: err.Error()})
		return nil
	}
	d := g.keeper.View().Desired
	g.view = &d
	var seen []detect.Device
	var counted []meter.Device
	for _, p := range d.Devices {
		seen = append(seen, detect.Device{ID: p.Device, MAC: p.Binding.MAC, IP: p.Binding.IP, Learned: p.Learned, Terms: p.Terms, Mode: p.Mode, Assessor: p.Assessor})
		counted = append(counted, meter.Device{ID: p.Device, MAC: p.Binding.MAC, IP: p.Binding.IP, Learn: p.Mode != ringwall.Enforce})
	}
	g.engine.SetDevices(seen)
	g.meter.SetDevices(counted)
	for _, l := range lifted {
		g.put(api.RecordHold, api.HoldReport{Hold: l.Hold, Lifted: true, Why: l.Why, InForce: g.now()})
	}
	sum := sha256.Sum256(a.Signed.Payload)
	g.put(api.RecordAck, api.Ack{Generation: d.Generation, Hash: "recorded-" + hex.EncodeToString(sum[:8]), At: g.now()})
	return nil
}

// verdict says what the packet filter would decide.
func (g *replayGateway) verdict(k *meter.Key) (flow.Verdict, string, string) {
	dev, ok := g.keeper.Device(k.Device)
	if !ok {
		return flow.Allowed, policy.ReasonLearn, ""
	}
	f := policy.Flow{Direction: api.Direction(k.Direction), Local: k.Local, Remote: k.Remote, Proto: flow.ProtoName(k.Proto), RemoteDevice: k.Peer}
	if k.Name != "" {
		f.Names = []string{k.Name}
	}
	v := policy.Decide(dev, g.keeper.InForce()[k.Device], g.view.Remediation, f)
	switch {
	case !v.Pass:
		return flow.Refused, v.Reason, v.Term
	case v.Would:
		return flow.WouldRefuse, v.Reason, v.Term
	}
	return flow.Allowed, v.Reason, v.Term
}

func (g *replayGateway) emit(r flow.Record) {
	if b, err := r.MarshalBinary(); err == nil {
		g.put(api.RecordFlow, b)
	}
}

// react reports the alerts since the last packet, and lets reflexes act.
func (g *replayGateway) react() error {
	for _, a := range g.alerts {
		a.Org, a.Gateway = g.org, g.id
		start := time.Now()
		if a.Nature == ringwall.NatureAttack && a.Subject.Kind == ringwall.SubjectDevice {
			g.meter.Taint(ringwall.DeviceID(a.Subject.ID), a.Time)
		}
		g.put(api.RecordAlert, a)
		if a.Subject.Kind != ringwall.SubjectDevice {
			continue
		}
		h, ok, why, err := g.keeper.React(a)
		if err != nil {
			return err
		}
		if ok {
			g.put(api.RecordHold, api.HoldReport{Hold: h, InForce: g.now(), Took: time.Since(start)})
		} else if why != "" {
			g.put(api.RecordHold, api.HoldReport{Hold: api.Hold{Device: ringwall.DeviceID(a.Subject.ID), Alert: a.ID}, Declined: why})
		}
	}
	g.alerts = g.alerts[:0]
	return nil
}

// frame judges one recorded packet.
func (g *replayGateway) frame(ctx context.Context, data []byte, t time.Time, origLen int) error {
	var p packet.Packet
	_ = packet.Decode(packet.LinkEthernet, data, &p) // what cannot be decoded is judged as far as it goes
	g.number++
	p.Number, p.Time, p.OrigLen = g.number, t, origLen
	g.engine.Packet(&p)
	g.meter.Packet(&p)
	if err := g.react(); err != nil {
		return err
	}
	if t.Sub(g.ticked) < replayFlush && len(g.out) == 0 {
		return nil
	}
	if t.Sub(g.ticked) >= replayTick {
		g.tick(t)
	}
	if err := g.send(ctx); err != nil {
		return err
	}
	return g.fetch(ctx)
}

// tick lets a second of the recording pass.
func (g *replayGateway) tick(t time.Time) {
	g.ticked = t
	g.engine.Tick(t)
	g.meter.Tick(t)
	for _, s := range g.meter.Sightings() {
		if s.Port = g.ports[s.MAC]; s.Port == "" {
			continue // the gateway itself, or nobody of the home
		}
		s.Presence = ringwall.Online
		g.put(api.RecordPresence, s)
	}
	if g.view != nil {
		for _, p := range g.view.Devices {
			if peers := g.meter.TakePeers(p.Device); len(peers) > 0 && p.Mode != ringwall.Enforce {
				g.put(api.RecordPeers, api.PeersSeen{Device: p.Device, Peers: peers})
			}
		}
	}
	for _, f := range g.meter.TakeFeatures() {
		g.put(api.RecordFeatures, f)
	}
	g.put(api.RecordHealth, api.Health{Version: "recorded", Tier: "recorded packets, no kernel", Packets: g.number, DNSRunning: false})
}

// startRecorded plays the range's recording where the range cannot run, and
// says why.
func startRecorded(ctx context.Context, svc *service, org ringwall.OrgID, conn *spine.Conn, dir, why string, speed float64) (*demo, error) {
	d := &demo{org: org, svc: svc, log: svc.log, why: why, running: map[string]bool{}, devices: map[string]ringwall.DeviceID{}}
	d.ctx, d.cancel = context.WithCancel(context.WithoutCancel(ctx))
	player, err := lab.NewPlayer(lab.PlayerConfig{Now: svc.now})
	if err != nil {
		return nil, err
	}
	script := player.Script()
	g, err := newReplayGateway(ctx, d, conn, dir, script)
	if err != nil {
		d.cancel()
		return nil, err
	}
	stop, err := conn.Subscribe(api.PokeSubject(g.org, g.id), g.poke)
	if err != nil {
		d.cancel()
		return nil, err
	}
	d.recorded = &script
	d.usage = filepath.Join(dir, "usage.csv")
	d.replay = func(ctx context.Context) error {
		return playOnce(ctx, g, d.usage, func() bool { return d.known(lab.Meter) != "" }, svc.now, speed)
	}
	events := svc.hub.watch(d.ctx, org)
	d.runs.Go(func() { d.welcome(events) })
	d.runs.Go(func() { <-d.ctx.Done(); stop() })
	return d, d.attack(lab.Full, "")
}

// playOnce plays the recording through the gateway, its usage records into the
// file that the platform follows: once the card is registered, as an operator
// issues a card before it is used, however fast the recording is played.
func playOnce(ctx context.Context, g *replayGateway, usage string, registered func() bool, now func() time.Time, speed float64) error {
	f, err := os.OpenFile(usage, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if s, err := f.Stat(); err == nil && s.Size() == 0 {
		if _, err := f.WriteString(cdr.Header()); err != nil {
			return err
		}
	}
	var held []byte // lines of a card that is not registered yet
	write := func() error {
		_, err := f.Write(held)
		held = held[:0]
		return err
	}
	p, err := lab.NewPlayer(lab.PlayerConfig{
		Now: now, Speed: speed,
		Frame: func(data []byte, t time.Time, origLen int, _ string) error { return g.frame(ctx, data, t, origLen) },
		Usage: func(r *cdr.Record) error {
			var err error
			if held, err = cdr.AppendLine(held, r); err == nil && registered() {
				err = write()
			}
			return err
		},
	})
	if err != nil {
		return err
	}
	if err := p.Play(ctx); err != nil {
		return err
	}
	for !registered() {
		if !waited(ctx, time.Second/10) {
			return nil
		}
	}
	return write()
}

// submitRecorded submits what an assessment of an actor found when the range
// was recorded, if one was made; it counts as found now.
func (d *demo) submitRecorded(actor string, id ringwall.DeviceID) error {
	a, ok, err := lab.RecordedAssessment(actor)
	if err != nil || !ok {
		return err
	}
	now := d.svc.now().UTC()
	a.Device, a.Started, a.Ended = id, now, now
	for i := range a.Findings {
		f := &a.Findings[i]
		if !f.Until.IsZero() {
			f.Until = now.Add(f.Until.Sub(f.Time))
		}
		f.Time = now
	}
	_, err = d.svc.SubmitAssessment(d.ctx, d.actor(), a)
	return err
}
