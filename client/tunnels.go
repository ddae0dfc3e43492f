package client

import (
	"context"
	"net"
	"net/http"
	"net/url"

	"github.com/coder/websocket"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// AskTunnel asks for a way to one TCP port of a device.
func (c *Client) AskTunnel(ctx context.Context, id ringwall.DeviceID, ask api.TunnelAsk) (api.RemoteTunnel, error) {
	return post[api.RemoteTunnel](ctx, c, path("devices", string(id), "tunnels"), ask)
}

// TunnelFilter narrows a list of tunnels; zero fields do not.
type TunnelFilter struct {
	Device ringwall.DeviceID
	State  string
}

// Tunnels lists tunnels, newest first.
func (c *Client) Tunnels(ctx context.Context, f TunnelFilter, p Paging) (api.Page[api.RemoteTunnel], error) {
	q := url.Values{}
	set(q, "device", string(f.Device))
	set(q, "state", f.State)
	return get[api.Page[api.RemoteTunnel]](ctx, c, path("tunnels"), p.into(q))
}

// Tunnel answers one tunnel.
func (c *Client) Tunnel(ctx context.Context, id ringwall.TunnelID) (api.RemoteTunnel, error) {
	return get[api.RemoteTunnel](ctx, c, path("tunnels", string(id)), nil)
}

// DecideTunnel approves, declines or closes a tunnel.
func (c *Client) DecideTunnel(ctx context.Context, id ringwall.TunnelID, do string) (api.RemoteTunnel, error) {
	return post[api.RemoteTunnel](ctx, c, path("tunnels", string(id), "decision"), api.TunnelDecision{Do: do})
}

// TunnelSettings answers who approves tunnels and how long they last at most.
func (c *Client) TunnelSettings(ctx context.Context) (api.TunnelSettings, error) {
	return get[api.TunnelSettings](ctx, c, path("tunnels", "settings"), nil)
}

// PutTunnelSettings lays it down anew.
func (c *Client) PutTunnelSettings(ctx context.Context, in api.TunnelSettings) (out api.TunnelSettings, err error) {
	err = c.send(ctx, call{method: http.MethodPut, path: path("tunnels", "settings"), in: in}, &out)
	return out, err
}

// TunnelRecording reads a page of what went through a tunnel.
func (c *Client) TunnelRecording(ctx context.Context, id ringwall.TunnelID, name string, p Paging) (api.Page[api.TunnelFrame], error) {
	q := url.Values{}
	set(q, "name", name)
	set(q, "cursor", p.Cursor)
	return get[api.Page[api.TunnelFrame]](ctx, c, path("tunnels", string(id), "recording"), q)
}

// ConnectTunnel opens one connection through an approved tunnel. ctx bounds the
// connection, not only its opening.
func (c *Client) ConnectTunnel(ctx context.Context, id ringwall.TunnelID) (net.Conn, error) {
	req, err := c.request(ctx, call{method: http.MethodGet, path: path("tunnels", string(id), "connect")})
	if err != nil {
		return nil, err
	}
	hc := *c.http
	hc.Timeout = 0 // it would end the connection too
	ws, resp, err := websocket.Dial(ctx, req.URL.String(), &websocket.DialOptions{HTTPClient: &hc, HTTPHeader: req.Header, CompressionMode: websocket.CompressionDisabled})
	if err != nil {
		if resp != nil && resp.StatusCode >= 400 {
			defer resp.Body.Close()
			return nil, problem(resp)
		}
		return nil, c.unreachable(ctx, err)
	}
	return websocket.NetConn(ctx, ws, websocket.MessageBinary), nil
}
