package segment

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/flow"
	"github.com/ringwall/ringwall/internal/segment/run"
)

// Query asks for flow reports of one organisation. Zero fields ask for all.
type Query struct {
	Org     ringwall.OrgID // needed
	Device  ringwall.DeviceID
	From    time.Time // flows that ended at or after it
	To      time.Time // flows that started before it
	Verdict string    // "allowed", "refused", "would-refuse"
	Remote  netip.Prefix
	Name    string // exact, or "*.example" for all below
	Port    uint16 // of the service: the remote one of a flow from the device, else the local one
	Proto   string // "tcp", "udp", "icmp", or a protocol's number
	Reason  string
	Term    string
	Gateway ringwall.GatewayID
	Limit   int    // 0 = DefaultLimit; at most MaxLimit
	Cursor  string // Next of the page before; "" = the newest
}

// Limits of a page of flows.
const (
	DefaultLimit = 100
	MaxLimit     = 1000
)

// filter returns what the index is asked.
func (s *Store) filter(q Query) (f run.Filter, err error) {
	if q.Org == "" {
		return f, ringwall.Errorf(ringwall.Invalid, "flow query names no organisation")
	}
	f = run.Filter{
		Org: string(q.Org), Device: string(q.Device), Verdict: -1, Port: -1, Proto: -1, Remote: q.Remote,
		Name: q.Name, Reason: q.Reason, Term: q.Term, Gateway: string(q.Gateway), Newest: s.j.Synced() + 1,
	}
	if q.Verdict != "" {
		v, ok := flow.ParseVerdict(q.Verdict)
		if !ok {
			return f, ringwall.Errorf(ringwall.Invalid, "verdict %.40q is none of allowed, refused and would-refuse", q.Verdict)
		}
		f.Verdict = int(v)
	}
	if q.Port != 0 {
		f.Port = int(q.Port)
	}
	if q.Proto != "" {
		n, ok := flow.ParseProto(q.Proto)
		if !ok {
			return f, ringwall.Errorf(ringwall.Invalid, "protocol %.40q is none of tcp, udp, icmp and the numbers", q.Proto)
		}
		f.Proto = int(n)
	}
	if !q.From.IsZero() {
		f.From = max(q.From.UnixMicro(), 0)
	}
	if !q.To.IsZero() {
		f.To = max(q.To.UnixMicro(), 1)
	}
	if segs := s.j.Segments(); len(segs) > 0 {
		f.Oldest = segs[0].First
	}
	return f, nil
}

// cursorOf writes where a page ends: behind which row, and which frames there
// were when the first page was asked for. What is stored later is not in the
// pages that follow.
func cursorOf(k run.Key, newest uint64) string {
	return strings.Join([]string{strconv.FormatInt(k.Start, 36), strconv.FormatUint(k.Frame, 36), strconv.Itoa(k.Record), strconv.FormatUint(newest, 36)}, ".")
}

func parsePageCursor(s string) (k run.Key, newest uint64, err error) {
	part := strings.Split(s, ".")
	if len(part) == 4 {
		var errs [4]error
		k.Start, errs[0] = strconv.ParseInt(part[0], 36, 64)
		k.Frame, errs[1] = strconv.ParseUint(part[1], 36, 64)
		k.Record, errs[2] = strconv.Atoi(part[2])
		newest, errs[3] = strconv.ParseUint(part[3], 36, 64)
		if errors.Join(errs[:]...) == nil && k.Start >= 0 && k.Start < math.MaxInt64 && k.Record >= 0 && newest > 0 && cursorOf(k, newest) == s {
			return k, newest, nil
		}
	}
	return k, 0, ringwall.Errorf(ringwall.Invalid, "cursor %.60q is not one of a page of flows", s)
}

// Flows returns a page of flow reports, those that began last first.
func (s *Store) Flows(ctx context.Context, q Query) ([]api.FlowRow, error) {
	p, err := s.FlowPage(ctx, q)
	return p.Items, err
}

