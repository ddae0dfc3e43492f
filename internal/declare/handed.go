package declare

import (
	"encoding/json"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// Handed reads a paper that somebody hands in about a device: a declaration or
// usage description, as Read does, or an examination that was written down. Of
// those only a laboratory's is taken, whose signature others check: whatever
// else somebody has written down is no more than declared.
func Handed(b []byte, who string, at time.Time) (api.Examination, error) {
	var x api.Examination
	if json.Unmarshal(b, &x) == nil && x.Kind != "" && x.Findings != nil {
		if x.Kind != api.ExamLaboratory {
			return api.Examination{}, ringwall.Errorf(ringwall.Invalid, "an examination of kind %.20q is not taken from a file: it is made where it is needed", x.Kind)
		}
		return x, nil
	}
	return Read(b, who, at)
}
