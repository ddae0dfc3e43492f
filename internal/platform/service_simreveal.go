package platform

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/httpapi"
)

// Bounds of numbers that are shown in clear: enough for somebody who works through
// a list of cases, far too few for who wants them all.
const (
	revealsHour = 20  // by one person
	revealsDay  = 100 // by all of an organisation
	leastReason = 5   // characters
	mostReason  = 200
)

// hasNumber reports whether a text has what may be the number of a subscriber, a
// card or equipment: eleven digits, blanks and dashes between them.
func hasNumber(text string) bool {
	n := 0
	for _, c := range text {
		switch {
		case c >= '0' && c <= '9':
			if n++; n == 11 {
				return true
			}
		case !strings.ContainsRune(" .-/", c):
			n = 0
		}
	}
	return false
}

// reveal is one that was done.
type reveal struct {
	At  int64  `json:"t"`
	Who string `json:"who"`
}

// RevealSIM answers the numbers of a card in clear. Who asked, when and why is
// durable in the audit log before, and on the card's way with the answer.
func (s *service) RevealSIM(ctx context.Context, a audit.Actor, id ringwall.SIMID, in api.SIMReveal) (out api.SIMNumbers, err error) {
	reason := strings.Join(strings.Fields(in.Reason), " ")
	switch {
	case len(reason) < leastReason || len(reason) > mostReason:
		return out, ringwall.Errorf(ringwall.Invalid, "a reason of %d to %d bytes is needed: it is written down", leastReason, mostReason)
	case hasNumber(reason):
		// It stays in the record for good, where no number may stand.
		return out, ringwall.Errorf(ringwall.Invalid, "the reason has what may be a subscriber's number: name the case instead")
	}
	target := on("sim", string(id))
	target.Reason = reason
	err = s.change(ctx, a, audit.SIMReveal, target, func(t *turn, scope audit.Scope) error {
		n, err := t.tx.Numbers(scope, id)
		if err != nil {
			return err
		}
		if err := t.countReveal(a); err != nil {
			return err
		}
		out = api.SIMNumbers{SIM: id, ICCID: n.ICCID.Reveal(), IMSI: n.IMSI.Reveal(), BoundIMEI: n.BoundIMEI.Reveal(), SeenIMEI: n.SeenIMEI.Reveal(), At: t.at.UTC()}
		return t.tell(scope, ringwall.EventSIM, simSubject(id), "", note{Key: "timeline.sim.revealed", Params: map[string]string{"reason": reason}})
	})
	if err != nil {
		return api.SIMNumbers{}, err // nothing is shown of what was not written down
	}
	return out, nil
}

// countReveal refuses one that is too many. What was done counts through a
// restart.
func (t *turn) countReveal(a audit.Actor) error {
	scope, err := t.as(audit.SysUsage, audit.SystemUsage)
	if err != nil {
		return err
	}
	name := "reveals/" + string(t.org)
	text, err := t.tx.Cursor(scope, name)
	if err != nil {
		return err
	}
	var done, kept []reveal
	if text != "" {
		if err := json.Unmarshal([]byte(text), &done); err != nil {
			return ringwall.Errorf(ringwall.Internal, "reading how often numbers were shown: %w", err)
		}
	}
	mine, first := 0, int64(0)
	for _, r := range done {
		age := t.at.Sub(time.Unix(r.At, 0))
		if age >= 24*time.Hour {
			continue
		}
		kept = append(kept, r)
		if r.Who == a.String() && age < time.Hour {
			if mine++; mine == 1 {
				first = r.At
			}
		}
	}
	switch {
	case mine >= revealsHour:
		return tooMany(revealsHour, "by one person in an hour", time.Unix(first, 0).Add(time.Hour))
	case len(kept) >= revealsDay:
		return tooMany(revealsDay, "in a day", time.Unix(kept[0].At, 0).Add(24*time.Hour))
	}
	b, err := json.Marshal(append(kept, reveal{At: t.at.Unix(), Who: a.String()}))
	if err != nil {
		return err
	}
	return t.tx.PutCursor(scope, name, string(b))
}

func tooMany(n int, in string, next time.Time) error {
	e := ringwall.Errorf(ringwall.Unavailable, "numbers are shown %d times %s at most", n, in)
	e.Hint = "the next from " + next.UTC().Format(time.RFC3339) + " on"
	return e
}

var _ httpapi.SIMUse = (*service)(nil)
