package assess

import (
	"cmp"
	"crypto/ed25519"
	"fmt"
	"slices"
	"strings"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// maxExamined bounds the findings of one examination that are graded.
const maxExamined = 10_000

// prefixes of what may be said in each kind of examination.
func prefixOf(k api.ExamKind) string {
	switch k {
	case api.ExamNetwork:
		return SourceProbe
	case api.ExamInline:
		return SourceInline
	case api.ExamFirmware:
		return SourceFirmware
	case api.ExamAgent:
		return SourceAgent
	case api.ExamLaboratory:
		return SourceLaboratory
	}
	return SourceDeclaration
}

// Standing returns the newest examination of each kind and source, sorted by
// them. Of two that were made at the same moment the one that sorts first by
// digest and id stands.
func Standing(xs []api.Examination) []api.Examination {
	out := slices.Clone(xs)
	slices.SortStableFunc(out, func(a, b api.Examination) int {
		return cmp.Or(
			cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Source, b.Source), b.Made.Compare(a.Made),
			cmp.Compare(a.Digest, b.Digest), cmp.Compare(a.ID, b.ID),
		)
	})
	return slices.CompactFunc(out, func(a, b api.Examination) bool { return a.Kind == b.Kind && a.Source == b.Source })
}

// Evidence returns what may be graded of the examinations: the findings of
// those that stand, each in the name of its own source. It is the one border
// at which it is decided who speaks:
//
//   - a finding whose source is not of its examination's kind is said by the
//     examination's source;
//   - what a declaration says is declared, whatever confidence it claims;
//   - a laboratory that is not among trusted, or whose signature over the
//     examination does not hold, declares;
//   - ObservedCompromise is nobody's to say here;
//   - a finding is valid no longer than its examination.
//
// Agents' signatures are checked where they arrive, since their keys are the
// devices' own. What two examinations tell only together is added (see joins).
func Evidence(xs []api.Examination, trusted []api.Laboratory) []ringwall.Finding {
	var out []ringwall.Finding
	standing := Standing(xs)
	for _, x := range standing {
		prefix := prefixOf(x.Kind)
		believed := x.Kind != api.ExamLaboratory || Signed(x, trusted)
		source := x.Source
		if !strings.HasPrefix(source, prefix) {
			source = prefix + cmp.Or(strings.TrimSuffix(source, "/"), "unnamed")
		}
		for _, f := range x.Findings[:min(len(x.Findings), maxExamined)] {
			if f.Indicator == ringwall.ObservedCompromise {
				continue
			}
			if !strings.HasPrefix(f.Source, prefix) && (x.Kind != api.ExamNetwork || f.Source != SourceAssess) {
				f.Source = source
			}
			if f.Time.IsZero() {
				f.Time = x.Made
			}
			if !x.Until.IsZero() && (f.Until.IsZero() || f.Until.After(x.Until)) {
				f.Until = x.Until
			}
			switch {
			case !believed:
				f.Source, f.Confidence = SourceDeclaration+strings.TrimPrefix(f.Source, SourceLaboratory), ringwall.Declared
			case x.Kind == api.ExamDeclaration || prefix == SourceDeclaration:
				f.Confidence = ringwall.Declared
			}
			out = append(out, f)
		}
	}
	return append(out, joins(standing)...)
}

// Signed reports whether a laboratory's examination carries the signature of
// the trusted laboratory that it names as its source (Ed25519, RFC 8032, over
// what api.Examination.Signed returns).
func Signed(x api.Examination, trusted []api.Laboratory) bool {
	body, err := x.Signed()
	if err != nil {
		return false
	}
	name := strings.TrimPrefix(x.Source, SourceLaboratory)
	return slices.ContainsFunc(trusted, func(l api.Laboratory) bool {
		return l.Name == name && len(l.Key) == ed25519.PublicKeySize && ed25519.Verify(l.Key, body, x.Signature)
	})
}

// joins tells what no source knows alone: a key that the device shows on the
// network and that lies in its image is everybody's. Both sides measured it, so
// it is proven.
func joins(xs []api.Examination) []ringwall.Finding {
	var out []ringwall.Finding
	keys := []string{"private-key", "host-key", "certificate", "public-key"}
	for _, image := range xs {
		if image.Kind != api.ExamFirmware {
			continue
		}
		for _, inside := range image.Secrets {
			if inside.Kind != "private-key" && inside.Kind != "host-key" || inside.Mark == "" {
				continue
			}
			for _, x := range xs {
				if x.Kind != api.ExamNetwork {
					continue
				}
				i := slices.IndexFunc(x.Secrets, func(s api.SecretMark) bool { return s.Mark == inside.Mark && slices.Contains(keys, s.Kind) })
				if i < 0 {
					continue
				}
				when, until := x.Made, x.Until
				if image.Made.After(when) {
					when = image.Made
				}
				evidence := []string{fmt.Sprintf("the private key at %s in %s is the one shown at %s", inside.Path, image.Source, cmp.Or(x.Secrets[i].Path, "the network"))}
				f := ringwall.Finding{
					Module: ringwall.Firmware, Indicator: "FS-02", Outcome: ringwall.Fail, Confidence: ringwall.Confirmed, Source: SourceAssess,
					Title: "the private key of a service lies in the firmware image", Evidence: evidence, Time: when, Until: until,
					Facts: map[string]string{"served": "true", "mark": inside.Mark},
				}
				g := f
				g.Indicator, g.Module = "CO-06", ringwall.Communication
				g.Facts = map[string]string{"keyInFirmware": "true", "mark": inside.Mark}
				out = append(out, f, g)
			}
		}
	}
	return out
}

// standing returns a target's examinations, and its earlier findings as such
// where no examination of their source is given. Earlier answers of probes are
// left out: the assessment replaces them.
func standing(t Target) []api.Examination {
	out := slices.Clone(t.Examinations)
	out = slices.DeleteFunc(out, func(x api.Examination) bool { return x.Kind == api.ExamNetwork })
	given := map[string]bool{}
	for _, x := range out {
		given[x.Source] = true
	}
	at := map[string]int{}
	for _, f := range t.Prior {
		if f.Outcome == ringwall.Unknown || f.Indicator == ringwall.ObservedCompromise || given[f.Source] ||
			strings.HasPrefix(f.Source, SourceProbe) || strings.HasPrefix(f.Source, SourceIncident) || f.Source == SourceAssess {
			continue
		}
		i, ok := at[f.Source]
		if !ok {
			i = len(out)
			at[f.Source] = i
			out = append(out, api.Examination{Kind: kindOf(&f), Source: f.Source, Org: t.Org, Device: t.Device})
		}
		x := &out[i]
		x.Findings = append(x.Findings, f)
		if f.Time.After(x.Made) {
			x.Made = f.Time
		}
	}
	return Standing(out)
}

func kindOf(f *ringwall.Finding) api.ExamKind {
	switch channel(f) {
	case ByProbe:
		return api.ExamNetwork
	case ByGateway:
		return api.ExamInline
	case ByImage:
		return api.ExamFirmware
	case ByAgent:
		return api.ExamAgent
	case ByLaboratory:
		return api.ExamLaboratory
	}
	return api.ExamDeclaration
}
