package agent_test

import (
	"testing"
	"time"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/agent"
)

// TestAgent_speaksOfItsMachine: a gateway that is told to speaks of the machine
// it runs on, too, and says when the platform last had it.
func TestAgent_speaksOfItsMachine(t *testing.T) {
	r := newRig(t)
	p := r.start("-posture")
	var s agent.Status
	eventually(t, p, "the platform has its word", 20*time.Second, func() bool {
		var err error
		s, err = r.status()
		return err == nil && s.Posture != nil && !s.Posture.Sent.IsZero()
	})
	if s.Posture.Only || !s.Posture.Sent.Equal(s.Posture.Made) {
		t.Errorf("status says %+v", s.Posture)
	}
	if got := find[api.SignedPosture](r, api.RecordPosture); len(got) != 1 || len(got[0].Certificate) == 0 || len(got[0].Signature) == 0 {
		t.Errorf("the platform has %d postures", len(got))
	}
}
