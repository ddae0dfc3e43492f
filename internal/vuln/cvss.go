package vuln

import (
	"fmt"
	"strings"

	gocvss20 "github.com/pandatix/go-cvss/20"
	gocvss30 "github.com/pandatix/go-cvss/30"
	gocvss31 "github.com/pandatix/go-cvss/31"
	gocvss40 "github.com/pandatix/go-cvss/40"
)

// rate returns the base score of a CVSS vector and whether the attacker has to
// be on the device already or stand before it.
func rate(vector string) (score float64, local bool, err error) {
	type metric interface{ Get(string) (string, error) }
	var m metric
	switch {
	case len(vector) > maxField:
		return 0, false, fmt.Errorf("it has %d bytes", len(vector))
	case strings.HasPrefix(vector, "CVSS:3.1/"):
		v, e := gocvss31.ParseVector(vector)
		if err = e; err == nil {
			m, score = v, v.BaseScore()
		}
	case strings.HasPrefix(vector, "CVSS:3.0/"):
		v, e := gocvss30.ParseVector(vector)
		if err = e; err == nil {
			m, score = v, v.BaseScore()
		}
	case strings.HasPrefix(vector, "CVSS:4.0/"):
		v, e := gocvss40.ParseVector(vector)
		if err = e; err == nil {
			m, score = v, v.Score()
		}
	default:
		v, e := gocvss20.ParseVector(strings.Trim(vector, "()"))
		if err = e; err == nil {
			m, score = v, v.BaseScore()
		}
	}
	if err != nil {
		return 0, false, err
	}
	av, err := m.Get("AV")
	return score, av == "L" || av == "P", err
}
