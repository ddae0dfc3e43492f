// Package inspect tells what an unpacked firmware image says about the device
// that runs it: one examination with a finding for every indicator of the
// rubric that an image can answer.
//
// The image is laid out as the device sees it (package view); its files are
// read once, and each examination takes from them what it needs. Every
// examination is a package of its own with its own promises: services,
// accounts, secrets, hardening, update, boot, scripts, files, identity,
// components. What is not in the image is not examined, and then the answer is
// unknown, never a pass; a pass says why. Evidence names path, line or offset
// and the part of the image, and never holds a secret.
//
// An image may hold several systems, two slots or a recovery system. Each is
// examined; of their answers the worst counts, and the evidence of all is kept.
//
// The package promises bounded work: files above a size are noted and passed
// over, evidence is cut with a count, and the same image gives the same
// examination byte for byte but for the time. It writes nothing, starts no
// goroutine, and returns early with an error when its context ends.
package inspect

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/firmware"
	"github.com/ringwall/ringwall/internal/inspect/components"
	"github.com/ringwall/ringwall/internal/inspect/view"
	"github.com/ringwall/ringwall/internal/vuln"
)

// Matcher is what inspect needs of the data on vulnerabilities.
type Matcher interface {
	Match([]api.Component) []api.Vulnerability
	MatchDevice(api.Identity) []api.Vulnerability
	// Support returns when upstream's support of a version ends, if known.
	Support(component, version string, at time.Time) (ends time.Time, known bool)
	Version() string
}

// Options says how to examine. The zero value is good.
type Options struct {
	Now     func() time.Time // the clock; nil means time.Now
	Matcher Matcher          // vulnerability data; nil means what the program carries
	Tool    string           // what calls itself the maker of the examination
	Name    string           // of the image, for its source; "" means by digest
}

// Tree examines an unpacked root, such as a folder.
func Tree(ctx context.Context, t *firmware.Tree, o Options) (api.Examination, error) {
	return examine(ctx, []view.Source{{Tree: t, Label: t.From()}}, cmp.Or(o.Name, "tree"), "", o)
}

// Image examines one opened image.
func Image(ctx context.Context, im *firmware.Image, o Options) (api.Examination, error) {
	return examine(ctx, []view.Source{{Image: im}}, cmp.Or(o.Name, short(im.Digest)), im.Digest, o)
}

// Named is one of several images of the same device.
type Named struct {
	Name  string // such as "rootfs.bin"
	Image *firmware.Image
}

// Images examines the partitions of one device that came as files of their own:
// boot loader, kernel, root, configuration.
func Images(ctx context.Context, all []Named, o Options) (api.Examination, error) {
	var ss []view.Source
	var digests []string
	for _, n := range all {
		ss = append(ss, view.Source{Label: n.Name, Image: n.Image})
		digests = append(digests, n.Image.Digest)
	}
	if len(all) == 0 {
		return api.Examination{}, ringwall.Errorf(ringwall.Invalid, "there is no image to examine")
	}
	digest := combine(digests)
	return examine(ctx, ss, cmp.Or(o.Name, short(digest)), digest, o)
}

func short(digest string) string { return digest[:min(12, len(digest))] }

func examine(ctx context.Context, ss []view.Source, name, digest string, o Options) (api.Examination, error) {
	now := time.Now
	if o.Now != nil {
		now = o.Now
	}
	e := api.Examination{
		Kind: api.ExamFirmware, Source: "firmware/" + name, Tool: o.Tool, Digest: digest, Made: now().UTC(),
	}
	for _, s := range ss {
		if s.Image != nil {
			e.Notes = append(e.Notes, s.Image.Notes...)
			s.Image.Walk(func(place string, p *firmware.Part) {
				if p.Err != "" && len(e.Notes) < maxNotes {
					e.Notes = append(e.Notes, fmt.Sprintf("%s was not unpacked whole: %s", place, p.Err))
				}
			})
		}
	}
	views := view.Of(ss...)
	var all []ringwall.Finding
	listening := map[*firmware.Tree][]string{}
	for _, v := range views {
		r, err := look(ctx, v, e.Made)
		if err != nil {
			return api.Examination{}, err
		}
		all = append(all, r.findings...)
		e.Services = merge(e.Services, r.services)
		e.Secrets = merge(e.Secrets, r.secrets)
		e.Notes = append(e.Notes, r.notes...)
		e.Identity = fill(e.Identity, r.identity)
		for t, paths := range r.listening {
			listening[t] = append(listening[t], paths...)
		}
	}
	comps, err := identify(ctx, ss, listening, &e)
	if err != nil {
		return api.Examination{}, err
	}
	e.Components = comps
	matcher := o.Matcher
	if matcher == nil {
		matcher = vuln.Default()
	}
	all = append(all, vulnerable(comps, e.Identity, matcher, e.Made)...)
	e.Findings = settle(all, e.Source, e.Made)
	slices.SortFunc(e.Services, func(a, b api.Service) int { return cmp.Or(cmp.Compare(a.Proto, b.Proto), cmp.Compare(a.Port, b.Port)) })
	if len(e.Notes) > maxNotes {
		e.Notes = append(e.Notes[:maxNotes:maxNotes], fmt.Sprintf("and %d more notes", len(e.Notes)-maxNotes))
	}
	return e, nil
}

