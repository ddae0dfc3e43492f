package posture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// Config says what to look at.
type Config struct {
	Root   fs.FS // the device's root; nil = the real one
	Device ringwall.DeviceID
	Nonce  string // of the verifier; "" = none asked
	// Facts are added as they are, such as "identity-key" = "tpm" or "file": what
	// only the caller knows. They never replace a fact that was collected.
	Facts map[string]string
	Now   func() time.Time // nil = time.Now
}

// limits of what is collected.
const (
	maxList      = 256
	maxProcesses = 4096
	maxFDs       = 1024 // of one process
	maxFile      = 4 << 20
)

type collector struct {
	ctx  context.Context
	root fs.FS
	p    api.Posture
}

// Collect reads the device's state. It fails only when ctx ends: what cannot
// be read is noted.
func Collect(ctx context.Context, cfg Config) (api.Posture, error) {
	now := time.Now
	if cfg.Now != nil {
		now = cfg.Now
	}
	c := &collector{ctx: ctx, root: cfg.Root, p: api.Posture{
		Device: cfg.Device, Nonce: cfg.Nonce, Made: now().UTC(), Facts: map[string]string{},
	}}
	if c.root == nil {
		c.root = os.DirFS("/")
	}
	for _, step := range []func(){c.system, c.boot, c.sockets, c.accounts, c.mounts, c.secrets, c.logging, c.packages} {
		if err := ctx.Err(); err != nil {
			return api.Posture{}, fmt.Errorf("collecting posture: %w", context.Cause(ctx))
		}
		step()
	}
	if err := ctx.Err(); err != nil {
		return api.Posture{}, fmt.Errorf("collecting posture: %w", context.Cause(ctx))
	}
	for k, v := range cfg.Facts {
		if _, there := c.p.Facts[k]; !there {
			c.p.Facts[k] = v
		}
	}
	slices.Sort(c.p.Unread)
	c.p.Unread = slices.Compact(c.p.Unread)
	return c.p, nil
}

// read returns a file's content up to max bytes. What is not there answers "",
// false without a note; what is there and cannot be read is noted.
func (c *collector) read(name string, limit int64) (string, bool) {
	f, err := c.root.Open(name)
	if err == nil {
		defer f.Close()
		var b []byte
		if b, err = io.ReadAll(io.LimitReader(f, limit)); err == nil {
			return string(b), true
		}
	}
	if !errors.Is(err, fs.ErrNotExist) {
		c.unread(name, err)
	}
	return "", false
}

func (c *collector) unread(name string, err error) {
	why := "cannot be read"
	switch {
	case errors.Is(err, fs.ErrPermission):
		why = "not permitted"
	case errors.Is(err, fs.ErrNotExist):
		why = "not there"
	}
	c.note(name + ": " + why)
}

func (c *collector) note(text string) {
	if len(c.p.Unread) < maxList && !slices.Contains(c.p.Unread, text) {
		c.p.Unread = append(c.p.Unread, text)
	}
}

// line returns the first line of a small file, trimmed.
func (c *collector) line(name string) string {
	s, _ := c.read(name, 4096)
	s, _, _ = strings.Cut(s, "\n")
	return clean(s, 256)
}

// clean cuts what a program of the device may have written: no control
// characters, at most limit bytes, whole runes.
func clean(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0xfffd {
			return ' '
		}
		return r
	}, s)
	s = strings.TrimSpace(s)
	if len(s) > limit {
		cut := limit
		for cut > 0 && s[cut]&0xc0 == 0x80 {
			cut--
		}
		s = s[:cut]
	}
	return s
}

// list adds to a bounded list and notes when it is full.
func list[T any](c *collector, to *[]T, what string, v T) bool {
	if len(*to) >= maxList {
		c.note(what + ": more than " + strconv.Itoa(maxList) + ", the rest was left out")
		return false
	}
	*to = append(*to, v)
	return true
}

func (c *collector) system() {
	if v := c.line("proc/sys/kernel/osrelease"); v != "" {
		c.p.Kernel = v
	} else if _, rest, ok := strings.Cut(c.line("proc/version"), "version "); ok {
		c.p.Kernel, _, _ = strings.Cut(rest, " ")
	}
	release, ok := c.read("etc/os-release", 16<<10)
	if !ok {
		release, _ = c.read("usr/lib/os-release", 16<<10)
	}
	for l := range strings.Lines(release) {
		if v, ok := strings.CutPrefix(l, "PRETTY_NAME="); ok {
			c.p.OS = clean(strings.Trim(strings.TrimSpace(v), `"'`), 120)
		}
	}
	stat, _ := c.read("proc/stat", 1<<20)
	for l := range strings.Lines(stat) {
		if v, ok := strings.CutPrefix(l, "btime "); ok {
			if n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64); err == nil && n > 0 {
				c.p.Booted = time.Unix(n, 0).UTC()
			}
		}
	}
	if c.p.Kernel == "" {
		c.note("proc/sys/kernel/osrelease: not there")
	}
}

// entries lists a folder, "" when it is not there.
func (c *collector) entries(dir string) []fs.DirEntry {
	all, err := fs.ReadDir(c.root, dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.unread(dir, err)
	}
	return all
}

// fact notes a fact, cut to size.
func (c *collector) fact(name, value string) {
	if value != "" {
		c.p.Facts[name] = clean(value, 400)
	}
}

// join writes a set in order.
func join(set map[string]bool) string { return strings.Join(slices.Sorted(maps.Keys(set)), ",") }
