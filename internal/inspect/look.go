package inspect

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/firmware"
	"github.com/ringwall/ringwall/internal/inspect/accounts"
	"github.com/ringwall/ringwall/internal/inspect/boot"
	"github.com/ringwall/ringwall/internal/inspect/files"
	"github.com/ringwall/ringwall/internal/inspect/hardening"
	"github.com/ringwall/ringwall/internal/inspect/identity"
	"github.com/ringwall/ringwall/internal/inspect/scripts"
	"github.com/ringwall/ringwall/internal/inspect/secrets"
	"github.com/ringwall/ringwall/internal/inspect/services"
	"github.com/ringwall/ringwall/internal/inspect/update"
	"github.com/ringwall/ringwall/internal/inspect/view"
)

// seen is what one system of an image comes to.
type seen struct {
	findings []ringwall.Finding
	services []api.Service
	secrets  []api.SecretMark
	identity api.Identity
	notes    []string
	// listening are the programs that the network reaches, as paths of trees.
	listening map[*firmware.Tree][]string
}

// look examines one view: its files once, then what they come to.
func look(ctx context.Context, v *view.View, now time.Time) (seen, error) {
	var (
		sec  = secrets.NewScan()
		upd  update.Scan
		scr  scripts.Scan
		left files.Leftovers
		bins []hardening.Binary
		out  seen
	)
	for f := range v.Regular {
		if err := ctx.Err(); err != nil {
			return seen{}, ringwall.Errorf(ringwall.Unavailable, "examining the image: %w", err)
		}
		if f.Size > view.MaxFile {
			out.notes = append(out.notes, fmt.Sprintf("%s was not examined: it is longer than %d MiB", f.At(), view.MaxFile>>20))
			continue
		}
		data := v.Data(f)
		if data == nil {
			if f.Size > 0 {
				out.notes = append(out.notes, f.At()+" could not be read")
			}
			continue
		}
		var bin *hardening.Binary
		if view.IsELF(data) {
			if b, ok := hardening.Read(f.Path, f.From, data); ok {
				bins = append(bins, b)
				bin = &b
			}
		} else if view.IsText(data) && len(data) <= 512<<10 {
			v.Keep(f, strings.TrimPrefix(string(data), "\ufeff"))
		}
		sec.File(v, f, data)
		upd.File(f, data, bin)
		scr.File(f, data, bin, strings.HasPrefix(path.Base(f.Path), "busybox"))
		left.File(f, data)
	}
	svc := services.Examine(v)
	acc := accounts.Examine(v)
	sec.Served(v, svc.Commands)
	id := identity.Read(v, now)
	chain := boot.Read(v)

	out.findings = append(out.findings, svc.Finding(v))
	out.findings = append(out.findings, acc.Findings...)
	out.findings = append(out.findings, sec.Findings(v, now)...)
	out.findings = append(out.findings, hardening.Finding(bins, facing(v, svc)))
	out.findings = append(out.findings, upd.Findings()...)
	out.findings = append(out.findings, scr.Findings()...)
	out.findings = append(out.findings, boot.Findings(v, chain, svc)...)
	out.findings = append(out.findings, files.Privileges(v, svc), files.Minimal(v, &left), id.Fresh(now))
	face := facing(v, svc)
	out.listening = map[*firmware.Tree][]string{}
	for _, b := range bins {
		if f, ok := v.Find(b.Path); ok && face(b) {
			t, rel := f.Origin()
			out.listening[t] = append(out.listening[t], rel)
		}
	}
	out.services = svc.Ports()
	out.secrets = append(acc.Secrets, sec.Marks()...)
	out.identity = id.Identity
	out.notes = append(out.notes, svc.Notes...)
	for _, t := range v.Trees {
		if strings.HasPrefix(t.At, "/.part/") {
			out.notes = append(out.notes, t.From+": "+t.Why)
		}
	}
	return out, nil
}

// facing tells the programs that the network reaches: those that are started
// and wait, and those that import what waiting takes.
func facing(v *view.View, s *services.Result) func(hardening.Binary) bool {
	paths := map[string]bool{}
	for _, sv := range s.Services {
		if f, ok := v.Find(sv.Path); sv.Path != "" && ok {
			paths[f.Path] = true
		}
	}
	started := s.Programs(v)
	return func(b hardening.Binary) bool {
		return paths[b.Path] || started[b.Path] && b.Uses("accept", "accept4", "recvfrom") && b.Uses("bind", "listen")
	}
}

// combine makes one digest of several, whatever their order.
func combine(digests []string) string {
	if len(digests) == 1 {
		return digests[0]
	}
	digests = slices.Sorted(slices.Values(digests))
	sum := sha256.Sum256([]byte(strings.Join(digests, "\n")))
	return hex.EncodeToString(sum[:])
}
