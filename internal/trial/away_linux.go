package trial

import (
	"context"

	"github.com/ringwall/ringwall/internal/agent"
	"github.com/ringwall/ringwall/internal/lab"
)

// PlatformAway cuts the platform off from the range, as when its host lost
// power: what is under way to it gets no answer.
func (t *Trial) PlatformAway(context.Context) error { return t.platformLink(false) }

// PlatformBack joins it again.
func (t *Trial) PlatformBack(context.Context) error { return t.platformLink(true) }

func (t *Trial) platformLink(up bool) error {
	return t.Range.NS(lab.Internet).SetUp(lab.InternetPort(lab.Platform), up)
}

// GatewayStatus asks the gateway itself what is in force, not the platform.
func (t *Trial) GatewayStatus(ctx context.Context) (agent.Status, error) {
	return agent.ReadStatus(ctx, agent.Config{State: t.Dir})
}
