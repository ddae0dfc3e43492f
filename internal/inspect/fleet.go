package inspect

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/known"
)

// Member is one examination of a fleet with whose device it is.
type Member struct {
	Device  ringwall.DeviceID
	Vendor  string // "" when unknown
	Model   string
	Source  string // of the examination
	Secrets []api.SecretMark
}

// Shared finds secrets that stand in more than one member's image: the same
// password, private key or token in devices of different vendors or models is
// known to whoever holds one of them. It returns one finding for each member
// and kind of secret that is shared, by the member's place in the list; several
// images of one device do not share with each other. Public test keys of
// libraries, which are the same everywhere and harm nobody, do not count.
//
// Shared is pure, and takes time in proportion to the secrets of all members.
func Shared(members []Member, at time.Time) map[int][]ringwall.Finding {
	type place struct{ member, secret int }
	byMark := map[string][]place{}
	keys := known.Keys()
	for i, m := range members {
		for j, s := range m.Secrets {
			if s.Mark != "" && !testKey(keys, s) {
				byMark[s.Kind+" "+s.Mark] = append(byMark[s.Kind+" "+s.Mark], place{i, j})
			}
		}
	}
	type slot struct {
		member    int
		indicator string
	}
	slots := map[slot]*ringwall.Finding{}
	for _, mark := range slices.Sorted(maps.Keys(byMark)) {
		places := byMark[mark]
		holders, vendors := map[string]string{}, map[string]bool{} // key of a device to its name
		for _, p := range places {
			m := members[p.member]
			holders[m.key()] = m.name()
			if m.Vendor != "" {
				vendors[strings.ToLower(m.Vendor)] = true
			}
		}
		if len(holders) < 2 {
			continue
		}
		order := slices.Sorted(maps.Keys(holders))
		for _, p := range places {
			me := members[p.member]
			s := me.Secrets[p.secret]
			k := slot{p.member, indicatorOf(s.Kind)}
			f := slots[k]
			if f == nil {
				f = &ringwall.Finding{
					Indicator: k.indicator, Module: moduleOf(k.indicator), Outcome: ringwall.Fail, Confidence: ringwall.Observed,
					Title: "a secret of the image is the same in other devices", Source: me.Source, Time: at, Facts: map[string]string{"shared": "devices"},
				}
				slots[k] = f
			}
			if len(vendors) > 1 && me.Vendor != "" {
				f.Title, f.Facts["shared"] = "a secret of the image is the same in devices of other vendors", "vendors"
			}
			var names []string
			for _, o := range order {
				if o != me.key() && len(names) < 5 {
					names = append(names, holders[o])
				}
			}
			line := fmt.Sprintf("%s: %s is also in the image of %s", s.Path, what(s), strings.Join(names, ", "))
			if more := len(holders) - 1 - len(names); more > 0 {
				line += fmt.Sprintf(" and %d more", more)
			}
			if len(f.Evidence) < 40 && !slices.Contains(f.Evidence, line) {
				f.Evidence = append(f.Evidence, line)
			}
		}
	}
	out := map[int][]ringwall.Finding{}
	for k, f := range slots {
		slices.Sort(f.Evidence)
		out[k.member] = append(out[k.member], *f)
	}
	for _, fs := range out {
		slices.SortFunc(fs, func(a, b ringwall.Finding) int { return cmp.Compare(a.Indicator, b.Indicator) })
	}
	return out
}

// key tells one device from another; a member without one is told by its maker,
// model and source.
func (m Member) key() string {
	if m.Device != "" {
		return string(m.Device)
	}
	return m.Vendor + "\x00" + m.Model + "\x00" + m.Source
}

// testKey reports whether a mark is of a library's published test key.
func testKey(keys map[string]known.Key, s api.SecretMark) bool {
	return s.Kind != "password-hash" && keys[s.Mark].Library
}

func (m Member) name() string {
	n := strings.TrimSpace(m.Vendor + " " + m.Model)
	if m.Device != "" {
		return strings.TrimSpace(n + " (" + string(m.Device) + ")")
	}
	return cmp.Or(n, m.Source)
}

func what(s api.SecretMark) string {
	switch s.Kind {
	case "password-hash":
		return "a stored password"
	case "private-key":
		return "a private key"
	case "host-key":
		return "a host key"
	case "certificate":
		return "a certificate with its key"
	}
	return "a token"
}

func indicatorOf(kind string) string {
	switch kind {
	case "password-hash":
		return "FS-01"
	case "certificate", "host-key":
		return "CO-06"
	}
	return "FS-02"
}
