package declare

import (
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// Question is one question of the questionnaire. The JSON form is what a page
// or another program shows.
type Question struct {
	ID         string       `json:"id"`
	Indicator  string       `json:"indicator"`
	Provisions []string     `json:"provisions,omitempty"` // of EN 303 645 V3.1.3
	Kind       QuestionKind `json:"kind"`
	Text       Words        `json:"text"`
	Help       Words        `json:"help"`
	Choices    []Choice     `json:"choices,omitempty"`
	// Classes of devices that are asked; none = all but the cloud, which is asked
	// only what names it.
	Classes []string `json:"classes,omitempty"`
	SIM     bool     `json:"sim,omitempty"` // asked only of devices with a SIM
	// When makes the question depend on the answer to an earlier one.
	When     *Condition `json:"when,omitempty"`
	Optional bool       `json:"optional,omitempty"`
}

// QuestionKind is how a question is answered.
type QuestionKind string

// The kinds of answers.
const (
	AskChoice       QuestionKind = "choice"       // one of Choices
	AskDate         QuestionKind = "date"         // 2006-01-02
	AskURL          QuestionKind = "url"          // https or mailto
	AskPorts        QuestionKind = "ports"        // a line each, "tcp/554 rtsp"
	AskDestinations QuestionKind = "destinations" // a line each, a DNS name or a network
)

// Choice is one possible answer and what it means for the indicator.
type Choice struct {
	ID      string           `json:"id"`
	Text    Words            `json:"text"`
	Outcome ringwall.Outcome `json:"outcome"`
}

// Condition holds when the question was answered with one of Is.
type Condition struct {
	Question string   `json:"question"`
	Is       []string `json:"is"`
}

// Questions lists what a party is asked about devices of a profile, in order.
func Questions(p api.Profile) []Question {
	var out []Question
	for _, q := range data().questions {
		if q.asks(p) {
			out = append(out, q)
		}
	}
	return out
}

func (q Question) asks(p api.Profile) bool {
	if q.SIM && !p.SIM {
		return false
	}
	if len(q.Classes) == 0 {
		return p.Class != "cloud" || slices.Contains([]string{"AP-09", "AP-10", "CO-05", "DA-06", "DA-07"}, q.Indicator)
	}
	return slices.Contains(q.Classes, p.Class)
}

// Answer is what was answered to one question. Unknown choices are kept apart
// from no answer: "I do not know" is an answer.
type Answer struct {
	Value string    `json:"value"`          // id of the choice, the date, the URL, the lines
	Note  string    `json:"note,omitempty"` // in the party's own words
	At    time.Time `json:"at"`
}

const (
	maxLines = 64
	maxNote  = 2000
)

// Check reports what is wrong with an answer; it is the same before saving and
// before judging. An empty value of ports or destinations says "none".
func (q Question) Check(a Answer) error {
	bad := func(format string, args ...any) error {
		return ringwall.Errorf(ringwall.Invalid, "question %q: "+format, append([]any{q.ID}, args...)...)
	}
	if len(a.Note) > maxNote || len(a.Value) > 8192 {
		return bad("the answer is too long")
	}
	if !printable(a.Note) || !printable(a.Value) {
		return bad("the answer holds control characters")
	}
	switch q.Kind {
	case AskChoice:
		if _, ok := q.choice(a.Value); !ok {
			return bad("%q is no choice", short(a.Value))
		}
	case AskDate:
		if t, err := time.Parse(time.DateOnly, a.Value); err != nil || t.Year() < 1990 || t.Year() > 2199 {
			return bad("%q is no date such as 2031-12-31", short(a.Value))
		}
	case AskURL:
		u, err := url.Parse(a.Value)
		if err != nil || u.User != nil || (u.Scheme != "https" || u.Host == "") && (u.Scheme != "mailto" || !strings.Contains(u.Opaque, "@")) {
			return bad("%q is no https or mailto address", short(a.Value))
		}
	case AskPorts:
		_, err := ports(a.Value)
		if err != nil {
			return bad("%v", err)
		}
	case AskDestinations:
		_, err := destinations(a.Value)
		if err != nil {
			return bad("%v", err)
		}
	}
	return nil
}

func (q Question) choice(id string) (Choice, bool) {
	for _, c := range q.Choices {
		if c.ID == id {
			return c, true
		}
	}
	return Choice{}, false
}

func printable(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, c := range s {
		if unicode.IsControl(c) && c != '\n' && c != '\r' && c != '\t' {
			return false
		}
	}
	return true
}

func short(s string) string {
	if r := []rune(s); len(r) > 40 {
		return string(r[:40]) + "…"
	}
	return s
}

// lines splits an answer of several lines; empty ones do not count.
func lines(s string) ([]string, error) {
	var out []string
	for l := range strings.Lines(s) {
		if l = strings.TrimSpace(l); l != "" {
			out = append(out, l)
		}
	}
	if len(out) > maxLines {
		return nil, ringwall.Errorf(ringwall.Invalid, "more than %d lines", maxLines)
	}
	return out, nil
}

// ports reads lines such as "tcp/554 rtsp".
func ports(s string) ([]api.Service, error) {
	all, err := lines(s)
	if err != nil {
		return nil, err
	}
	var out []api.Service
	for _, l := range all {
		where, name, _ := strings.Cut(l, " ")
		proto, port, ok := strings.Cut(strings.ToLower(where), "/")
		n, err := strconv.ParseUint(port, 10, 16)
		if !ok || err != nil || n == 0 || proto != "tcp" && proto != "udp" || len(name) > 40 {
			return nil, ringwall.Errorf(ringwall.Invalid, "%q is no port such as tcp/554 rtsp", short(l))
		}
		out = append(out, api.Service{Proto: proto, Port: uint16(n), Name: strings.ToLower(strings.TrimSpace(name))})
	}
	sortServices(out)
	return slices.CompactFunc(out, func(a, b api.Service) bool { return a.Proto == b.Proto && a.Port == b.Port }), nil
}

// destinations reads lines that are DNS names (a leading "*." stands for any
// label) or networks.
func destinations(s string) ([]string, error) {
	all, err := lines(s)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, l := range all {
		l = strings.ToLower(strings.TrimSuffix(l, "."))
		if _, err := netip.ParsePrefix(l); err == nil {
			out = append(out, l)
			continue
		}
		if _, err := netip.ParseAddr(l); err == nil {
			out = append(out, l)
			continue
		}
		name := strings.TrimPrefix(l, "*.")
		ok := strings.Contains(name, ".") && len(name) <= 253
		for label := range strings.SplitSeq(name, ".") {
			ok = ok && label != "" && len(label) <= 63 && strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") == ""
		}
		if !ok {
			return nil, ringwall.Errorf(ringwall.Invalid, "%q is neither a DNS name nor a network", short(l))
		}
		out = append(out, l)
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}
