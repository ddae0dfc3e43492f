package assess

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/ringwall/ringwall"
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

// Reference is one place in a standard that asks for an indicator.
type Reference struct {
	Standard string `json:"standard"`
	Clause   string `json:"clause"`
}

func (r Reference) String() string { return r.Standard + " " + r.Clause }

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
}

// Rubric is the whole table. It is read-only after ParseRubric and may be
// shared by goroutines.
type Rubric struct {
	Version    string              `json:"version"`
	About      string              `json:"about"`
	Validity   map[Channel]seconds `json:"validity"` // 0 = until the firmware changes
	Indicators []Indicator         `json:"indicators"`

	index map[string]int
}

// seconds reads a duration such as "720h"; "0" means without end.
type seconds time.Duration

// UnmarshalText reads what time.ParseDuration reads.
func (s *seconds) UnmarshalText(b []byte) error {
	d, err := time.ParseDuration(string(b))
	*s = seconds(d)
	return err
}

// Default returns the rubric built into the program.
func Default() *Rubric {
	r, err := ParseRubric(rubricJSON)
	if err != nil {
		panic("assess: the built-in rubric is broken: " + err.Error())
	}
	return r
}

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
	if r.Version == "" || len(r.Indicators) == 0 {
		return nil, ringwall.Errorf(ringwall.Invalid, "rubric has no version or no indicators")
	}
	channels := []Channel{ByProbe, ByGateway, ByImage, ByAgent, ByDeclaration}
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
	return &r, nil
}

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
func (in Indicator) knockout(f ringwall.Finding) Class {
	for _, k := range in.Knockouts {
		if k.Fact == "" || f.Facts[k.Fact] == k.Value {
			return k.Class
		}
	}
	return ""
}
