package httpapi

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
)

// FlowSearch narrows flow reports; zero fields do not.
type FlowSearch struct {
	Device   ringwall.DeviceID
	Gateway  ringwall.GatewayID
	From, To time.Time // ended at or after, began before
	Verdict  string    // "allowed", "refused" or "would-refuse"
	Remote   netip.Prefix
	Name     string // or "*.example" for all below
	Port     uint16 // of the service
	Proto    string
	Reason   string
	Term     string
}

// FlowReports are what enforcement decided on flows.
type FlowReports interface {
	// FlowSearch answers reports, those that began last first. Pages that follow each
	// other hold each report once, whatever comes in meanwhile.
	FlowSearch(ctx context.Context, a audit.Actor, q FlowSearch, p Paging) (api.Page[api.FlowRow], error)
	// FlowTotals sums the reports of whole hours; without From those of a day.
	FlowTotals(ctx context.Context, a audit.Actor, q FlowSearch) (api.FlowTotals, error)
	// FlowWhy explains one report in a language, "en" or "zh".
	FlowWhy(ctx context.Context, a audit.Actor, id ringwall.FlowID, language string) (api.FlowWhy, error)
}

// FlowInput is the part of a request that narrows flow reports.
type FlowInput struct {
	Device  ringwall.DeviceID  `query:"device" maxLength:"64"`
	Gateway ringwall.GatewayID `query:"gateway" maxLength:"64"`
	From    time.Time          `query:"from" doc:"flows that ended at or after it"`
	To      time.Time          `query:"to" doc:"flows that began before it"`
	Verdict string             `query:"verdict" enum:"allowed,refused,would-refuse"`
	Remote  string             `query:"remote" maxLength:"64" doc:"address or network of the other end"`
	Name    string             `query:"name" maxLength:"255" doc:"name by which the other end was found; *.example for all below"`
	Port    int                `query:"port" minimum:"0" maximum:"65535" doc:"of the service"`
	Proto   string             `query:"proto" maxLength:"8" doc:"tcp, udp, icmp or a number"`
	Reason  string             `query:"reason" maxLength:"255"`
	Term    string             `query:"term" maxLength:"255"`
}

func (in FlowInput) search() (FlowSearch, error) {
	remote, err := ParseRemote(in.Remote)
	return FlowSearch{
		Device: in.Device, Gateway: in.Gateway, From: in.From, To: in.To, Verdict: in.Verdict, Remote: remote,
		Name: in.Name, Port: uint16(in.Port), Proto: in.Proto, Reason: in.Reason, Term: in.Term,
	}, err
}

// ParseRemote reads an address or a network; "" is none. The error has code Invalid.
func ParseRemote(s string) (netip.Prefix, error) {
	if s == "" {
		return netip.Prefix{}, nil
	}
	if strings.Contains(s, "/") {
		if p, err := netip.ParsePrefix(s); err == nil {
			return p, nil
		}
	} else if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	return netip.Prefix{}, ringwall.Errorf(ringwall.Invalid, "%.64q is neither an address nor a network", s)
}

func (f *face) flowRoutes() {
	route(f, op(http.MethodGet, "/v1/flows", "list-flows", "flows", "Flow reports, newest first"),
		func(ctx context.Context, a audit.Actor, in *struct {
			FlowInput
			Paged
		}) (*body[api.Page[api.FlowRow]], error) {
			q, err := in.search()
			if err != nil {
				return nil, err
			}
			return answer(f.svc.FlowSearch(ctx, a, q, in.paging()))
		})
	route(f, op(http.MethodGet, "/v1/flows/totals", "flow-totals", "flows", "Sums of flow reports by hour, reason and device"),
		func(ctx context.Context, a audit.Actor, in *struct{ FlowInput }) (*body[api.FlowTotals], error) {
			q, err := in.search()
			if err != nil {
				return nil, err
			}
			return answer(f.svc.FlowTotals(ctx, a, q))
		})
	route(f, op(http.MethodGet, "/v1/flows/{id}", "flow-why", "flows", "One flow report, and why it was decided so"),
		func(ctx context.Context, a audit.Actor, in *struct {
			ID       ringwall.FlowID `path:"id" maxLength:"64"`
			Language string          `query:"language" enum:"en,zh" default:"en"`
		}) (*body[api.FlowWhy], error) {
			return answer(f.svc.FlowWhy(ctx, a, in.ID, in.Language))
		})
}
