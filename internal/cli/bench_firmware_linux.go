package cli

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringwall/ringwall/firmware"
	"github.com/ringwall/ringwall/internal/inspect"
)

func newBenchFirmware(env Env) *cobra.Command {
	return &cobra.Command{
		Use:     "firmware FILE",
		Short:   "Measure the processor time and memory that taking one image apart needs",
		Example: "  ringwall bench firmware rootfs.bin",
		Args:    exactArgs(1),
		RunE:    func(c *cobra.Command, args []string) error { return benchFirmware(c.Context(), env, args[0]) },
	}
}

// benchFirmware analyses one image in this process, once: its peak of memory is
// the process's, so a second image would be judged by the first one's.
func benchFirmware(ctx context.Context, env Env, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return gone(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	before, began := spent(), time.Now()
	im, err := firmware.OpenContext(ctx, f, info.Size(), firmware.Options{})
	if err != nil {
		return err
	}
	x, err := inspect.Image(ctx, im, inspect.Options{Now: env.Now})
	if err != nil {
		return err
	}
	files := 0
	for _, t := range im.Trees() {
		files += len(t.Files())
	}
	after := spent()
	fmt.Fprintf(env.Stdout, "%d bytes, %d files: %d findings, %d components, %d marks of secrets; %.2f CPU-s, %v, at most %d MiB resident (%d before)\n",
		info.Size(), files, len(x.Findings), len(x.Components), len(x.Secrets), (after.cpu - before.cpu).Seconds(), time.Since(began).Round(10*time.Millisecond),
		after.peak>>20, before.peak>>20)
	return nil
}

// spending is what this process has used so far.
type spending struct {
	cpu  time.Duration
	peak int64 // bytes
}

func spent() (u spending) {
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) == nil { // it cannot fail for oneself
		u.cpu = time.Duration(r.Utime.Nano() + r.Stime.Nano())
		u.peak = int64(r.Maxrss) << 10 // in KiB on Linux (getrusage(2))
	}
	return u
}
