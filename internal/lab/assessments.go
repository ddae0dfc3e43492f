package lab

import (
	"encoding/json"
	"errors"
	"io/fs"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// recordedAssessments holds what "ringwall assess --json" found in the range
// when it was recorded.
const recordedAssessments = "assessments.json"

// RecordedAssessment returns what an assessment of an actor found when the
// range was recorded, in its own times, and whether one was made.
func RecordedAssessment(actor string) (api.Assessment, bool, error) {
	addr, ok := Addr(actor)
	if !ok {
		return api.Assessment{}, false, ringwall.Errorf(ringwall.NotFound, "no actor %q", actor)
	}
	b, err := fs.ReadFile(Recorded(), recordedAssessments)
	if errors.Is(err, fs.ErrNotExist) {
		return api.Assessment{}, false, nil
	}
	if err != nil {
		return api.Assessment{}, false, err
	}
	var all []api.Assessment
	if err := json.Unmarshal(b, &all); err != nil {
		return api.Assessment{}, false, ringwall.Errorf(ringwall.Invalid, "reading the recorded assessments: %w", err)
	}
	for _, a := range all {
		if a.Target == addr.String() {
			return a, true, nil
		}
	}
	return api.Assessment{}, false, nil
}
