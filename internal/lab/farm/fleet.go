package farm

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/probe"
	"github.com/ringwall/ringwall/internal/probe/objectauth"
)

// Fleet is a table of devices and the grades that they must get, such as
// internal/assess/testdata/fleet20.json, which says what its fields mean.
type Fleet struct {
	Devices []Expected `json:"devices"`
}

// Expected is one line of the table.
type Expected struct {
	Name         string            `json:"name"`
	Good         bool              `json:"good"`
	Grade        ringwall.Grade    `json:"grade"`
	Decisive     []string          `json:"decisive"`
	Profile      api.Profile       `json:"profile"`
	Network      map[string]string `json:"network"`
	Perhaps      map[string]string `json:"perhaps"`
	Examinations []struct {
		Kind    api.ExamKind      `json:"kind"`
		Source  string            `json:"source"`
		Answers map[string]string `json:"answers"`
	} `json:"examinations"`
}

// maxTable bounds what is read of a table.
const maxTable = 4 << 20

// ReadFleet reads a table.
func ReadFleet(r io.Reader) (*Fleet, error) {
	var f Fleet
	if err := json.NewDecoder(io.LimitReader(r, maxTable)).Decode(&f); err != nil {
		return nil, ringwall.Errorf(ringwall.Invalid, "reading the table of the fleet: %w", err)
	}
	if len(f.Devices) == 0 {
		return nil, ringwall.Errorf(ringwall.Invalid, "the table of the fleet names no device")
	}
	return &f, nil
}

// Trial is the farm as it is to be assessed: every device with the evidence that
// stands in the table, and a runner that looks at them from the viewer's end.
type Trial struct {
	farm     *Farm
	fleet    *Fleet
	targets  []assess.Target
	services backends
	labs     []api.Laboratory
	now      func() time.Time
}

// Trial makes the farm's devices targets, each with what the table hands over of
// it, made now, and what its maker declares. The laboratories of the table get a
// key of their own, which the trial's runner believes.
func (f *Farm) Trial(fleet *Fleet, now func() time.Time) (*Trial, error) {
	t := &Trial{farm: f, fleet: fleet, now: now, services: backends{}}
	pub, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, err
	}
	t.labs = []api.Laboratory{{Name: "bench", Key: pub}}
	for _, want := range fleet.Devices {
		i := slices.IndexFunc(f.Boxes, func(b *Box) bool { return b.Name == want.Name })
		if i < 0 {
			return nil, ringwall.Errorf(ringwall.NotFound, "the table names %q, and no such device stands in the farm", want.Name)
		}
		b := f.Boxes[i]
		target := assess.Target{Name: want.Name, Addr: b.Addr, Profile: want.Profile}
		for _, x := range want.Examinations {
			e := api.Examination{Kind: x.Kind, Source: x.Source, Made: now()}
			if e.Findings, err = said(x.Source, x.Answers, now()); err != nil {
				return nil, fmt.Errorf("%s: %w", want.Name, err)
			}
			switch x.Kind {
			case api.ExamDeclaration:
				if e.Services = b.Declared(); len(e.Services) == 0 {
					e.Notes = []string{"no services"}
				}
			case api.ExamLaboratory:
				body, err := e.Signed()
				if err != nil {
					return nil, err
				}
				e.Signature = ed25519.Sign(key, body)
			}
			target.Examinations = append(target.Examinations, e)
		}
		if want.Profile.Class == "cloud" {
			t.services[b.Addr] = objectauth.Probe{Config: objectauth.Config{
				// The certificate is the box's own; the tokens are worth nothing elsewhere.
				Base: "https://" + b.Addr.String(), Insecure: true, A: objectauth.Account{Bearer: b.Token}, B: objectauth.Account{Bearer: b.Other},
				Objects: []objectauth.Object{{Title: "a camera", Path: "/api/devices/{id}", A: "1001", B: "1002", Marker: "camera of b"}},
			}}
		}
		t.targets = append(t.targets, target)
	}
	return t, nil
}

