package device

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/ringwall/ringwall/internal/onvif"
)

// Discovery says how a camera answers WS-Discovery.
type Discovery struct {
	Config
	// Endpoint is the camera's stable id, such as urn:uuid:…; "" makes one.
	Endpoint string
	// HTTP is where its device service answers.
	HTTP netip.AddrPort
}

// Respond answers discovery probes that arrive on conn until ctx ends, then
// returns nil. conn is the caller's: join the multicast group with
// net.ListenMulticastUDP(…, net.UDPAddrFromAddrPort(onvif.Multicast)). A probe
// is answered once, to its sender, and with one datagram: about four times
// what was asked, and nothing at all to what is not a probe.
func Respond(ctx context.Context, conn net.PacketConn, d Discovery) error {
	if d.Endpoint == "" {
		d.Endpoint = onvif.NewUUID()
	}
	m := onvif.Match{
		Endpoint: d.Endpoint, Scopes: d.scopes(), Addresses: []string{"http://" + d.HTTP.String() + "/onvif/device_service"},
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	buf := make([]byte, 16<<10)
	for {
		n, from, err := conn.ReadFrom(buf)
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("answering discovery: %w", err)
		}
		if err != nil {
			continue
		}
		id, ok, err := onvif.ParseProbe(buf[:n])
		if err != nil || !ok {
			continue
		}
		// A lost answer is the sender's to ask again.
		_, _ = conn.WriteTo(onvif.MatchEnvelope(m, id), from)
	}
}