// FlowPage returns a page of flow reports, those that began last first, and where
// the next begins. The pages that follow each other this way hold each report
// once, whatever is stored meanwhile. Codes: Invalid for a query of wrong form,
// Unavailable when ctx ends before the index has been made or searched.
func (s *Store) FlowPage(ctx context.Context, q Query) (api.Page[api.FlowRow], error) {
	page := api.Page[api.FlowRow]{Items: []api.FlowRow{}}
	f, err := s.filter(q)
	if err != nil {
		return page, err
	}
	if q.Limit <= 0 {
		q.Limit = DefaultLimit
	}
	q.Limit = min(q.Limit, MaxLimit)
	if q.Cursor != "" {
		k, newest, err := parsePageCursor(q.Cursor)
		if err != nil {
			return page, err
		}
		f.Before, f.Newest = &k, min(f.Newest, newest)
	}
	var keys []run.Key
	if err := s.search(ctx, func() (bool, error) {
		top := run.Top{Most: q.Limit + 1} // one more tells whether there is more
		again, err := s.index.ask(ctx,
			func(b *run.Builder) error { return b.Newest(&f, &top) },
			func(r *run.Run) error {
				if top.Full() && r.LastStart() < top.Floor() {
					return nil
				}
				return r.Newest(&f, &top)
			})
		keys = top.Newest()
		return again, err
	}); err != nil {
		return page, err
	}
	if len(keys) > q.Limit {
		keys = keys[:q.Limit]
		page.Next = cursorOf(keys[q.Limit-1], f.Newest)
	}
	page.Items, err = s.rows(ctx, q.Org, keys)
	return page, err
}

// tries bounds how often a search begins anew because a run was damaged or
// expired under it.
const tries = 10

// search brings the index up to what is stored and asks it, again as long as
// it says so.
func (s *Store) search(ctx context.Context, ask func() (again bool, err error)) error {
	for range tries {
		if err := s.index.catchUp(ctx, s.j.Synced()); err != nil {
			if ctx.Err() != nil {
				return ringwall.Errorf(ringwall.Unavailable, "the index of flow reports is still being made: %w", err)
			}
			return fmt.Errorf("bringing the index of flow reports up to date: %w", err)
		}
		again, err := ask()
		if err != nil {
			return fmt.Errorf("searching flow reports: %w", err)
		}
		if !again {
			return nil
		}
	}
	return ringwall.Errorf(ringwall.Unavailable, "the index of flow reports is being made again")
}

// rows reads reports from their frames. One whose frame has expired meanwhile is
// left out.
func (s *Store) rows(ctx context.Context, org ringwall.OrgID, keys []run.Key) ([]api.FlowRow, error) {
	at := map[uint64][]int{} // of each frame, which of keys are in it
	for i, k := range keys {
		at[k.Frame] = append(at[k.Frame], i)
	}
	found := make([]*api.FlowRow, len(keys))
	for frame, wanted := range at {
		if err := ctx.Err(); err != nil {
			return nil, ringwall.Errorf(ringwall.Unavailable, "the search took too long: %w", err)
		}
		if err := s.j.Read(frame, func(index uint64, payload []byte) (bool, error) {
			if index != frame {
				return false, nil // expired meanwhile
			}
			var x headReader
			h, rest, err := x.read(payload)
			// The index leads only to frames of the organisation; that a row of
			// another never gets out does not rest on the index.
			if err != nil || h.org != org {
				return false, err
			}
			var view flow.View
			i := 0
			return false, eachView(rest, h.count, func(seq uint64, v *api.RecordView) error {
				for _, n := range wanted {
					if keys[n].Record == i && v.Flow() && view.Read(v.Data) == nil {
						row := rowOf(h.gw, frame, i, view.Record())
						found[n] = &row
					}
				}
				i++
				return nil
			})
		}); err != nil {
			return nil, fmt.Errorf("reading flow reports: %w", err)
		}
	}
	out := make([]api.FlowRow, 0, len(keys))
	for _, r := range found {
		if r != nil {
			out = append(out, *r)
		}
	}
	return out, nil
}

func rowOf(gw ringwall.GatewayID, frame uint64, record int, f flow.Record) api.FlowRow {
	r := api.FlowRow{
		ID:   flowID(frame, record),
		Time: f.Start, End: f.End, Gateway: string(gw), Device: f.Device, Direction: api.Direction(f.Direction), Proto: flow.ProtoName(f.Proto),
		Local: f.Local, Remote: f.Remote, Name: f.Name, Verdict: f.Verdict.String(), Reason: f.Reason, Term: f.Term,
		Packets: f.PacketsUp + f.PacketsDown, Bytes: f.BytesUp + f.BytesDown, BytesUp: f.BytesUp, BytesDown: f.BytesDown,
		Generation: f.Generation, Limit: f.Limit, More: f.More,
	}
	if f.Inside != (flow.Inside{}) {
		r.Inside = &api.FlowInside{Proto: f.Inside.Proto, Host: f.Inside.Host, Method: f.Inside.Method, Path: f.Inside.Path}
	}
	return r
}

// flowID names a report by its frame and its number in it.
func flowID(frame uint64, record int) ringwall.FlowID {
	return ringwall.FlowID(ringwall.PrefixFlow + "_" + strconv.FormatUint(frame, 10) + "-" + strconv.Itoa(record))
}

