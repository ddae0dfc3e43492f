package cross

import (
	"crypto/hmac"
	"crypto/sha256"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/internal/usage/rules"
)

// Namer gives the id and the owner of a card (cdr.CardKey).
type Namer func(card uint64) (ringwall.SIMID, ringwall.OrgID)

// maxNamed bounds the cards that an alert names.
const maxNamed = 8

// Alerts puts a finding into words: one alert for each organisation that has
// some of its cards, about the first of them, with ids of no other's. key is the
// secret that ids of alerts are made with.
func (f Finding) Alerts(key []byte, name Namer) (out []ringwall.Alert) {
	type group struct {
		org  ringwall.OrgID
		sims []string
	}
	var groups []group
	for _, c := range f.Cards {
		sim, org := name(c)
		i := slices.IndexFunc(groups, func(g group) bool { return g.org == org })
		if i < 0 {
			i, groups = len(groups), append(groups, group{org: org})
		}
		if g := &groups[i]; len(g.sims) < maxNamed {
			g.sims = append(g.sims, string(sim))
		}
	}
	m := hmac.New(sha256.New, key)
	m.Write([]byte("usage cross\x00" + f.Kind.String() + "\x00" + strconv.FormatUint(f.Key, 16)))
	what := string(m.Sum(nil)[:16])
	at := time.Unix(int64(f.Sec), 0).UTC()
	for _, g := range groups {
		a := ringwall.Alert{
			ID:  ringwall.AlertID(ringwall.DeriveID(ringwall.PrefixAlert, what, string(g.org), rules.Box, strconv.FormatUint(uint64(f.Day), 10), strconv.Itoa(f.Variant))),
			Org: g.org, Time: at, Rule: rules.Box, Nature: ringwall.NatureDeviation, Severity: ringwall.High,
			Subject:  ringwall.Subject{Kind: ringwall.SubjectSIM, ID: g.sims[0]},
			Evidence: ringwall.Evidence{Count: uint64(f.Count), First: at, Last: at, Facts: map[string]string{"kind": f.Kind.String(), "cards": strconv.Itoa(f.Count)}},
		}
		if len(g.sims) > 1 {
			a.Evidence.Facts["sims"] = strings.Join(g.sims, " ")
		}
		f.tell(&a)
		out = append(out, a)
	}
	return out
}

// tell adds what is particular to a kind.
func (f *Finding) tell(a *ringwall.Alert) {
	facts := a.Evidence.Facts
	switch f.Kind {
	case Equipment:
		a.Nature, a.Attack, a.Title = ringwall.NatureAttack, "T1583", "One piece of equipment is used with many SIMs"
		if s := cdr.IMEIOf(f.Key); s != "" {
			facts["seenImei"], facts["seenTac"] = s[:8]+"****"+s[12:], s[:8]
		}
	case Cell:
		a.Attack, a.Title = "T1583", "Many SIMs that are new in a cell call or write from there"
		facts["cell"], facts["usual"] = cdr.CellText(f.Key), strconv.Itoa(f.Usual)
	case Peer:
		a.Attack, a.Title, a.Stage = "T1437", "Many SIMs suddenly reach the same peer", ringwall.Command
		facts["usual"] = strconv.Itoa(f.Usual)
		if s := cdr.PeerText(f.Key); cdr.PeerKind(f.Key) == cdr.PeerIPv4 {
			facts["peer"] = s
			a.Peer, _ = netip.ParseAddr(s)
		} else if len(s) > 6 {
			facts["peer"] = s[:4] + "****" + s[len(s)-2:]
		} else if s != "" {
			facts["peer"] = s
		}
	}
	if f.Variant > 0 {
		a.Severity = ringwall.Critical
	}
	for k, v := range facts {
		if v == "" {
			delete(facts, k)
		}
	}
}
