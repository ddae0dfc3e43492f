package agent

import (
	"context"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/nft"
)

// noticeEvery is how often the same thing is noticed of the same device.
const noticeEvery = 10 * time.Minute

// tried is one thing that a device tried.
type tried struct {
	mark   uint32
	reason string
	port   uint16
}

// refusals takes the packet filter's samples of what it refused: who asks for a
// port mapping or answers as a server is reported, once in a while. The counters
// have how often.
func (a *Agent) refusals(ctx context.Context, ready func()) error {
	ready()
	seen := once[tried]{every: noticeEvery, most: 4096}
	for ctx.Err() == nil {
		err := a.fence.Refusals(ctx, func(r nft.Refusal) { a.refused(&seen, r) })
		if ctx.Err() != nil {
			return nil
		}
		a.log.Warn("samples of refusals cannot be had; trying again", "err", err)
		select {
		case <-ctx.Done():
		case <-time.After(redial):
		}
	}
	return nil
}

func (a *Agent) refused(seen *once[tried], r nft.Refusal) {
	kind, text := "", ""
	switch r.Reason {
	case nft.ReasonPortMapping:
		kind, text = api.NoticeMappingTry, mappingProtocol(r.Dst.Port())
	case nft.ReasonRogue:
		kind, text = api.NoticeRogue, "answers as a server of addresses or a router"
	default:
		return
	}
	if !seen.first(tried{r.Mark, r.Reason, r.Dst.Port()}, a.cfg.Now()) {
		return
	}
	a.notice(api.Notice{Kind: kind, Device: a.ofMark(r.Mark), Addr: r.Dst, Text: text, Time: r.Time.UTC(), Detail: map[string]string{"source": r.Src.String()}})
}

// mappingProtocol names what asks for port mappings on a port of the gateway.
func mappingProtocol(port uint16) string {
	switch port {
	case 1900:
		return "SSDP (UPnP IGD)"
	case 5351:
		return "NAT-PMP or PCP"
	}
	return "UPnP IGD"
}

// ofMark returns the device with a mark, "" for strangers.
func (a *Agent) ofMark(mark uint32) ringwall.DeviceID {
	for _, d := range a.view.Load().desired.Devices {
		if d.Mark == mark {
			return d.Device
		}
	}
	return ""
}
