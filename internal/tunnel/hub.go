package tunnel

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/ringwall/ringwall"
)

// Hub is the platform's end of all tunnels.
type Hub struct {
	end *end

	mu    sync.Mutex
	peers map[ringwall.GatewayID]string // public key, hex
}

// OpenHub listens on a UDP port of all addresses; 0 lets the system choose.
func OpenHub(key Key, port uint16, log *slog.Logger) (*Hub, error) {
	e, err := openEnd(key, HubAddr(), port, log)
	if err != nil {
		return nil, err
	}
	return &Hub{end: e, peers: map[ringwall.GatewayID]string{}}, nil
}

// Port returns the UDP port on which it listens.
func (h *Hub) Port() uint16 { return h.end.port() }

// Allow lets a gateway with this public key come in. Whoever has no tunnel open is
// not answered at all.
func (h *Hub) Allow(gw ringwall.GatewayID, public []byte) error {
	k, err := publicHex(public)
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.peers[gw] == k {
		return nil
	}
	conf := ""
	if old := h.peers[gw]; old != "" {
		conf = "public_key=" + old + "\nremove=true\n"
	}
	conf += "public_key=" + k + "\nreplace_allowed_ips=true\nallowed_ip=" + GatewayAddr(gw).String() + "/128"
	if err := h.end.set(conf); err != nil {
		return err
	}
	h.peers[gw] = k
	return nil
}

// Forget shuts a gateway out.
func (h *Hub) Forget(gw ringwall.GatewayID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if k := h.peers[gw]; k != "" {
		delete(h.peers, gw)
		_ = h.end.set("public_key=" + k + "\nremove=true") // a peer that is not there is removed already
	}
}

// dialTime bounds the way through gateway and device.
const dialTime = 20 * time.Second

// Dial connects through a tunnel of a gateway to the device behind it. It waits
// for the gateway to come up, as long as ctx and 20 seconds allow.
func (h *Hub) Dial(ctx context.Context, gw ringwall.GatewayID, id ringwall.TunnelID) (net.Conn, error) {
	h.mu.Lock()
	known := h.peers[gw] != ""
	h.mu.Unlock()
	if !known {
		return nil, ringwall.Errorf(ringwall.Unavailable, "the gateway has not said yet that it can open tunnels")
	}
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	// The gateway may not have dialled yet, or not listen yet: it is asked again.
	for {
		c, err := h.end.net.DialContextTCPAddrPort(ctx, netip.AddrPortFrom(GatewayAddr(gw), Port(id)))
		if err == nil {
			return c, nil
		}
		select {
		case <-ctx.Done():
			return nil, &ringwall.Error{Code: ringwall.Unavailable, Text: "the gateway does not answer in the tunnel", Err: err}
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// Close ends all tunnels.
func (h *Hub) Close() error {
	h.end.close()
	return nil
}
