package assess

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

//go:embed rubric.json
var rubricJSON []byte

// Channel is a means of measurement.
type Channel string

// The channels, by how directly they see.
const (
	ByProbe       Channel = "network"     // a probe that asks the device
	ByGateway     Channel = "inline"      // a gateway that sees its traffic
	ByImage       Channel = "firmware"    // its firmware image, unpacked
	ByAgent       Channel = "agent"       // a signed statement of the device's own
	ByDeclaration Channel = "declaration" // what a party says of it
	ByLaboratory  Channel = "laboratory"  // a bench, with its signature
)

// Class of a knock-out.
type Class string

// A full knock-out makes a device high risk alone; two halves do together.
const (
	Full Class = "full"
	Half Class = "half"
)

// Knockout says what a confirmed fail of an indicator does. When Fact is set,
// only if the finding carries that fact with that value.
type Knockout struct {
	Class Class  `json:"class"`
	Fact  string `json:"fact,omitempty"`
	Value string `json:"value,omitempty"`
}

// Reference is one place in a standard that asks for an indicator. Clauses move
// between editions, and laws pin old ones, so a clause is named with its edition.
type Reference struct {
	Standard string `json:"standard"`
	Edition  string `json:"edition,omitempty"`
	Clause   string `json:"clause"`
	Status   string `json:"status,omitempty"` // "shall", "should", "disputed"
	Note     string `json:"note,omitempty"`
}

func (r Reference) String() string {
	if r.Edition == "" {
		return r.Standard + " " + r.Clause
	}
	return r.Standard + " " + r.Edition + " " + r.Clause
}

// Related is a standard that is not mapped by clause, and why.
type Related struct {
	Standard string `json:"standard"`
	Edition  string `json:"edition,omitempty"`
	Note     string `json:"note"`
}

// Indicator is one thing that is rated.
type Indicator struct {
	ID         string          `json:"id"`
	Module     ringwall.Module `json:"module"`
	Weight     int             `json:"weight"` // 1 to 10
	Knockouts  []Knockout      `json:"knockout,omitempty"`
	Title      string          `json:"title"` // what holds when it passes
	Channels   []Channel       `json:"channels"`
	References []Reference     `json:"references"`
	Remedy     string          `json:"remedy"`
	Effort     string          `json:"effort"` // of the remedy: "low", "medium", "high"
	Why        string          `json:"why,omitempty"`
	Party      ringwall.Part   `json:"party,omitempty"` // who can remedy it
	Do         string          `json:"do,omitempty"`    // what Ringwall can do itself: "change-password", "close-port"
	Gives      string          `json:"gives,omitempty"` // the capability a device that fails must be given (see Prescribe)
	// Spared are services that do not make it apply: a device whose ports were
	// looked at and that offers none but these cannot fail it. Nil means that it
	// always applies, an empty list that any service makes it apply.
	Spared []string `json:"spared,omitzero"`
}

// Rubric is the whole table. It is read-only after ParseRubric and may be
// shared by goroutines.
//
// Rule names the grade rule that it is made for: 0 and 1 are that of rubrics
// 1.x, 2 that of today (see Grade). An old rubric is graded by its own rule.
type Rubric struct {
	Version    string              `json:"version"`
	Rule       int                 `json:"rule,omitempty"`
	About      string              `json:"about"`
	Related    []Related           `json:"related,omitempty"`
	Thresholds Thresholds          `json:"thresholds,omitzero"` // zero: those of rule 1
	Validity   map[Channel]seconds `json:"validity"`            // 0 = until the firmware changes
	Indicators []Indicator         `json:"indicators"`
	Profiles   *Profiles           `json:"profiles,omitempty"`

	// Of what For was asked; not part of the table.
	Profile api.Profile `json:"-"`
	Impact  string      `json:"-"`

	index map[string]int
	terms terms
	bare  *Rubric // what For was called on; nil of a table as it was read
}

// seconds reads a duration such as "720h"; "0" means without end.
type seconds time.Duration

// UnmarshalText reads what time.ParseDuration reads.
func (s *seconds) UnmarshalText(b []byte) error {
	d, err := time.ParseDuration(string(b))
	*s = seconds(d)
	return err
}

// MarshalText writes what UnmarshalText reads.
func (s seconds) MarshalText() ([]byte, error) { return []byte(time.Duration(s).String()), nil }

// builtIn reads the built-in table once; it is read-only from then on.
var builtIn = sync.OnceValue(func() *Rubric {
	r, err := ParseRubric(rubricJSON)
	if err == nil {
		err = r.parseProfiles(profilesJSON)
	}
	if err != nil {
		panic("assess: the built-in rubric is broken: " + err.Error())
	}
	return r
})

