package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/flow"
	"github.com/ringwall/ringwall/internal/inspector"
	"github.com/ringwall/ringwall/internal/task"
)

// inspectPolicy is what the inspector judges by; it is replaced together with
// dnsPolicy, under the lock of that.
const inspectPolicy = "inspect.json"

// namesFile returns where the DNS guard keeps which device found which address by
// which name. It is written with each answer and good for one boot only: where the
// machine has a /run, it is there, so that no flash wears out.
func (c Config) namesFile() string {
	abs, err := filepath.Abs(c.State)
	if err != nil {
		abs = c.State
	}
	sum := sha256.Sum256([]byte(abs))
	if fi, err := os.Stat("/run"); err == nil && fi.IsDir() {
		return "/run/ringwall-" + hex.EncodeToString(sum[:6]) + ".names"
	}
	return c.path("names")
}

func newInspector(a *Agent) *guard {
	return &guard{agent: a, name: "inspector", file: inspectPID, args: []string{"inspect", "-state", a.cfg.State}}
}

// RunInspect is the inspector: the program of its own that looks inside flows. It
// locks its file in the state directory, so there is one, and ends with ctx. With
// wait it takes the place of one that is about to end.
func RunInspect(ctx context.Context, c Config, wait bool) error {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	lock, err := takePlace(ctx, c.path(inspectPID), nil, wait)
	if err != nil {
		return err
	}
	defer lock.Close()
	out := &reporter{path: c.path(reportSocket), queue: make(chan report, reportQueue)}
	in, err := inspector.New(inspector.Config{
		PolicyFile: c.path(inspectPolicy), Names: c.namesFile(), Port: inspectPort, Log: c.Log, Now: c.Now,
		Report: func(n api.Notice) { out.add(report{Notice: &n}, max(n.Count, 1)) },
		Flow: func(r flow.Record) {
			if b, err := r.MarshalBinary(); err == nil {
				out.add(report{Flow: b}, 1)
			}
		},
	})
	if err != nil {
		return err
	}
	return task.Run(ctx, func() { c.Log.Info("inspector looks inside") }, task.Func("reports", out.run), in)
}
