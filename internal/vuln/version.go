package vuln

import (
	"cmp"
	"strings"
)

// Compare orders two version strings as their projects do, and returns -1, 0
// or 1. Numbers count as numbers; 1.2 is 1.2.0; words for releases that are not
// final (alpha, beta, rc, pre) come before the release; letters and patch
// levels come after it (1.0.2 < 1.0.2k < 1.0.2za < 1.0.3, 8.4 < 8.4p1). The order
// is total: a string is a row of elements, filled up with zeros.
func Compare(a, b string) int {
	x, y := elements(a), elements(b)
	for i := range max(len(x), len(y)) {
		var p, q element
		if i < len(x) {
			p = x[i]
		}
		if i < len(y) {
			q = y[i]
		}
		if c := p.compare(q); c != 0 {
			return c
		}
	}
	return 0
}

// element is a number, a letter suffix or a word before a release. The zero
// value is the number 0, which is also what an ended string goes on with.
type element struct {
	kind  int8   // -1 before the release, 0 a number or letters
	rank  int8   // of a word before the release
	text  string // of letters
	digit string // of a number, without leading zeros
}

func (p element) compare(q element) int {
	if p.kind != q.kind || p.kind < 0 {
		return cmp.Or(cmp.Compare(p.kind, q.kind), cmp.Compare(p.rank, q.rank))
	}
	// Letters lie between 0 and 1.
	return cmp.Or(
		cmp.Compare(len(p.digit), len(q.digit)),
		cmp.Compare(p.digit, q.digit),
		cmp.Compare(p.text, q.text),
	)
}

// before ranks the words for what comes before a release.
func before(word string) int8 {
	switch word {
	case "dev", "devel", "snapshot", "nightly":
		return 1
	case "alpha":
		return 2
	case "beta":
		return 3
	case "pre", "preview", "test", "milestone":
		return 4
	case "rc", "cr", "candidate":
		return 5
	}
	return 0
}

// ignored are words that say nothing about the order. "build" parts the number
// of a firmware from that of its build.
func ignored(word string) bool {
	switch word {
	case "v", "build", "stable", "final", "release", "ga", "fips", "version", "rel":
		return true
	}
	return false
}

// maxElements bounds the work on one version; what follows does not count.
const maxElements = 32

func elements(s string) []element {
	out := make([]element, 0, 8)
	s = strings.ToLower(strings.TrimSpace(s))
	for i := 0; i < len(s) && len(out) < maxElements; {
		c := s[i]
		j := i + 1
		switch {
		case c >= '0' && c <= '9':
			for j < len(s) && s[j] >= '0' && s[j] <= '9' {
				j++
			}
			out = append(out, element{digit: strings.TrimLeft(s[i:j], "0")})
		case c >= 'a' && c <= 'z':
			for j < len(s) && s[j] >= 'a' && s[j] <= 'z' {
				j++
			}
			word := s[i:j]
			if r := before(word); r > 0 {
				out = append(out, element{kind: -1, rank: r})
			} else if !ignored(word) {
				out = append(out, element{text: word})
			}
		case c == '~':
			out = append(out, element{kind: -1})
		case c == '+':
			return out // build metadata
		}
		i = j
	}
	return out
}

// CompareDebian orders two Debian package versions (deb-version(7)).
func CompareDebian(a, b string) int {
	ea, ua, ra := splitDebian(a)
	eb, ub, rb := splitDebian(b)
	return cmp.Or(
		cmp.Compare(len(ea), len(eb)), cmp.Compare(ea, eb),
		compareDebianPart(ua, ub),
		compareDebianPart(ra, rb),
	)
}

func splitDebian(v string) (epoch, upstream, revision string) {
	v = strings.TrimSpace(v)
	if e, rest, ok := strings.Cut(v, ":"); ok {
		epoch, v = strings.TrimLeft(e, "0"), rest
	}
	if i := strings.LastIndexByte(v, '-'); i >= 0 {
		return epoch, v[:i], v[i+1:]
	}
	return epoch, v, ""
}

func compareDebianPart(a, b string) int {
	order := func(s string) int {
		switch {
		case s == "" || s[0] >= '0' && s[0] <= '9':
			return 0
		case s[0] == '~':
			return -1
		case s[0] >= 'a' && s[0] <= 'z' || s[0] >= 'A' && s[0] <= 'Z':
			return int(s[0])
		}
		return int(s[0]) + 256
	}
	for a != "" || b != "" {
		for order(a) != 0 || order(b) != 0 {
			if c := cmp.Compare(order(a), order(b)); c != 0 {
				return c
			}
			a, b = a[1:], b[1:]
		}
		na, nb := digits(a), digits(b)
		x, y := strings.TrimLeft(a[:na], "0"), strings.TrimLeft(b[:nb], "0")
		if c := cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(x, y)); c != 0 {
			return c
		}
		a, b = a[na:], b[nb:]
	}
	return 0
}

func digits(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}