func parseFlowID(id ringwall.FlowID) (frame uint64, record int, ok bool) {
	rest, _ := strings.CutPrefix(string(id), ringwall.PrefixFlow+"_")
	f, r, _ := strings.Cut(rest, "-")
	frame, err1 := strconv.ParseUint(f, 10, 64)
	record, err2 := strconv.Atoi(r)
	return frame, record, err1 == nil && err2 == nil && frame > 0 && record >= 0 && flowID(frame, record) == id
}

// Flow returns one report by its ID. Codes: NotFound for what is not there, has
// expired, or is of another organisation.
func (s *Store) Flow(ctx context.Context, org ringwall.OrgID, id ringwall.FlowID) (api.FlowRow, error) {
	frame, record, ok := parseFlowID(id)
	none := ringwall.Errorf(ringwall.NotFound, "no flow report %.60q", id)
	if !ok {
		return api.FlowRow{}, none
	}
	rows, err := s.rows(ctx, org, []run.Key{{Frame: frame, Record: record}})
	if err != nil {
		return api.FlowRow{}, err
	}
	if len(rows) == 0 {
		return api.FlowRow{}, none
	}
	return rows[0], nil
}

// Limits of totals.
const (
	// MaxTotals is the longest time that totals are made over.
	MaxTotals = 100 * 24 * time.Hour
	talkers   = 20
)

// Totals sums the reports of the hours from that of q.From to that of q.To, by
// the hour in which each flow began. Limit and Cursor have no meaning. The other
// ends with the most traffic are told for one device. Codes as of FlowPage.
func (s *Store) Totals(ctx context.Context, q Query) (api.FlowTotals, error) {
	if q.To.IsZero() {
		q.To = s.cfg.Now()
	}
	if q.From.IsZero() {
		q.From = q.To.Add(-24 * time.Hour)
	}
	from := q.From.UTC().Truncate(time.Hour)
	to := q.To.UTC().Add(time.Hour - 1).Truncate(time.Hour)
	out := api.FlowTotals{From: from, To: to}
	if !from.Before(to) || to.Sub(from) > MaxTotals {
		return out, ringwall.Errorf(ringwall.Invalid, "totals from %s to %s: want some time, and at most %d days", q.From.Format(time.RFC3339), q.To.Format(time.RFC3339), MaxTotals/(24*time.Hour))
	}
	q.From, q.To = from, to
	f, err := s.filter(q)
	if err != nil {
		return out, err
	}
	var t *run.Totals
	if err := s.search(ctx, func() (bool, error) {
		t = run.NewTotals(q.Device != "")
		return s.index.ask(ctx, func(b *run.Builder) error { return b.Totals(&f, t) }, func(r *run.Run) error { return r.Totals(&f, t) })
	}); err != nil {
		return out, err
	}
	fillTotals(&out, t)
	return out, nil
}

func fillTotals(out *api.FlowTotals, t *run.Totals) {
	reasons := map[string]uint64{}
	out.Hours, out.Reasons, out.Devices = []api.FlowHour{}, []api.FlowReason{}, []api.FlowTalker{}
	for at := out.From; at.Before(out.To); at = at.Add(time.Hour) {
		hour := api.FlowHour{Hour: at}
		if h := t.Hours[at.Unix()/3600]; h != nil {
			hour.Allowed, hour.Refused, hour.Would, hour.Bytes = h.Flows[flow.Allowed], h.Flows[flow.Refused], h.Flows[flow.WouldRefuse], h.Bytes
			for reason, n := range h.Reasons {
				reasons[reason] += n
			}
			if len(h.Reasons) > 0 {
				hour.Reasons = h.Reasons
			}
		}
		out.Flows += hour.Allowed + hour.Refused + hour.Would
		out.Refused += hour.Refused
		out.Bytes += hour.Bytes
		out.Hours = append(out.Hours, hour)
	}
	for reason, n := range reasons {
		out.Reasons = append(out.Reasons, api.FlowReason{Reason: reason, Flows: n})
	}
	slices.SortFunc(out.Reasons, func(a, b api.FlowReason) int {
		return cmp.Or(cmp.Compare(b.Flows, a.Flows), strings.Compare(a.Reason, b.Reason))
	})
	for _, d := range t.Devices(talkers) {
		out.Devices = append(out.Devices, api.FlowTalker{Device: ringwall.DeviceID(d.Name), Flows: d.Flows, Refused: d.Refused, Bytes: d.Bytes})
	}
	if !t.Remotes {
		return
	}
	for _, d := range t.Far(talkers) {
		r := api.FlowTalkerFar{Flows: d.Flows, Bytes: d.Bytes}
		if a := run.Address(d.Name); a.IsValid() {
			r.Remote = a.String()
		}
		out.Remotes = append(out.Remotes, r)
	}
}
