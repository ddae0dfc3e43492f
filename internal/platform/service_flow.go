package platform

import (
	"context"
	"crypto/ed25519"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/httpapi"
	"github.com/ringwall/ringwall/internal/i18n"
	"github.com/ringwall/ringwall/internal/policy"
	"github.com/ringwall/ringwall/internal/segment"
	"github.com/ringwall/ringwall/internal/sqlstore"
)

// searchTime bounds one search of the flow reports: people do not wait longer.
const searchTime = 20 * time.Second

// mayRead authorises a search of the flow reports of a.Org. Whom devices talk
// to is whereabouts: for those who see the whole.
func (s *service) mayRead(ctx context.Context, a audit.Actor, device ringwall.DeviceID) error {
	target := on("device", string(device))
	target.Org = a.Org
	if _, err := s.auditor.Authorise(ctx, a, audit.DeviceRead, target); err != nil {
		return err
	}
	if !sightOf(a).whole {
		return ringwall.Errorf(ringwall.Forbidden, "whom a device talked to is not shown to your parts")
	}
	return nil
}

func flowQuery(a audit.Actor, q httpapi.FlowSearch) segment.Query {
	return segment.Query{
		Org: a.Org, Device: q.Device, Gateway: q.Gateway, From: q.From, To: q.To, Verdict: q.Verdict, Remote: q.Remote,
		Name: q.Name, Port: q.Port, Proto: q.Proto, Reason: q.Reason, Term: q.Term,
	}
}

// FlowSearch answers flow reports from the segments.
func (s *service) FlowSearch(ctx context.Context, a audit.Actor, q httpapi.FlowSearch, p httpapi.Paging) (api.Page[api.FlowRow], error) {
	if err := s.mayRead(ctx, a, q.Device); err != nil {
		return api.Page[api.FlowRow]{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, searchTime)
	defer cancel()
	query := flowQuery(a, q)
	if query.Cursor, query.Limit = p.Cursor, p.Limit; query.Limit <= 0 {
		query.Limit = httpapi.DefaultPage
	}
	query.Limit = min(query.Limit, httpapi.MaxPage)
	return s.segments.FlowPage(ctx, query)
}

// FlowTotals sums flow reports.
func (s *service) FlowTotals(ctx context.Context, a audit.Actor, q httpapi.FlowSearch) (api.FlowTotals, error) {
	if err := s.mayRead(ctx, a, q.Device); err != nil {
		return api.FlowTotals{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, searchTime)
	defer cancel()
	return s.segments.Totals(ctx, flowQuery(a, q))
}

// FlowWhy explains a flow report by what stands in it and by what the policy in
// force says of such a flow.
func (s *service) FlowWhy(ctx context.Context, a audit.Actor, id ringwall.FlowID, lang string) (out api.FlowWhy, err error) {
	if err := s.mayRead(ctx, a, ""); err != nil {
		return out, err
	}
	words, err := i18n.Load()
	if err != nil {
		return out, err
	}
	l := words.Match(lang)
	if out.Flow, err = s.segments.Flow(ctx, a.Org, id); err != nil {
		return out, err
	}
	f := &out.Flow
	out.Text = l.T("flowwhy."+f.Verdict, "reason", reasonText(l, f.Reason), "term", f.Term, "limit", f.Limit)
	doc, unknown, err := s.documentOf(ctx, a, ringwall.GatewayID(f.Gateway))
	if err != nil {
		return out, err
	}
	if unknown == "" {
		out.Now, unknown = decideNow(l, f, &doc, s.now().UTC())
	}
	if unknown != "" {
		out.Unknown = l.T("flowunknown." + unknown)
	}
	return out, nil
}

func reasonText(l i18n.Locale, reason string) string { return l.Word("flowreason", reason) }

// documentOf returns a gateway's newest document, or why there is none to be
// read: the last part of a message "flowunknown".
func (s *service) documentOf(ctx context.Context, a audit.Actor, gw ringwall.GatewayID) (doc api.Desired, unknown string, err error) {
	err = s.view(ctx, a, audit.GatewayRead, on("gateway", string(gw)), func(tx *sqlstore.Tx, scope audit.Scope) error {
		signed, _, _, err := tx.Desired(scope, gw)
		if err != nil {
			return err
		}
		keys := map[string]ed25519.PublicKey{}
		for id, key := range s.signer.Keys() {
			keys[id] = ed25519.PublicKey(key)
		}
		if doc, err = signed.Open(keys); err != nil {
			s.log.Error("a desired state of ours cannot be opened", "gateway", gw, "cause", err)
			unknown = "signature"
		}
		return nil
	})
	switch ringwall.CodeOf(err) {
	case ringwall.NotFound:
		return doc, "document", nil
	case ringwall.Forbidden:
		return doc, "forbidden", nil
	}
	return doc, unknown, err
}

// decideNow asks the policy of a document about a flow that was reported.
func decideNow(l i18n.Locale, f *api.FlowRow, doc *api.Desired, now time.Time) (*api.FlowVerdict, string) {
	if f.Device == "" {
		return nil, "device"
	}
	var d *api.DevicePolicy
	flow := policy.Flow{Direction: f.Direction, Local: f.Local, Remote: f.Remote, Proto: f.Proto, At: now}
	for i := range doc.Devices {
		p := &doc.Devices[i]
		switch {
		case p.Device == f.Device:
			d = p
		case p.Binding.IP.IsValid() && p.Binding.IP == f.Remote.Addr():
			flow.RemoteDevice = p.Device
		}
	}
	if d == nil {
		return nil, "gone"
	}
	if f.Name != "" {
		flow.Names = []string{f.Name}
	}
	if f.Inside != nil {
		flow.Inside = &policy.Seen{Proto: f.Inside.Proto, Host: f.Inside.Host, Method: f.Inside.Method, Path: f.Inside.Path}
	}
	var held ringwall.Restriction
	for _, h := range doc.Holds {
		if h.Device == d.Device && (h.Expires.IsZero() || h.Expires.After(now)) {
			held = max(held, h.Do)
		}
	}
	site := policy.SiteOf(doc)
	v := site.Decide(d, held, &flow)
	out := &api.FlowVerdict{Generation: doc.Generation, Verdict: verdictOf(v), Reason: v.Reason, Term: v.Term, Same: f.Generation != 0 && f.Generation == doc.Generation}
	for i := range d.Terms {
		if d.Terms[i].ID == v.Term {
			out.Why = policy.Source(&d.Terms[i])
		}
	}
	out.Text = l.T("flownow."+out.Verdict, "reason", reasonText(l, v.Reason), "term", v.Term)
	return out, ""
}

func verdictOf(v policy.Verdict) string {
	switch {
	case v.Would:
		return "would-refuse"
	case v.Pass:
		return "allowed"
	}
	return "refused"
}
