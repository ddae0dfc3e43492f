package httpapitest

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/httpapi"
)

// reports returns the flow reports that q asks for, newest first.
func (h *holdings) reports(q httpapi.FlowSearch) []api.FlowRow {
	out := []api.FlowRow{}
	n := 0
	for _, dev := range slices.Sorted(maps.Keys(h.flows)) {
		for _, f := range h.flows[dev] {
			n++
			f.Device, f.ID = dev, ringwall.FlowID(ringwall.PrefixFlow+"_"+strconv.Itoa(n)+"-"+h.flowTail())
			port := f.Remote.Port()
			if f.Direction == api.ToDevice {
				port = f.Local.Port()
			}
			name := q.Name == "" || q.Name == f.Name || strings.HasPrefix(q.Name, "*") && strings.HasSuffix(f.Name, q.Name[1:])
			if (q.Device == "" || q.Device == dev) && (q.Gateway == "" || string(q.Gateway) == f.Gateway) && (q.Verdict == "" || q.Verdict == f.Verdict) &&
				(q.From.IsZero() || !f.Time.Before(q.From)) && (q.To.IsZero() || f.Time.Before(q.To)) && (!q.Remote.IsValid() || q.Remote.Contains(f.Remote.Addr())) &&
				name && (q.Port == 0 || q.Port == port) && (q.Proto == "" || q.Proto == f.Proto) && (q.Reason == "" || q.Reason == f.Reason) && (q.Term == "" || q.Term == f.Term) {
				out = append(out, f)
			}
		}
	}
	slices.SortFunc(out, func(a, b api.FlowRow) int { return b.Time.Compare(a.Time) })
	return out
}

// flowTail makes the ids of an organisation's reports its own.
func (h *holdings) flowTail() string {
	return strings.TrimPrefix(string(slices.Min(slices.Collect(maps.Keys(h.flows)))), ringwall.PrefixDevice+"_")[:8]
}

func (h *holdings) reportIDs() (ids []string) {
	for _, f := range h.reports(httpapi.FlowSearch{}) {
		ids = append(ids, string(f.ID))
	}
	return ids
}

// FlowSearch is of httpapi.FlowReports.
func (m *Mem) FlowSearch(_ context.Context, a audit.Actor, q httpapi.FlowSearch, p httpapi.Paging) (api.Page[api.FlowRow], error) {
	h, err := m.enter(a, "device.read", string(q.Device))
	defer m.mu.Unlock()
	if err != nil {
		return api.Page[api.FlowRow]{}, err
	}
	return api.Page[api.FlowRow]{Items: cut(h.reports(q), p.Limit)}, nil
}

// FlowTotals is of httpapi.FlowReports.
func (m *Mem) FlowTotals(_ context.Context, a audit.Actor, q httpapi.FlowSearch) (api.FlowTotals, error) {
	h, err := m.enter(a, "device.read", string(q.Device))
	defer m.mu.Unlock()
	if err != nil {
		return api.FlowTotals{}, err
	}
	if q.To.IsZero() {
		q.To = m.now()
	}
	if q.From.IsZero() {
		q.From = q.To.Add(-24 * time.Hour)
	}
	out := api.FlowTotals{From: q.From.Truncate(time.Hour), To: q.To.Add(time.Hour - 1).Truncate(time.Hour), Hours: []api.FlowHour{}, Reasons: []api.FlowReason{}, Devices: []api.FlowTalker{}}
	hours, reasons, devices := map[time.Time]int{}, map[string]uint64{}, map[ringwall.DeviceID]api.FlowTalker{}
	for t := out.From; t.Before(out.To); t = t.Add(time.Hour) {
		hours[t] = len(out.Hours)
		out.Hours = append(out.Hours, api.FlowHour{Hour: t})
	}
	q.From, q.To = out.From, out.To
	for _, f := range h.reports(q) {
		hour := &out.Hours[hours[f.Time.Truncate(time.Hour)]]
		d := devices[f.Device]
		d.Device, d.Flows, d.Bytes = f.Device, d.Flows+1, d.Bytes+f.Bytes
		switch f.Verdict {
		case "refused":
			hour.Refused++
			d.Refused++
			out.Refused++
			reasons[f.Reason]++
		case "would-refuse":
			hour.Would++
			reasons[f.Reason]++
		default:
			hour.Allowed++
		}
		devices[f.Device] = d
		out.Flows++
		out.Bytes += f.Bytes
		hour.Bytes += f.Bytes
	}
	for r, n := range reasons {
		out.Reasons = append(out.Reasons, api.FlowReason{Reason: r, Flows: n})
	}
	slices.SortFunc(out.Reasons, func(a, b api.FlowReason) int { return strings.Compare(a.Reason, b.Reason) })
	for _, d := range devices {
		out.Devices = append(out.Devices, d)
	}
	slices.SortFunc(out.Devices, func(a, b api.FlowTalker) int { return strings.Compare(string(a.Device), string(b.Device)) })
	return out, nil
}

// FlowWhy is of httpapi.FlowReports.
func (m *Mem) FlowWhy(_ context.Context, a audit.Actor, id ringwall.FlowID, _ string) (api.FlowWhy, error) {
	h, err := m.enter(a, "device.read", "")
	defer m.mu.Unlock()
	if err != nil {
		return api.FlowWhy{}, err
	}
	for _, f := range h.reports(httpapi.FlowSearch{}) {
		if f.ID == id {
			return api.FlowWhy{Flow: f, Text: "It was " + f.Verdict + ": " + f.Reason + ".", Now: &api.FlowVerdict{
				Generation: 7, Verdict: f.Verdict, Reason: f.Reason, Term: f.Term, Text: "It would be " + f.Verdict + " now.", Same: true,
			}}, nil
		}
	}
	return api.FlowWhy{}, ringwall.Errorf(ringwall.NotFound, "no flow report %.40q", id)
}
