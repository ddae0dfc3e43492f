package trial

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/lab"
)

// Cut is how long it took to cut one device off, counted from the moment a person asks
// the platform for it.
type Cut struct {
	ToAnswer time.Duration `json:"toAnswerNs"` // until the platform has answered
	ToLast   time.Duration `json:"toLastNs"`   // until the last packet of a live stream arrived
	After    uint64        `json:"after"`      // packets that arrived after the platform's answer
}

// streamRate is how many packets a second the stream has that is cut: the cut is
// known to that grain.
const streamRate = 1000

// CutOff has a device stream to a host of the Internet, asks the platform to cut
// it off, and tells when the last packet arrived; runs times. What a person asks
// for takes the same way whether it is quarantine or cutoff. It is cutoff here,
// and the host is one of the remediation set, because trust recovers slowly: the
// stream flows again as soon as the device is released.
func (t *Trial) CutOff(ctx context.Context, runs int) ([]Cut, error) {
	cam, err := t.Device(ctx, lab.BadCam)
	if err != nil {
		return nil, err
	}
	host, _ := lab.Addr(lab.Loader)
	at := netip.AddrPortFrom(host, 9000)
	g, err := t.Client.Gateway(ctx, cam.Gateway)
	if err != nil {
		return nil, err
	}
	remedy := append(g.Remediate, api.Term{ID: "stream", Action: api.Allow, Direction: api.FromDevice, CIDR: netip.PrefixFrom(host, 32), Proto: "udp"})
	if _, err := t.Client.PatchGateway(ctx, g.ID, api.GatewayPatch{Remediate: &remedy}); err != nil {
		return nil, err
	}
	if err := t.InForce(ctx); err != nil {
		return nil, err
	}
	sink, err := t.Range.NS(lab.Loader).ListenPacket(ctx, "udp4", at.String())
	if err != nil {
		return nil, err
	}
	defer sink.Close()
	var last, count atomic.Int64
	go func() {
		b := make([]byte, 64)
		for {
			n, _, err := sink.ReadFrom(b)
			if err != nil {
				return
			}
			if n == 16 { // when it was sent counts: what waits in a queue has passed
				last.Store(int64(binary.BigEndian.Uint64(b)))
				count.Add(1)
			}
		}
	}()
	stream, err := t.Range.NS(lab.BadCam).DialContext(ctx, "udp4", at.String())
	if err != nil {
		return nil, err
	}
	defer stream.Close()
	run, stop := context.WithCancel(ctx)
	defer stop()
	began := time.Now()
	go func() {
		b := make([]byte, 16)
		tick := time.NewTicker(time.Second / streamRate)
		defer tick.Stop()
		for n := uint64(0); ; n++ {
			select {
			case <-run.Done():
				return
			case <-tick.C:
			}
			binary.BigEndian.PutUint64(b, uint64(time.Since(began)))
			binary.BigEndian.PutUint64(b[8:], n)
			_, _ = stream.Write(b) // refused while it is cut off
		}
	}()
	var cuts []Cut
	for range runs {
		if err := t.Until(ctx, 30*time.Second, "the stream flows", func() (bool, error) {
			before := count.Load()
			time.Sleep(100 * time.Millisecond)
			return count.Load()-before > streamRate/20, nil
		}); err != nil {
			return cuts, err
		}
		c, err := t.cut(ctx, cam.ID, began, &last, &count)
		if err != nil {
			return cuts, err
		}
		cuts = append(cuts, c)
		if err := t.Release(ctx, cam.ID); err != nil {
			return cuts, err
		}
	}
	return cuts, nil
}

func (t *Trial) cut(ctx context.Context, cam ringwall.DeviceID, began time.Time, last, count *atomic.Int64) (c Cut, err error) {
	clicked := time.Since(began)
	_, err = t.Client.CreateResponse(ctx, api.ResponseCreate{
		Kind: "cutoff", Target: ringwall.Subject{Kind: ringwall.SubjectDevice, ID: string(cam)}, Reason: "a measurement",
	})
	if err != nil {
		return c, err
	}
	c.ToAnswer = time.Since(began) - clicked
	answered := count.Load()
	// It is over when nothing has arrived for long.
	for quiet, n := time.Now(), count.Load(); time.Since(quiet) < 300*time.Millisecond; time.Sleep(10 * time.Millisecond) {
		if now := count.Load(); now != n {
			quiet, n = time.Now(), now
		}
		if time.Since(began)-clicked > 20*time.Second {
			return c, fmt.Errorf("the stream is not cut after 20 s")
		}
	}
	c.After = uint64(count.Load() - answered)
	c.ToLast = max(0, time.Duration(last.Load())-clicked)
	return c, nil
}
