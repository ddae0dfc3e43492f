package httpadmin

import (
	"fmt"
	"math"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/ringwall/ringwall"
)

// sessions gathers what logins gave: the cookie before and after each, and where
// the page behind was found. Values are compared and forgotten with the visit;
// no finding shows one.
type sessions struct {
	before, after []map[string]*http.Cookie // one of each per login
	address       bool                      // a token stood in an address
}

const maxSessions = 16

func (s *sessions) add(before, after []*http.Cookie, at *url.URL) {
	if len(s.after) >= maxSessions {
		return
	}
	s.before, s.after = append(s.before, byName(before)), append(s.after, byName(after))
	if at != nil {
		token := regexp.MustCompile(`(?i)(session|sess|sid|token|auth)[a-z_]*=[^&]{4,}`)
		s.address = s.address || token.MatchString(at.RawQuery) || strings.Contains(strings.ToLower(at.Path), ";jsessionid=")
	}
}

func byName(cs []*http.Cookie) map[string]*http.Cookie {
	out := map[string]*http.Cookie{}
	for _, c := range cs {
		out[c.Name] = c
	}
	return out
}

// enoughSessions is how many logins are compared before their tokens are judged.
const enoughSessions = 3

// fault is one that a session's cookie has.
type fault struct {
	text  string
	grave bool // the session can be taken over by who knows it
}

// faults judges the cookies that carry the session: those which differ from
// login to login, or the only one that there is (RFC 6265 sections 4.1.2, 8.4 and
// 8.6).
func (s *sessions) faults(inTLS bool) []fault {
	if len(s.after) < enoughSessions {
		return nil
	}
	var out []fault
	for name, c := range s.after[0] {
		values := []string{}
		fixed := 0
		for i, m := range s.after {
			d, there := m[name]
			if !there {
				break
			}
			values = append(values, d.Value)
			if b, had := s.before[i][name]; had && b.Value == d.Value {
				fixed++
			}
		}
		if len(values) < len(s.after) || c.Value == "" {
			continue // not of every login
		}
		distinct := slices.Compact(slices.Sorted(slices.Values(values)))
		switch {
		case len(distinct) == 1 && len(s.after[0]) > 1:
			continue // a preference, not a session
		case len(distinct) == 1:
			out = append(out, fault{"every login is given the same token", true})
			continue
		case counts(values):
			out = append(out, fault{"tokens of logins in a row are numbers in a row", true})
		case bits(values) < 64:
			out = append(out, fault{fmt.Sprintf("tokens vary by about %d bits only", int(bits(values))), bits(values) < 32})
		}
		if fixed == len(values) {
			out = append(out, fault{"a token given before the login is the session's afterwards (fixation)", true})
		}
		if !c.HttpOnly {
			out = append(out, fault{"the session's cookie may be read by scripts (no HttpOnly)", false})
		}
		if inTLS && !c.Secure {
			out = append(out, fault{"the session's cookie is sent without TLS too (no Secure)", false})
		}
		if c.SameSite == 0 || c.SameSite == http.SameSiteDefaultMode {
			out = append(out, fault{"the session's cookie names no SameSite", false})
		}
	}
	if s.address {
		out = append(out, fault{"the session's token stands in the address", false})
	}
	slices.SortFunc(out, func(a, b fault) int { return strings.Compare(a.text, b.text) })
	return slices.Compact(out)
}

// counts reports whether values are numbers, decimal or hexadecimal, each a
// little above the one before.
func counts(values []string) bool {
	for _, base := range []int{10, 16} {
		last, ok := int64(-1), true
		for _, v := range values {
			n, err := strconv.ParseInt(v, base, 64)
			if err != nil || last >= 0 && (n <= last || n-last > 1000) {
				ok = false
				break
			}
			last = n
		}
		if ok {
			return true
		}
	}
	return false
}

// bits estimates from above how much tokens can vary: the places that change
// between them, each by the alphabet that is seen in all of them.
func bits(values []string) float64 {
	alphabet := map[byte]bool{}
	short := len(values[0])
	for _, v := range values {
		short = min(short, len(v))
		for i := range len(v) {
			alphabet[v[i]] = true
		}
	}
	moving := 0
	for i := range short {
		for _, v := range values[1:] {
			if v[i] != values[0][i] {
				moving++
				break
			}
		}
	}
	return float64(moving) * math.Log2(float64(max(2, len(alphabet))))
}

// judged turns the faults into an answer on the login scheme (AP-06).
func (v *visit) judged() []ringwall.Finding {
	fs := v.seen.faults(v.tls)
	if len(fs) == 0 {
		return nil
	}
	f := ringwall.Finding{Indicator: "AP-06", Outcome: ringwall.Partial, Confidence: ringwall.Observed, Title: v.name() + " keeps its sessions carelessly"}
	for _, x := range fs {
		if x.grave {
			f.Outcome, f.Confidence, f.Title = ringwall.Fail, ringwall.Confirmed, v.name()+" gives sessions that others can take over"
		}
		f.Evidence = append(f.Evidence, x.text)
	}
	f.Evidence = append(f.Evidence, fmt.Sprintf("%d logins were compared", len(v.seen.after)))
	return []ringwall.Finding{f}
}