// said reads answers such as "fail confirmed", in the order of their indicators.
func said(source string, answers map[string]string, now time.Time) ([]ringwall.Finding, error) {
	var out []ringwall.Finding
	for _, id := range slices.Sorted(maps.Keys(answers)) {
		f := ringwall.Finding{Indicator: id, Source: source, Title: source + " on " + id, Evidence: []string{}, Time: now}
		o, c, _ := strings.Cut(answers[id], " ")
		if err := f.Outcome.UnmarshalText([]byte(o)); err != nil {
			return nil, fmt.Errorf("reading the answer on %s: %w", id, err)
		}
		if err := f.Confidence.UnmarshalText([]byte(c)); err != nil {
			return nil, fmt.Errorf("reading the answer on %s: %w", id, err)
		}
		out = append(out, f)
	}
	return out, nil
}

// backends asks, at each service behind a device, with that service's own
// accounts; a device that is none is left alone.
type backends map[netip.Addr]objectauth.Probe

// Def is that of the probe for any of them.
func (b backends) Def() assess.Definition { return objectauth.Probe{}.Def() }

// Run asks the target if it is one of them.
func (b backends) Run(ctx context.Context, env *assess.Env, t assess.Target) (assess.Answer, error) {
	if p, ok := b[t.Addr]; ok {
		return p.Run(ctx, env, t)
	}
	return assess.Answer{}, nil
}

// Runner returns a new runner with every probe that the devices' owner may ask
// for, and with empty ledgers: each run meets the devices as a stranger.
func (t *Trial) Runner() *assess.Runner {
	return &assess.Runner{
		Network: t.farm.Viewer(), Probes: append(probe.All(), t.services), Finders: probe.Finders(), Now: t.now, Laboratories: t.labs, Limit: assess.Strains,
	}
}

// Run assesses all devices of the table once, in its order.
func (t *Trial) Run(ctx context.Context) ([]api.Assessment, error) {
	return t.Runner().Run(ctx, t.targets)
}

// Judge says where the assessments differ from the table.
func (t *Trial) Judge(as []api.Assessment) (wrong []string) {
	if len(as) != len(t.fleet.Devices) {
		return []string{fmt.Sprintf("%d assessments of %d devices", len(as), len(t.fleet.Devices))}
	}
	for i, want := range t.fleet.Devices {
		for _, w := range want.judge(as[i]) {
			wrong = append(wrong, want.Name+": "+w)
		}
	}
	return wrong
}

func (want Expected) judge(a api.Assessment) (wrong []string) {
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	if a.Target != want.Name {
		say("the assessment is of %s", a.Target)
	}
	if a.Grade != want.Grade {
		say("graded %v, not %v: expected risk %.1f, measured %.0f %%, between %v and %v: %q", a.Grade, want.Grade, a.Risk, 100*a.Coverage, a.Best, a.Worst, a.Reasons)
	}
	for _, id := range want.Decisive {
		if !slices.ContainsFunc(a.Reasons, func(s string) bool { return names(s, id) }) {
			say("the reasons do not name %s: %q", id, a.Reasons)
		}
	}
	answers, each := measured(a)
	for _, id := range slices.Sorted(maps.Keys(want.Network)) {
		f, ok := answers[id]
		switch stated := want.Network[id]; {
		case !ok:
			say("the network does not answer %s, which is to be %s", id, stated)
		case !agrees(f, stated):
			say("%s is %v %v by %s, not %s: %s %q", id, f.Outcome, f.Confidence, f.Source, stated, f.Title, f.Evidence)
		}
	}
	for _, f := range each {
		stated, is := want.Network[f.Indicator]
		perhaps, may := want.Perhaps[f.Indicator]
		good, bad := f.Outcome == ringwall.Pass, f.Outcome == ringwall.Fail || f.Outcome == ringwall.Partial
		switch {
		case is && strings.HasPrefix(stated, "pass ") && bad, is && strings.HasPrefix(stated, "fail ") && good && f.Confidence == ringwall.Confirmed,
			!is && may && !agrees(f, perhaps), !is && !may && want.Good && bad:
			say("%s is %v %v by %s, and the table states %q: %s %q", f.Indicator, f.Outcome, f.Confidence, f.Source, cmp.Or(stated, perhaps), f.Title, f.Evidence)
		}
	}
	return wrong
}

