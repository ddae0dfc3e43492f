package client

import (
	"context"
	"net/url"
	"strconv"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// FlowSearch narrows flow reports; zero fields do not.
type FlowSearch struct {
	Device   ringwall.DeviceID
	Gateway  ringwall.GatewayID
	From, To time.Time // ended at or after, began before
	Verdict  string    // "allowed", "refused", "would-refuse"
	Remote   string    // address or network
	Name     string    // or "*.example" for all below
	Port     uint16    // of the service
	Proto    string    // "tcp", "udp", "icmp" or a number
	Reason   string
	Term     string
}

func (s FlowSearch) values() url.Values {
	q := url.Values{}
	set(q, "device", string(s.Device))
	set(q, "gateway", string(s.Gateway))
	setTime(q, "from", s.From)
	setTime(q, "to", s.To)
	set(q, "verdict", s.Verdict)
	set(q, "remote", s.Remote)
	set(q, "name", s.Name)
	if s.Port != 0 {
		set(q, "port", strconv.Itoa(int(s.Port)))
	}
	set(q, "proto", s.Proto)
	set(q, "reason", s.Reason)
	set(q, "term", s.Term)
	return q
}

// FlowSearch lists flow reports, those that began last first. Pages that follow
// each other hold each report once, whatever comes in meanwhile.
func (c *Client) FlowSearch(ctx context.Context, s FlowSearch, p Paging) (api.Page[api.FlowRow], error) {
	return get[api.Page[api.FlowRow]](ctx, c, path("flows"), p.into(s.values()))
}

// FlowTotals sums the flow reports of whole hours; without From those of a day.
func (c *Client) FlowTotals(ctx context.Context, s FlowSearch) (api.FlowTotals, error) {
	return get[api.FlowTotals](ctx, c, path("flows", "totals"), s.values())
}

// FlowWhy explains one flow report in a language, "en" or "zh".
func (c *Client) FlowWhy(ctx context.Context, id ringwall.FlowID, language string) (api.FlowWhy, error) {
	q := url.Values{}
	set(q, "language", language)
	return get[api.FlowWhy](ctx, c, path("flows", string(id)), q)
}
