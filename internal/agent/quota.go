package agent

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"time"

	"github.com/ringwall/ringwall/internal/durable"
	"github.com/ringwall/ringwall/internal/nft"
	"github.com/ringwall/ringwall/internal/policy"
)

// quotaFile keeps what is used of quotas over a reboot: one minute of it may be
// lost, in favour of the device.
const quotaFile = "quota.json"

// restoreQuotas tells the packet filter what was used before a reboot. What
// cannot be read counts as nothing, and is said.
func (a *Agent) restoreQuotas() {
	b, err := os.ReadFile(a.cfg.path(quotaFile))
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var used []nft.Consumption
	if err == nil {
		err = json.Unmarshal(b, &used)
	}
	if err != nil {
		a.log.Error("what was used of quotas is not known", "err", err)
		return
	}
	a.fence.Restore(used)
}

// rollQuotas starts quotas anew whose period is over. All periods end with an
// hour, so it looks only then. What the kernel holds afterwards is what is to be
// there, unless others had changed it before: that is for checkDrift to find.
func (a *Agent) rollQuotas(ctx context.Context) error {
	hour := a.cfg.Now().UTC().Truncate(time.Hour)
	if hour.Equal(a.rolled) {
		return nil
	}
	a.kernel.Lock()
	defer a.kernel.Unlock()
	if a.hash == "" {
		return nil // a plan is about to be applied, which does it as well
	}
	if before, err := a.fence.Hash(ctx); err != nil || before != a.hash {
		return err
	}
	if err := a.fence.Roll(ctx); err != nil {
		return err
	}
	after, err := a.fence.Hash(ctx)
	if err == nil {
		a.hash, a.rolled = after, hour
	}
	return err
}

// keepQuotas starts quotas anew whose period is over, and keeps what is used of
// the others.
func (a *Agent) keepQuotas(ctx context.Context) {
	if err := a.rollQuotas(ctx); err != nil && ctx.Err() == nil {
		a.log.Error("quotas are not started anew", "err", err)
	}
	used, err := a.fence.Consumed(ctx)
	if err != nil {
		if ctx.Err() == nil {
			a.log.Warn("what is used of quotas cannot be read", "err", err)
		}
		return
	}
	if len(used) == 0 && !a.quotas {
		return
	}
	b, err := json.Marshal(used)
	if err == nil {
		err = durable.WriteFile(a.cfg.path(quotaFile), b, 0o600)
	}
	if err != nil {
		a.log.Warn("what is used of quotas is not kept", "err", err)
		return
	}
	a.quotas = len(used) > 0
}

// openIPv6 makes the bridge carry IPv6 once a plan opens it to anybody. The
// caller holds kernel.
func (a *Agent) openIPv6(ctx context.Context, p policy.Plan) {
	if a.six || a.cfg.Bridge == "" {
		return
	}
	for i := range p.Devices {
		if len(p.Devices[i].IP6) == 0 {
			continue
		}
		if err := nft.PrepareIPv6(ctx, nil, a.cfg.Bridge); err != nil {
			a.log.Error("the bridge does not carry IPv6", "err", err)
			return
		}
		a.six = true
		return
	}
}