// names reports whether a reason names an indicator.
func names(reason, id string) bool {
	return slices.Contains(strings.FieldsFunc(reason, func(r rune) bool { return strings.ContainsRune(" :,;()", r) }), id)
}

// measured are the findings of the network's examination, without those that say
// "unknown", and the answers that they come to by indicator.
func measured(a api.Assessment) (answers map[string]ringwall.Finding, each []ringwall.Finding) {
	for _, x := range a.Examinations {
		for _, f := range x.Findings {
			if x.Kind == api.ExamNetwork && f.Outcome != ringwall.Unknown {
				each = append(each, f)
			}
		}
	}
	answers = map[string]ringwall.Finding{}
	for _, f := range assess.Default().For(a.Profile).Settled(each, a.Ended) {
		if f.Outcome != ringwall.Unknown {
			answers[f.Indicator] = f
		}
	}
	return answers, each
}

// agrees reports whether a finding is what a table states; what is to be observed
// may also be confirmed.
func agrees(f ringwall.Finding, stated string) bool {
	o, c, _ := strings.Cut(stated, " ")
	return f.Outcome.String() == o && (f.Confidence.String() == c || c == ringwall.Observed.String() && f.Confidence == ringwall.Confirmed)
}

// Mark is an assessment with its times and ids left out: what must be the same,
// byte for byte, whenever the same devices are assessed.
func Mark(a api.Assessment) ([]byte, error) {
	answers := map[string][]string{}
	for _, f := range a.Findings {
		answers[f.Indicator] = append(answers[f.Indicator], f.Outcome.String()+" "+f.Confidence.String())
	}
	services := make([]string, 0, len(a.Services))
	for _, s := range a.Services {
		services = append(services, fmt.Sprintf("%s/%d %s", s.Proto, s.Port, s.Name))
	}
	return json.Marshal(struct {
		Target            string              `json:"target"`
		Grade, Best, Most ringwall.Grade      // and the interval
		Class             ringwall.Class      `json:"class"`
		Risk, Coverage    float64             //
		Modules           []api.ModuleScore   `json:"modules"`
		Answers           map[string][]string `json:"answers"`
		Services          []string            `json:"services"`
	}{a.Target, a.Grade, a.Best, a.Worst, a.Class, a.Risk, a.Coverage, a.Modules, answers, services})
}

// Street assesses what stands in the farm as anybody would, with default budgets
// and nothing that strains.
func (f *Farm) Street(now func() time.Time) (*assess.Runner, []assess.Target) {
	var targets []assess.Target
	for _, b := range f.Boxes {
		targets = append(targets, assess.Target{Name: b.Name, Addr: b.Addr})
	}
	return &assess.Runner{Network: f.Viewer(), Probes: probe.All(), Finders: probe.Finders(), Now: now}, targets
}

// False returns what an assessment of a decoy proves that is not so: a decoy has
// nothing behind it, so nothing can be proven but that it asks for logins in the
// clear and that something like a telnet or a careless SSH answers.
func False(a api.Assessment) (out []ringwall.Finding) {
	for _, f := range a.Findings {
		spoken := f.Indicator == "CO-02" || f.Indicator == "CO-03" || f.Indicator == "CO-07"
		if f.Outcome == ringwall.Fail && f.Confidence == ringwall.Confirmed && !spoken {
			out = append(out, f)
		}
	}
	return out
}
