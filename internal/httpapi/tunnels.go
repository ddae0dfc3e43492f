package httpapi

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"

	"github.com/coder/websocket"
	"github.com/danielgtaylor/huma/v2"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/tunnel"
)

// TunnelFilter narrows a list of tunnels; zero fields do not.
type TunnelFilter struct {
	Device ringwall.DeviceID
	State  string
}

// Tunnels are ways of people to devices.
type Tunnels interface {
	TunnelSettings(ctx context.Context, a audit.Actor) (api.TunnelSettings, error)
	PutTunnelSettings(ctx context.Context, a audit.Actor, in api.TunnelSettings) (api.TunnelSettings, error)
	AskTunnel(ctx context.Context, a audit.Actor, id ringwall.DeviceID, ask api.TunnelAsk) (api.RemoteTunnel, error)
	// Tunnels lists newest first.
	Tunnels(ctx context.Context, a audit.Actor, f TunnelFilter, p Paging) (api.Page[api.RemoteTunnel], error)
	Tunnel(ctx context.Context, a audit.Actor, id ringwall.TunnelID) (api.RemoteTunnel, error)
	// DecideTunnel does "approve", "decline" or "close".
	DecideTunnel(ctx context.Context, a audit.Actor, id ringwall.TunnelID, do string) (api.RemoteTunnel, error)
	// ConnectTunnel opens one connection to the device's port. What goes through is
	// recorded; the connection ends with the tunnel.
	ConnectTunnel(ctx context.Context, a audit.Actor, id ringwall.TunnelID) (net.Conn, error)
	// TunnelRecording reads a page of what went through.
	TunnelRecording(ctx context.Context, a audit.Actor, id ringwall.TunnelID, name, cursor string) (api.Page[api.TunnelFrame], error)
}

// TunnelPath names a tunnel in a path.
type TunnelPath struct {
	ID ringwall.TunnelID `path:"id" maxLength:"64"`
}

func (f *face) tunnelRoutes() {
	route(f, op(http.MethodGet, "/v1/tunnels/settings", "get-tunnel-settings", "tunnels", "Who approves tunnels, and how long they last at most"),
		func(ctx context.Context, a audit.Actor, _ *struct{}) (*body[api.TunnelSettings], error) {
			return answer(f.svc.TunnelSettings(ctx, a))
		})
	route(f, op(http.MethodPut, "/v1/tunnels/settings", "put-tunnel-settings", "tunnels", "Lay it down anew"),
		func(ctx context.Context, a audit.Actor, in *struct{ Body api.TunnelSettings }) (*body[api.TunnelSettings], error) {
			return answer(f.svc.PutTunnelSettings(ctx, a, in.Body))
		})
	route(f, status(op(http.MethodPost, "/v1/devices/{id}/tunnels", "ask-tunnel", "tunnels", "Ask for a way to one TCP port of a device"), http.StatusCreated),
		func(ctx context.Context, a audit.Actor, in *struct {
			DevicePath
			Body api.TunnelAsk
		}) (*body[api.RemoteTunnel], error) {
			return answer(f.svc.AskTunnel(ctx, a, in.ID, in.Body))
		})
	route(f, op(http.MethodGet, "/v1/tunnels", "list-tunnels", "tunnels", "Tunnels, newest first"),
		func(ctx context.Context, a audit.Actor, in *struct {
			Paged
			Device ringwall.DeviceID `query:"device" maxLength:"64"`
			State  string            `query:"state" enum:"asked,declined,approved,closed,expired"`
		}) (*body[api.Page[api.RemoteTunnel]], error) {
			return answer(f.svc.Tunnels(ctx, a, TunnelFilter{Device: in.Device, State: in.State}, in.paging()))
		})
	route(f, op(http.MethodGet, "/v1/tunnels/{id}", "get-tunnel", "tunnels", "One tunnel"),
		func(ctx context.Context, a audit.Actor, in *TunnelPath) (*body[api.RemoteTunnel], error) {
			return answer(f.svc.Tunnel(ctx, a, in.ID))
		})
	route(f, op(http.MethodPost, "/v1/tunnels/{id}/decision", "decide-tunnel", "tunnels", "Approve, decline or close a tunnel"),
		func(ctx context.Context, a audit.Actor, in *struct {
			TunnelPath
			Body api.TunnelDecision
		}) (*body[api.RemoteTunnel], error) {
			return answer(f.svc.DecideTunnel(ctx, a, in.ID, in.Body.Do))
		})
	route(f, op(http.MethodGet, "/v1/tunnels/{id}/recording", "get-tunnel-recording", "tunnels", "What went through a tunnel, in the order in which it did"),
		func(ctx context.Context, a audit.Actor, in *struct {
			TunnelPath
			Name   string `query:"name" maxLength:"64"`
			Cursor string `query:"cursor" maxLength:"16"`
		}) (*body[api.Page[api.TunnelFrame]], error) {
			return answer(f.svc.TunnelRecording(ctx, a, in.ID, in.Name, in.Cursor))
		})
	f.api.OpenAPI().AddOperation(&huma.Operation{
		Method: http.MethodGet, Path: "/v1/tunnels/{id}/connect", OperationID: "connect-tunnel", Tags: []string{"tunnels"},
		Summary:     "One connection through an approved tunnel, as a WebSocket",
		Description: "Binary messages carry the bytes of the connection, both ways; their borders mean nothing. The WebSocket ends with the connection or with the tunnel.",
		Security:    []map[string][]string{{"token": {}}, {"session": {}}},
		Parameters:  []*huma.Param{{Name: "id", In: "path", Required: true, Schema: &huma.Schema{Type: huma.TypeString, MaxLength: ptr(64), Extensions: map[string]any{IDExtension: "tunnel"}}}},
		Responses: map[string]*huma.Response{
			"101": {Description: "the connection"},
			"401": {Description: http.StatusText(http.StatusUnauthorized)},
			"403": {Description: http.StatusText(http.StatusForbidden)},
			"404": {Description: http.StatusText(http.StatusNotFound)},
			"409": {Description: http.StatusText(http.StatusConflict)},
			"503": {Description: http.StatusText(http.StatusServiceUnavailable)},
		},
	})
}

// connectPattern is the route of connections through tunnels.
const connectPattern = "GET /v1/tunnels/{id}/connect"

// maxTunnelled bounds the connections through all tunnels at once.
const maxTunnelled = 1024

// connects serves connections through tunnels.
type connects struct {
	svc     Service
	cookies Cookies
	open    atomic.Int64
}

func (c *connects) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	a, err := Actor(r, c.svc, c.cookies)
	if err != nil {
		writeProblem(w, problemOf(ctx, err))
		return
	}
	if c.open.Add(1) > maxTunnelled {
		c.open.Add(-1)
		writeProblem(w, problemOf(ctx, ringwall.Errorf(ringwall.Unavailable, "too many connections go through tunnels")))
		return
	}
	defer c.open.Add(-1)
	// The device is reached first, so that what is wrong has a status of its own.
	device, err := c.svc.ConnectTunnel(ctx, a, ringwall.TunnelID(r.PathValue("id")))
	if err != nil {
		writeProblem(w, problemOf(ctx, err))
		return
	}
	defer device.Close()
	// A page of another origin cannot open one with our cookie: Accept compares.
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{CompressionMode: websocket.CompressionDisabled})
	if err != nil {
		return // it has answered
	}
	defer ws.CloseNow()
	var up, down atomic.Uint64
	tunnel.Join(ctx, websocket.NetConn(ctx, ws, websocket.MessageBinary), device, &up, &down)
}