// maxNotes bounds what is told of what could not be done.
const maxNotes = 100

// identify names the components of all trees, and of the parts that are no
// trees, such as a kernel.
func identify(ctx context.Context, ss []view.Source, listening map[*firmware.Tree][]string, e *api.Examination) ([]api.Component, error) {
	var out []api.Component
	note := func(n string) { e.Notes = append(e.Notes, n) }
	tree := func(t *firmware.Tree) {
		out = append(out, components.Identify(ctx, t, components.Options{Listening: listening[t], Note: note})...)
	}
	for _, s := range ss {
		if s.Tree != nil {
			tree(s.Tree)
		} else {
			s.Image.Walk(func(place string, p *firmware.Part) {
				if p.Tree != nil {
					tree(p.Tree)
					return
				}
				d := p.Data()
				if d == nil || len(p.Parts) > 0 || d.Size() > maxPart || ctx.Err() != nil {
					return
				}
				found, err := components.Scan(ctx, place, d, components.Options{Note: note})
				if err != nil {
					note(place + " was not searched for components: " + err.Error())
				}
				out = append(out, found...)
			})
		}
		if err := ctx.Err(); err != nil {
			return nil, ringwall.Errorf(ringwall.Unavailable, "examining the image: %w", err)
		}
	}
	return join(out), nil
}

// join makes one component of what several trees and parts hold of it.
func join(all []api.Component) []api.Component {
	var out []api.Component
	at := map[string]int{}
	for _, c := range all {
		k := c.Name + "\x00" + c.Version
		i, ok := at[k]
		if !ok {
			at[k] = len(out)
			out = append(out, c)
			continue
		}
		o := &out[i]
		o.Exposed = o.Exposed || c.Exposed
		o.Supplier, o.CPE, o.PURL, o.How = cmp.Or(o.Supplier, c.Supplier), cmp.Or(o.CPE, c.CPE), cmp.Or(o.PURL, c.PURL), cmp.Or(o.How, c.How)
		for _, p := range c.Paths {
			if !slices.Contains(o.Paths, p) && len(o.Paths) < maxPaths {
				o.Paths = append(slices.Clip(o.Paths), p)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b api.Component) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Version, b.Version))
	})
	return out
}

// maxPaths bounds the paths named for one component.
const maxPaths = 64

// maxPart is the longest part without files that is searched for components:
// kernels and boot loaders are shorter.
const maxPart = 64 << 20

func merge[T comparable](into, more []T) []T {
	for _, m := range more {
		if !slices.Contains(into, m) {
			into = append(into, m)
		}
	}
	return into
}

func fill(a, b api.Identity) api.Identity {
	return api.Identity{
		Vendor: cmp.Or(a.Vendor, b.Vendor), Model: cmp.Or(a.Model, b.Model), Firmware: cmp.Or(a.Firmware, b.Firmware),
		MAC: cmp.Or(a.MAC, b.MAC), Type: cmp.Or(a.Type, b.Type), Serial: cmp.Or(a.Serial, b.Serial),
	}
}

// badness orders answers of several systems in one image: the worst counts, and
// what was seen counts before what was not.
func badness(o ringwall.Outcome) int {
	return slices.Index([]ringwall.Outcome{ringwall.Unknown, ringwall.NotApplicable, ringwall.Pass, ringwall.Partial, ringwall.Fail}, o)
}

// settle makes one finding of each indicator, with its module, source and time.
func settle(all []ringwall.Finding, source string, at time.Time) []ringwall.Finding {
	best := map[string]ringwall.Finding{}
	for _, f := range all {
		old, ok := best[f.Indicator]
		if !ok {
			best[f.Indicator] = f
			continue
		}
		a, b := badness(f.Outcome), badness(old.Outcome)
		if a > b || a == b && f.Confidence > old.Confidence {
			f, old = old, f
		}
		for _, line := range f.Evidence {
			if !slices.Contains(old.Evidence, line) && len(old.Evidence) < 64 && f.Outcome != ringwall.Unknown {
				old.Evidence = append(old.Evidence, line)
			}
		}
		best[f.Indicator] = old
	}
	out := make([]ringwall.Finding, 0, len(best))
	for _, f := range best {
		f.Module = moduleOf(f.Indicator)
		f.Source, f.Time = source, at
		if len(f.Facts) == 0 {
			f.Facts = nil
		}
		if f.Evidence == nil {
			f.Evidence = []string{}
		}
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b ringwall.Finding) int { return cmp.Compare(order(a), order(b)) })
	return out
}

// order sorts findings as the rubric lists them.
func order(f ringwall.Finding) string {
	return fmt.Sprintf("%d%s", slices.Index([]string{"HW", "FS", "AP", "DA", "CO"}, strings.SplitN(f.Indicator, "-", 2)[0]), f.Indicator)
}

func moduleOf(id string) ringwall.Module {
	switch id[:2] {
	case "HW":
		return ringwall.Hardware
	case "AP":
		return ringwall.Application
	case "DA":
		return ringwall.Data
	case "CO":
		return ringwall.Communication
	}
	return ringwall.Firmware
}
