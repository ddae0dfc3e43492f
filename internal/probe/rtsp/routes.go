package rtsp

import (
	_ "embed"
	"slices"
	"strings"
)

//go:embed routes.txt
var routesText string

// Bounds of what one camera is asked for.
const (
	// maxRoutes is how many paths are asked until one is described or asks for a
	// login: all that are common, and all of one maker.
	maxRoutes = 96
	// maxOpen is how many more are asked of a camera that asks for a login, to see
	// whether one of its streams does not.
	maxOpen = 24
)

// route is one line of the list.
type route struct {
	makers []string
	path   string // without its slash
}

// parseRoutes reads the list; it is ours, so a broken line is a broken build,
// which the test of this package finds.
func parseRoutes(text string) []route {
	var out []route
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 0 || strings.HasPrefix(f[0], "#") {
			continue
		}
		if len(f) != 2 || !strings.HasPrefix(f[1], "/") {
			panic("rtsp: the built-in list of paths is broken at " + line)
		}
		r := route{path: strings.TrimPrefix(f[1], "/")}
		if f[0] != "-" {
			r.makers = strings.Split(f[0], ",")
		}
		out = append(out, r)
	}
	return out
}

// Routes returns the paths to ask a camera of this make for, without their
// first slash: those of its maker first, then those that many serve, and, when
// nobody knows the maker, those of every maker. The empty one leads: most
// cameras answer it with a challenge, which is all that is needed.
func Routes(vendor string) []string {
	vendor = strings.ToLower(vendor)
	own, common, rest := []string{""}, []string{}, []string{}
	known := false
	for _, r := range parseRoutes(routesText) {
		switch {
		case r.makers == nil:
			common = append(common, r.path)
		case vendor != "" && slices.ContainsFunc(r.makers, func(m string) bool { return strings.Contains(vendor, m) }):
			own, known = append(own, r.path), true
		default:
			rest = append(rest, r.path)
		}
	}
	all := slices.Concat(own, common)
	if !known {
		all = append(all, rest...)
	}
	seen := map[string]bool{}
	all = slices.DeleteFunc(all, func(p string) bool {
		again := seen[p]
		seen[p] = true
		return again
	})
	return all[:min(len(all), maxRoutes)]
}
