package fingerprint

import (
	"bytes"
	_ "embed" // for the data
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/probe/fetch"
)

// Source is where a clue stands.
type Source string

// Where devices tell who they are.
const (
	Server     Source = "server"      // Server of a web page
	Realm      Source = "realm"       // of a demand to log in, web or RTSP
	Title      Source = "title"       // of a web page
	Favicon    Source = "favicon"     // Hash of a page's icon
	RTSP       Source = "rtsp"        // Server of an RTSP service
	UPnP       Source = "upnp"        // words of a description
	UPnPServer Source = "upnp-server" // Server of a search's answer
	MDNS       Source = "mdns"        // types and words announced
	TLS        Source = "tls"         // subject of a certificate
	SNMP       Source = "snmp"        // sysDescr
	Banner     Source = "banner"      // greeting of ssh, ftp, telnet, mail
	ONVIF      Source = "onvif"       // scopes
	UDP        Source = "udp"         // name of a UDP service that only some have
	SADP       Source = "sadp"        // answer to Hikvision's search
	DHIP       Source = "dhip"        // answer to Dahua's search
	Kasa       Source = "kasa"        // answer of TP-Link's plugs
	MAC        Source = "mac"         // hardware address
	Vendor     Source = "vendor"      // a maker's name, in a field that is for it
	Model      Source = "model"       // a model, in a field that is for it
)

func sources() []Source {
	return []Source{Server, Realm, Title, Favicon, RTSP, UPnP, UPnPServer, MDNS, TLS, SNMP, Banner, ONVIF, UDP, SADP, DHIP, Kasa, MAC, Vendor, Model}
}

// Clue is something that a device said.
type Clue struct {
	From Source
	Text string
	Port uint16 // where, for the record
}

// maxClue bounds the text of one clue.
const maxClue = 512

//go:embed fingerprints.json
var builtIn []byte

// Data are the fingerprints, ready to match. It may be used concurrently.
type Data struct {
	Version    string
	vendors    []vendor
	rules      []rule
	components []componentRule
}

type vendor struct {
	Name string   `json:"name"`
	Also []string `json:"also"`
	OUI  []string `json:"oui"`
}

type rule struct {
	ID       string   `json:"id"`
	From     []Source `json:"from"`
	Match    string   `json:"match"`
	Vendor   string   `json:"vendor"`
	Model    string   `json:"model"`
	Firmware string   `json:"firmware"`
	Type     string   `json:"type"`
	Needs    string   `json:"needs"`
	Weight   int      `json:"weight"`

	re *regexp.Regexp
}

type componentRule struct {
	Name  string   `json:"name"`
	From  []Source `json:"from"`
	Match string   `json:"match"`

	re *regexp.Regexp
}

// loadBuiltIn parses the embedded file once; it is never written after.
var loadBuiltIn = sync.OnceValues(func() (*Data, error) { return Parse(builtIn) })

// Default returns the built-in fingerprints.
func Default() *Data {
	d, err := loadBuiltIn()
	if err != nil {
		panic("fingerprint: the built-in data is broken: " + err.Error())
	}
	return d
}

// Parse reads fingerprints and refuses those that could not work.
func Parse(b []byte) (*Data, error) {
	var raw struct {
		Version    string          `json:"version"`
		About      string          `json:"about"`
		Vendors    []vendor        `json:"vendors"`
		Rules      []rule          `json:"rules"`
		Components []componentRule `json:"components"`
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&raw); err != nil {
		return nil, fmt.Errorf("reading fingerprints: %w", err)
	}
	d := &Data{raw.Version, raw.Vendors, raw.Rules, raw.Components}
	known := map[string]bool{"": true}
	for _, v := range d.vendors {
		known[v.Name] = true
	}
	ids := map[string]bool{}
	for i := range d.rules {
		r := &d.rules[i]
		var err error
		if r.re, err = compile(r.Match, r.From); err != nil {
			return nil, fmt.Errorf("reading fingerprint %q: %w", r.ID, err)
		}
		says := r.Vendor + r.Model + r.Firmware + r.Type
		if r.ID == "" || ids[r.ID] || says == "" || r.Weight < 1 || r.Weight > 9 || !known[r.Vendor] || !known[r.Needs] {
			return nil, fmt.Errorf("reading fingerprint %q: it has no id of its own, says nothing, weighs nothing or names an unknown vendor", r.ID)
		}
		ids[r.ID] = true
	}
	for i := range d.components {
		c := &d.components[i]
		var err error
		if c.re, err = compile(c.Match, c.From); err != nil {
			return nil, fmt.Errorf("reading component fingerprint %q: %w", c.Name, err)
		}
		if c.Name == "" || c.re.NumSubexp() != 1 {
			return nil, fmt.Errorf("reading component fingerprint %q: it wants a name and one group, the version", c.Name)
		}
	}
	return d, nil
}

func compile(match string, from []Source) (*regexp.Regexp, error) {
	if len(from) == 0 {
		return nil, fmt.Errorf("it says not where the words stand")
	}
	for _, f := range from {
		if !slices.Contains(sources(), f) {
			return nil, fmt.Errorf("there is no place %q", f)
		}
	}
	return regexp.Compile(match)
}

// Match is who a device is, by its clues.
type Match struct {
	Identity   assess.Identity
	Components []api.Component
	Why        []string // one line for each part of the identity
}