// Default returns the rubric built into the program, with its profiles. It is
// applied to no profile yet: see For.
func Default() *Rubric { return builtIn() }

// ParseRubric reads and checks a rubric: every id once, weights 1 to 10,
// known modules, channels and knock-out classes, a remedy and at least one
// standard each.
func ParseRubric(b []byte) (*Rubric, error) {
	if len(b) > 1<<20 {
		return nil, ringwall.Errorf(ringwall.Invalid, "rubric is longer than 1 MiB")
	}
	var r Rubric
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, ringwall.Errorf(ringwall.Invalid, "reading rubric: %w", err)
	}
	if r.Version == "" || len(r.Indicators) == 0 || len(r.Indicators) > maxIndicators {
		return nil, ringwall.Errorf(ringwall.Invalid, "rubric has no version, or not 1 to %d indicators", maxIndicators)
	}
	if r.Rule < 0 || r.Rule > newestRule {
		return nil, ringwall.Errorf(ringwall.Invalid, "rubric %.40q is made for grade rule %d; this program knows 1 to %d", r.Version, r.Rule, newestRule)
	}
	if err := r.Thresholds.check(); err != nil {
		return nil, ringwall.Errorf(ringwall.Invalid, "rubric: thresholds: %v", err)
	}
	if r.Thresholds == (Thresholds{}) {
		r.Thresholds = first()
	}
	r.terms = terms{thresholds: r.Thresholds}
	channels := []Channel{ByProbe, ByGateway, ByImage, ByAgent, ByDeclaration}
	if r.Rule >= 2 {
		channels = append(channels, ByLaboratory)
	}
	for _, c := range channels {
		if _, ok := r.Validity[c]; !ok {
			return nil, ringwall.Errorf(ringwall.Invalid, "rubric gives no validity for channel %q", c)
		}
	}
	r.index = make(map[string]int, len(r.Indicators))
	for i, in := range r.Indicators {
		if err := in.check(channels); err != nil {
			return nil, ringwall.Errorf(ringwall.Invalid, "rubric: indicator %q: %v", in.ID, err)
		}
		if _, twice := r.index[in.ID]; twice {
			return nil, ringwall.Errorf(ringwall.Invalid, "rubric: indicator %q stands twice", in.ID)
		}
		r.index[in.ID] = i
	}
	if r.Profiles != nil {
		if err := r.checkProfiles(); err != nil {
			return nil, err
		}
	}
	return &r, nil
}

const (
	newestRule    = 2
	maxIndicators = 1000
)

func (in Indicator) check(channels []Channel) error {
	switch {
	case in.ID == "" || in.ID == ringwall.ObservedCompromise:
		return fmt.Errorf("the id is empty or reserved")
	case in.Weight < 1 || in.Weight > 10:
		return fmt.Errorf("weight %d is not 1 to 10", in.Weight)
	case in.Title == "" || in.Remedy == "" || len(in.References) == 0 || len(in.Channels) == 0:
		return fmt.Errorf("title, remedy, reference or channel is missing")
	case !slices.Contains([]string{"low", "medium", "high"}, in.Effort):
		return fmt.Errorf("effort %q is not low, medium or high", in.Effort)
	}
	if in.Party != "" && !slices.Contains(ringwall.Parts, in.Party) {
		return fmt.Errorf("party %q is no part", in.Party)
	}
	if !slices.Contains([]string{"", DoChangePassword, DoClosePort}, in.Do) {
		return fmt.Errorf("act %q is none that Ringwall can do", in.Do)
	}
	for _, c := range in.Channels {
		if !slices.Contains(channels, c) {
			return fmt.Errorf("channel %q is not known", c)
		}
	}
	for _, k := range in.Knockouts {
		if k.Class != Full && k.Class != Half {
			return fmt.Errorf("knock-out class %q is not full or half", k.Class)
		}
	}
	return nil
}

// Indicator returns the indicator with this id.
func (r *Rubric) Indicator(id string) (Indicator, bool) {
	i, ok := r.index[id]
	if !ok {
		return Indicator{}, false
	}
	return r.Indicators[i], true
}

// knockout returns the class that a confirmed fail f of in has, "" for none.
func (in *Indicator) knockout(f *ringwall.Finding) Class {
	var c Class
	for _, k := range in.Knockouts {
		if k.Fact == "" || f.Facts[k.Fact] == k.Value {
			if k.Class == Full {
				return Full
			}
			c = Half
		}
	}
	return c
}

// Mandatory reports whether low risk needs this indicator measured.
func (r *Rubric) Mandatory(id string) bool { return r.terms.mandatory[id] }

// Apart reports whether the profile sets this indicator apart: it applies only
// when it is measured to fail.
func (r *Rubric) Apart(id string) bool { return r.terms.apart[id] }
