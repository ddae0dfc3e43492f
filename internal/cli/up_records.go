package cli

import (
	"context"
	"encoding/hex"
	"errors"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/internal/platform"
	"github.com/ringwall/ringwall/internal/spine/usagelog"
	"github.com/ringwall/ringwall/internal/usagenode"
)

// records sets where a platform's usage records come from and who judges them: this
// process, or, when a way to usage machines is given, these.
func (f upFlags) records(env Env, log *slog.Logger, cfg *platform.Config) error {
	r := f.machine
	mapping, err := r.readMapping()
	if err != nil {
		return err
	}
	for _, path := range f.usage {
		cfg.Usage = append(cfg.Usage, platform.UsageFile{Path: path, Mapping: mapping})
	}
	cfg.UsageDays, cfg.UsageBytes = f.usageDays, f.usageMiB<<20
	if f.usageDays < 0 || f.usageMiB < 0 {
		return usagef("--usage-days and --usage-mib are not negative")
	}
	if r.listen != "" || len(r.peers) > 0 || len(r.servers) > 0 {
		if len(f.usage) > 0 || f.demo {
			return usagef("usage records go to the usage machines, by --spool or --kafka; leave --usage and --demo out")
		}
		cfg.UsageCluster = f.usageCluster(env, log, cfg)
		return nil
	}
	if len(r.spools) == 0 && len(r.brokers) == 0 && r.gtpp == "" && r.radius == "" {
		return nil
	}
	cfg.UsageSources = func(w platform.UsageWorld) (in platform.UsageInputs, err error) {
		r.node = "here"
		m := &usageMachine{env: env, r: r, log: log, dir: w.Dir, keys: w.Keys, mapping: mapping, noteBad: func(b cdr.Bad) { w.Bad("", "", b) }}
		shut := func() (err error) {
			for _, c := range m.close {
				err = errors.Join(err, c())
			}
			return err
		}
		all, err := m.sources()
		if err != nil {
			return in, errors.Join(err, shut())
		}
		for _, s := range all {
			in.Sources = append(in.Sources, platform.UsageSource{Name: s.Name, Open: s.Open})
		}
		in.Serve, in.Close = m.serve, shut
		return in, nil
	}
	return nil
}

// usageCluster is the way to the usage machines: this process holds a part of their
// log and brings records, if it is given any, but judges none.
func (f upFlags) usageCluster(env Env, log *slog.Logger, cfg *platform.Config) *platform.UsageCluster {
	return &platform.UsageCluster{Shards: f.machine.shards, Run: func(ctx context.Context, ready func(platform.UsageLog), tell func(ringwall.Alert) error) error {
		g := f
		g.machine.bringOnly, g.machine.tell = true, false
		m := &usageMachine{env: env, r: g.machine, log: log, dir: filepath.Join(cfg.DataDir, "usage")}
		return m.run(ctx, func(c *usagenode.Config) {
			c.Ready = func(l *usagelog.Cluster) { ready(l) }
			c.Consumer, c.Tell = "platform-"+hex.EncodeToString([]byte(c.Name)), tell
		})
	}}
}

// hostName is this machine's name.
func hostName() (string, error) {
	name, err := os.Hostname()
	if err != nil {
		return "", ringwall.Errorf(ringwall.Unavailable, "finding this machine's name: %w", err)
	}
	return name, nil
}
