package detect

import (
	"net/netip"
	"strconv"
	"time"

	"github.com/ringwall/ringwall"
)

const (
	// MaxAddressAlerts bounds the alerts of one rule about addresses in one
	// minute of packet time: spoofed sources must not become an alert each.
	MaxAddressAlerts = 64
	// maxEvidence bounds the packet numbers of one alert.
	maxEvidence = 16
	// toldSize is how many alerts of a rule are remembered as told.
	toldSize = 1024

	hour = time.Hour
	day  = 24 * time.Hour
)

// told remembers one alert that was made. A forgotten one may be made again,
// with the same id.
type told struct{ key uint64 }

// teller keeps what one rule has told.
type teller struct {
	seen   [toldSize]told // in buckets of eight
	next   [toldSize / ways]uint8
	minute int64
	count  int
}

// Roles of a subject.
const (
	roleSource = "source"
	roleTarget = "target"
)

// statement is what a rule has to say.
type statement struct {
	rule     ruleID
	nature   ringwall.Nature
	severity ringwall.Severity
	stage    ringwall.Stage
	attack   string // "" = the rule's
	title    string
	role     string
	subject  party
	peer     netip.Addr
	at       int64
	first    int64
	count    int
	packets  []uint64
	facts    map[string]string
}

// fresh reports whether a statement of this rule about this subject, set apart
// by extra, was not yet made in this window of time, and marks it as made.
func (e *Engine) fresh(rule ruleID, subject *party, extra uint64, window time.Duration, now int64) bool {
	t := &e.tellers[rule]
	key := e.hash.ordered(subject.key, extra, uint64(now/int64(window))<<1|1)
	if subject.dev >= 0 {
		key = mix(key, uint64(e.devices[subject.dev].Cleared.UnixNano()))
	}
	b := key >> 32 % (toldSize / ways)
	bucket := t.seen[b*ways : b*ways+ways]
	for i := range bucket {
		if bucket[i].key == key {
			return false
		}
	}
	if subject.dev < 0 {
		if m := now / int64(time.Minute); m != t.minute {
			t.minute, t.count = m, 0
		}
		if t.count >= MaxAddressAlerts {
			e.stats.Suppressed++
			return false
		}
		t.count++
	}
	bucket[t.next[b]].key = key
	t.next[b] = (t.next[b] + 1) % ways
	return true
}

// tell makes the alert. extra sets apart what is not one per subject and
// window.
func (e *Engine) tell(s statement, extra string, window time.Duration) {
	if e.assessing(s) {
		return
	}
	// Noted before it is asked whether the rule may speak: what new-peer makes
	// of it must not hang on which rules are switched on.
	if s.nature == ringwall.NatureAttack && s.subject.dev >= 0 {
		e.devices[s.subject.dev].state().attacked = max(s.at, 1)
	}
	if e.off[s.rule] {
		return
	}
	info := rules[s.rule]
	subject := ringwall.Subject{Kind: ringwall.SubjectAddress, ID: s.subject.addr.String()}
	if s.subject.dev >= 0 {
		subject = ringwall.Subject{Kind: ringwall.SubjectDevice, ID: string(e.devices[s.subject.dev].ID)}
	}
	if s.attack == "" {
		s.attack = info.Attack
	}
	if s.facts == nil {
		s.facts = map[string]string{}
	}
	s.facts["role"] = s.role
	at := time.Unix(0, s.at).UTC()
	if s.subject.dev >= 0 {
		if c := e.devices[s.subject.dev].Cleared; !c.IsZero() {
			extra += "+" + c.UTC().Format(time.RFC3339Nano)
		}
	}
	a := ringwall.Alert{
		ID: ringwall.AlertID(ringwall.DeriveID(ringwall.PrefixAlert, info.Name, string(subject.Kind), subject.ID,
			at.Truncate(window).Format(time.RFC3339), extra)),
		Time: at, Rule: info.Name, Nature: s.nature, Severity: s.severity, Subject: subject, Stage: s.stage,
		Title: s.title, Attack: s.attack, Peer: s.peer,
		Evidence: ringwall.Evidence{Count: uint64(s.count), Last: at, Facts: s.facts},
	}
	if s.first > 0 {
		a.Evidence.First = time.Unix(0, min(s.first, s.at)).UTC()
	}
	if e.records {
		a.Evidence.Records = s.packets
	} else {
		a.Evidence.Packets = s.packets
	}
	e.stats.Alerts++
	e.alert(a)
}

func itoa[T ~int | ~uint16 | ~uint32 | ~int64 | ~uint8](n T) string {
	return strconv.FormatInt(int64(n), 10)
}

// assessing reports whether a statement is about what an assessment does: it
// scans, guesses a few passwords and looks at video. Only what an assessor
// does is excused, not what is done to it, and no other rule.
func (e *Engine) assessing(s statement) bool {
	switch s.rule {
	case ruleAdmin, ruleAny, ruleVertical, ruleARP, ruleICMP, ruleGuess, ruleVideo, rulePeer:
	default:
		return false
	}
	if s.role == roleSource {
		return s.subject.dev >= 0 && e.devices[s.subject.dev].Assessor
	}
	i, ok := e.byIP[e.hash.addr(s.peer)]
	return ok && e.devices[i].Assessor
}