// Identify tells who a device is. The vendor is who most weight speaks for;
// model and firmware are believed of rules for that vendor alone. Clues that
// contradict each other with equal weight leave the vendor open. The order of
// clues does not matter.
func (d *Data) Identify(clues []Clue) Match {
	clues = slices.Clone(clues)
	slices.SortFunc(clues, func(a, b Clue) int { return strings.Compare(string(a.From)+a.Text, string(b.From)+b.Text) })
	var hits []hit
	for _, c := range clues {
		c.Text = c.Text[:min(len(c.Text), maxClue)]
		hits = append(hits, d.stated(c)...)
		for i := range d.rules {
			r := &d.rules[i]
			if !slices.Contains(r.From, c.From) {
				continue
			}
			if m := r.re.FindStringSubmatchIndex(c.Text); m != nil {
				say := func(template string) string {
					return fetch.Clean(strings.TrimSpace(string(r.re.ExpandString(nil, template, c.Text, m))), 60)
				}
				hits = append(hits, hit{rule: r.ID, clue: c, weight: r.Weight, needs: r.Needs, id: assess.Identity{Vendor: r.Vendor, Model: say(r.Model), Firmware: say(r.Firmware), Type: r.Type}})
			}
		}
	}
	m := settle(hits)
	m.Components = d.named(clues)
	return m
}

// hit is one rule that speaks.
type hit struct {
	rule   string
	clue   Clue
	weight int
	needs  string
	id     assess.Identity
}

// stated reads what stands in fields that are for it, and hardware addresses.
func (d *Data) stated(c Clue) []hit {
	switch c.From {
	case MAC:
		mac := strings.ToLower(strings.ReplaceAll(c.Text, "-", ":"))
		for _, v := range d.vendors {
			for _, o := range v.OUI {
				if strings.HasPrefix(mac, o) {
					return []hit{{rule: "oui", clue: c, weight: 1, id: assess.Identity{Vendor: v.Name}}}
				}
			}
		}
	case Vendor:
		if name := fetch.Clean(c.Text, 60); name != "" {
			return []hit{{rule: "stated-vendor", clue: c, weight: 8, id: assess.Identity{Vendor: d.canonical(name)}}}
		}
	case Model:
		if name := fetch.Clean(c.Text, 60); name != "" {
			return []hit{{rule: "stated-model", clue: c, weight: 2, id: assess.Identity{Model: name}}}
		}
	}
	return nil
}

// canonical returns one name for a maker, however it writes itself.
func (d *Data) canonical(name string) string {
	low := strings.ToLower(name)
	for _, v := range d.vendors {
		for _, a := range v.Also {
			if low == a || strings.HasPrefix(low, a+" ") || strings.HasPrefix(low, a+",") {
				return v.Name
			}
		}
	}
	return name
}

// settle weighs the hits.
func settle(hits []hit) Match {
	// Of one rule only one clue counts: a name on five ports is one name.
	votes, once := map[string]int{}, map[string]bool{}
	for _, h := range hits {
		if key := h.rule + "\x00" + h.id.Vendor; h.id.Vendor != "" && !once[key] {
			once[key] = true
			votes[h.id.Vendor] += h.weight
		}
	}
	var m Match
	best, second := 0, 0
	for v, n := range votes {
		switch {
		case n > best:
			m.Identity.Vendor, best, second = v, n, best
		case n > second:
			second = n
		}
	}
	if best == second { // nobody is believed over the other
		m.Identity.Vendor = ""
	}
	for _, part := range []struct {
		name string
		of   func(assess.Identity) string
		to   *string
	}{
		{"vendor", func(i assess.Identity) string { return i.Vendor }, nil},
		{"model", func(i assess.Identity) string { return i.Model }, &m.Identity.Model},
		{"firmware", func(i assess.Identity) string { return i.Firmware }, &m.Identity.Firmware},
		{"type", func(i assess.Identity) string { return i.Type }, &m.Identity.Type},
	} {
		var chosen *hit
		for i, h := range hits {
			v := part.of(h.id)
			if v == "" || h.needs != "" && h.needs != m.Identity.Vendor || h.id.Vendor != "" && h.id.Vendor != m.Identity.Vendor {
				continue
			}
			if chosen == nil || h.weight > chosen.weight || h.weight == chosen.weight && part.of(h.id) < part.of(chosen.id) {
				chosen = &hits[i]
			}
		}
		if chosen == nil {
			continue
		}
		if part.to != nil {
			*part.to = part.of(chosen.id)
		}
		m.Why = append(m.Why, fmt.Sprintf("%s %q by %s in %s", part.name, part.of(chosen.id), chosen.rule, chosen.clue.From))
	}
	return m
}

// maxComponents bounds how much software one device may name.
const maxComponents = 32

// named returns the software that clues name with a version.
func (d *Data) named(clues []Clue) []api.Component {
	var out []api.Component
	for _, c := range clues {
		for i := range d.components {
			r := &d.components[i]
			if !slices.Contains(r.From, c.From) || len(out) == maxComponents {
				continue
			}
			if m := r.re.FindStringSubmatch(c.Text[:min(len(c.Text), maxClue)]); m != nil {
				comp := api.Component{Name: r.Name, Version: m[1], Exposed: true, How: "says so itself: " + string(c.From)}
				if !slices.ContainsFunc(out, func(o api.Component) bool { return o.Name == comp.Name && o.Version == comp.Version }) {
					out = append(out, comp)
				}
			}
		}
	}
	return out
}
