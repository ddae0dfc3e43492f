package hardening

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ringwall/ringwall"
)

// Programs that face the network weigh as much as this many others: what is
// reached from outside is what memory protection is for.
const facingWeight = 4

// The shares of protections present from which on an image passes, or partly.
const (
	passShare    = 0.80
	partialShare = 0.40
)

// count is the tally of one protection.
type count struct {
	name          string
	have, of      float64
	present, all  int
	notProvided   int
	facingMissing []string
}

func (c *count) add(a Answer, weight float64, path string, facing bool) {
	switch a {
	case Present, Part, Absent:
		c.of += weight
		c.all++
		if a == Present {
			c.have += weight
			c.present++
		} else if a == Part {
			c.have += weight / 2
		} else if facing {
			c.facingMissing = append(c.facingMissing, path)
		}
	case NotProvided:
		c.notProvided++
	}
}

// Finding answers FS-07. facing reports whether a program is reached from the
// network.
func Finding(all []Binary, facing func(Binary) bool) ringwall.Finding {
	f := ringwall.Finding{Indicator: "FS-07", Confidence: ringwall.Observed, Facts: map[string]string{}}
	counts := []*count{{name: "NX"}, {name: "PIE"}, {name: "RELRO"}, {name: "stack protector"}, {name: "FORTIFY"}}
	var runpaths, broken []string
	machines := map[string]bool{}
	programs, faced := 0, 0
	for _, b := range all {
		if b.Err != "" {
			broken = append(broken, b.where()+": "+b.Err)
			continue
		}
		programs++
		machines[strings.TrimPrefix(b.Machine.String(), "EM_")] = true
		weight, face := 1.0, facing(b)
		if face {
			weight, faced = facingWeight, faced+1
		}
		for i, a := range []Answer{b.NX, b.PIE, b.RELRO, b.Canary, b.Fortify} {
			counts[i].add(a, weight, b.Path, face)
		}
		if b.RunPath != "" {
			runpaths = append(runpaths, fmt.Sprintf("%s: looks for libraries in %q", b.where(), b.RunPath))
		}
	}
	if programs == 0 {
		f.Title = "no program was found in the image, so memory protection was not examined"
		f.Evidence = broken
		return f
	}
	arch := make([]string, 0, len(machines))
	for m := range machines {
		arch = append(arch, m)
	}
	slices.Sort(arch)
	f.Facts["machine"] = strings.Join(arch, ",")
	f.Evidence = append(f.Evidence, fmt.Sprintf("%d programs and libraries for %s were read; %d of them face the network", programs, strings.Join(arch, ", "), faced))
	var have, of float64
	for _, c := range counts {
		have, of = have+c.have, of+c.of
		line := fmt.Sprintf("%s: in %d of %d", c.name, c.present, c.all)
		if c.all == 0 {
			line = c.name + ": not provided by the platform"
		} else if c.notProvided > 0 {
			line += fmt.Sprintf("; of %d more it is not asked or not provided by the platform", c.notProvided)
		}
		if n := len(c.facingMissing); n > 0 {
			line += fmt.Sprintf("; missing in %s", list(c.facingMissing, 4))
		}
		f.Evidence = append(f.Evidence, line)
		f.Facts[strings.ReplaceAll(c.name, " ", "-")] = fmt.Sprintf("%d/%d", c.present, c.all)
	}
	f.Evidence = append(append(f.Evidence, runpaths[:min(len(runpaths), 8)]...), broken[:min(len(broken), 4)]...)
	if of == 0 {
		f.Title = "no protection could be judged on this platform"
		return f
	}
	share := have / of
	f.Facts["share"] = fmt.Sprintf("%.2f", share)
	switch {
	case share >= passShare && len(runpaths) == 0:
		f.Outcome, f.Title = ringwall.Pass, "the programs use the memory protection that the platform provides"
	case share >= partialShare:
		f.Outcome, f.Title = ringwall.Partial, "some programs go without memory protection that the platform provides"
	default:
		f.Outcome, f.Title = ringwall.Fail, "most programs go without the memory protection that the platform provides"
	}
	return f
}

func list(s []string, n int) string {
	if len(s) <= n {
		return strings.Join(s, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(s[:n], ", "), len(s)-n)
}
