package trial

import (
	"context"
	"errors"
	"time"

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

// KillAgent ends the gateway's program as a lack of memory would, at once and
// without a word.
func (t *Trial) KillAgent() error { return t.Range.StopAgent(true) }

// StartAgent runs it again and waits until it has read its state and watches
// all interfaces. (While nobody runs, the status is that of the disk.)
func (t *Trial) StartAgent(ctx context.Context) error {
	cmd, err := t.agent()
	if err != nil {
		return err
	}
	if err := t.Range.StartAgent(cmd); err != nil {
		return err
	}
	return t.Until(ctx, time.Minute, "the gateway's program watches", func() (bool, error) {
		if _, ended := t.Range.Agent(); closed(ended) {
			return false, errors.New("the gateway's program has ended")
		}
		st, err := t.GatewayStatus(ctx)
		return err == nil && st.Running && len(st.Unwatched) == 0, nil
	})
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
