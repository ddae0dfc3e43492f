package segment

import (
	"context"
	"fmt"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/flow"
)

// Query asks for flow reports of one organisation.
type Query struct {
	Org     ringwall.OrgID    // needed
	Device  ringwall.DeviceID // "" = all
	From    time.Time         // flows that ended at or after it; zero = all
	To      time.Time         // flows that started before it; zero = all
	Verdict string            // "allowed", "refused", "would-refuse"; "" = all
	Limit   int               // 0 = DefaultLimit; at most MaxLimit
	Cursor  string            // Next of the page before; "" = the newest
}

// Limits of a page of flows.
const (
	DefaultLimit = 100
	MaxLimit     = 1000
)

// Flows returns a page of flow reports, the last stored first.
func (s *Store) Flows(ctx context.Context, q Query) ([]api.FlowRow, error) {
	p, err := s.FlowPage(ctx, q)
	return p.Items, err
}

// FlowPage returns a page of flow reports, the last stored first, and where
// the next begins. Codes: Invalid for a query of wrong form.
func (s *Store) FlowPage(ctx context.Context, q Query) (api.Page[api.FlowRow], error) {
	page := api.Page[api.FlowRow]{Items: []api.FlowRow{}}
	if q.Org == "" {
		return page, ringwall.Errorf(ringwall.Invalid, "flow query names no organisation")
	}
	switch q.Verdict {
	case "", flow.Allowed.String(), flow.Refused.String(), flow.WouldRefuse.String():
	default:
		return page, ringwall.Errorf(ringwall.Invalid, "verdict %.40q is none of allowed, refused and would-refuse", q.Verdict)
	}
	if q.Limit <= 0 {
		q.Limit = DefaultLimit
	}
	q.Limit = min(q.Limit, MaxLimit)
	at, err := ParseCursor(q.Cursor)
	if err != nil {
		return page, err
	}
	if q.Cursor == "" {
		at = Cursor{Frame: s.j.Synced() + 1}
	}
	// The cursor is the last row that was given: what follows is before it.
	for _, frame := range s.framesFor(q, at, &err) {
		if err := ctx.Err(); err != nil {
			return page, err
		}
		rows, err := s.rows(q, frame)
		if err != nil {
			return page, fmt.Errorf("reading flows: %w", err)
		}
		for i := len(rows) - 1; i >= 0; i-- {
			c := Cursor{Frame: frame, Record: rows[i].record}
			if !c.Less(at) {
				continue
			}
			if len(page.Items) == q.Limit {
				return page, nil
			}
			page.Items = append(page.Items, rows[i].FlowRow)
			page.Next = c.String()
		}
	}
	if err == nil && len(page.Items) < q.Limit {
		page.Next = ""
	}
	return page, err
}

// framesFor yields, newest first, the frames that may hold an answer to q.
// They are collected in chunks, so that the index is not locked while frames
// are read.
func (s *Store) framesFor(q Query, at Cursor, failed *error) func(yield func(int, uint64) bool) {
	const chunk = 64
	return func(yield func(int, uint64) bool) {
		before := at.Frame + 1
		for {
			var frames []uint64
			synced := s.j.Synced()
			s.mu.Lock()
			err := s.index.frames(seriesKey{q.Org, q.Device}, q.From, q.To, min(before, synced+1), func(f uint64) (bool, error) {
				frames = append(frames, f)
				return len(frames) < chunk, nil
			})
			s.mu.Unlock()
			if err != nil {
				*failed = err
				return
			}
			for i, f := range frames {
				if !yield(i, f) {
					return
				}
			}
			if len(frames) < chunk {
				return
			}
			before = frames[len(frames)-1]
		}
	}
}

type flowRow struct {
	api.FlowRow
	record int
}

// rows returns the flow reports of one frame that q asks for.
func (s *Store) rows(q Query, frame uint64) (out []flowRow, err error) {
	err = s.j.Read(frame, func(index uint64, payload []byte) (bool, error) {
		if index != frame {
			return false, nil // trimmed since
		}
		return false, eachRecord(payload, func(h frameHead, i int, r api.Record) error {
			var f flow.Record
			// The index leads only to frames of the organisation; that a row of
			// another never gets out does not rest on the index.
			if h.org != q.Org || r.Kind != api.RecordFlow || f.UnmarshalBinary(r.Bin) != nil {
				return nil
			}
			switch {
			case q.Device != "" && f.Device != q.Device,
				q.Verdict != "" && f.Verdict.String() != q.Verdict,
				!q.From.IsZero() && f.End.Before(q.From),
				!q.To.IsZero() && !f.Start.Before(q.To):
				return nil
			}
			out = append(out, flowRow{record: i, FlowRow: api.FlowRow{
				Time:      f.Start,
				Gateway:   string(h.gw),
				Device:    f.Device,
				Direction: api.Direction(f.Direction),
				Proto:     flow.ProtoName(f.Proto),
				Local:     f.Local,
				Remote:    f.Remote,
				Name:      f.Name,
				Verdict:   f.Verdict.String(),
				Reason:    f.Reason,
				Term:      f.Term,
				Packets:   f.PacketsUp + f.PacketsDown,
				Bytes:     f.BytesUp + f.BytesDown,
			}})
			return nil
		})
	})
	return out, err
}
