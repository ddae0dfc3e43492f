package platform

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/inspect"
	"github.com/ringwall/ringwall/internal/sqlstore"
	"github.com/ringwall/ringwall/internal/vuln"
)

// VulnerabilityFile is the file of vulnerability data below the data directory.
// It is put there by "ringwall data update --data DIR" and read again when it
// has changed.
const VulnerabilityFile = "vulnerabilities.rwv"

const (
	// settingMatched is the version of the data that the organisation's stored
	// components were last matched with.
	settingMatched = "matched"
	// maxHolders bounds the devices that one secret is compared with.
	maxHolders = 200
	// originShared is of answers that several devices' evidence gives together.
	originShared = "shared"
)

// matched are the indicators that vulnerability data decide.
var matched = []string{"FS-04", "FS-05", "FS-06"}

// readVulnerabilities takes in the file of vulnerability data if it is newer
// than what is known. One that cannot be read is told of, and what is known
// stays.
func (p *Platform) readVulnerabilities() {
	path := filepath.Join(p.dir, VulnerabilityFile)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.ModTime().Equal(p.vulnFile) {
		return
	}
	if err == nil {
		p.vulnFile = info.ModTime()
		var data *vuln.Data
		if data, err = loadVulnerabilities(path); err == nil && !data.Made().Before(vuln.Default().Made()) {
			p.core.vulns.Store(data)
			p.core.log.Info("vulnerability data read", "version", data.Version(), "entries", data.Len())
		}
	}
	if err != nil {
		p.core.log.Error("vulnerability data not read; what was known stays", "cause", err)
	}
}

func loadVulnerabilities(path string) (*vuln.Data, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return vuln.Load(f)
}

// known returns the vulnerability data in use.
func (c *core) known() *vuln.Data {
	if d := c.vulns.Load(); d != nil {
		return d
	}
	return vuln.Default()
}

// match judges what an organisation's stored components are known to be weak
// by, where the data have changed since: nothing is scanned again.
func (p *Platform) match(ctx context.Context, kept *keptScopes, org ringwall.OrgID) error {
	data := p.core.known()
	scope, err := kept.get(ctx, audit.SysProject, audit.SystemProject, org)
	if err != nil {
		return err
	}
	var before string
	var todo []sqlstore.Examined
	if err := p.store.View(ctx, func(tx *sqlstore.Tx) (err error) {
		if before, err = tx.OrgMark(scope, settingMatched); err != nil || before == edition(data) {
			return err
		}
		for _, kind := range []api.ExamKind{api.ExamFirmware, api.ExamAgent, api.ExamDeclaration} {
			some, err := tx.ExaminedBy(scope, kind)
			if err != nil {
				return err
			}
			todo = append(todo, some...)
		}
		return nil
	}); err != nil || before == edition(data) {
		return err
	}
	for _, e := range todo {
		if ctx.Err() != nil {
			return nil
		}
		if err := p.core.turn(ctx, org, func(t *turn) error { return t.rematch(e, data) }); err != nil {
			return err
		}
	}
	return p.core.turn(ctx, org, func(t *turn) error {
		own, err := t.projector()
		if err != nil {
			return err
		}
		return t.tx.PutOrgMark(own, settingMatched, edition(data))
	})
}

// edition tells one state of the data from another: what was taken in beside it
// does not always change its version.
func edition(d *vuln.Data) string {
	return fmt.Sprintf("%s/%s/%d", d.Version(), d.Made().UTC().Format(time.RFC3339), d.Len())
}

// rematch judges one examination's components anew; what they are now known to
// be exploited by has the device assessed again.
func (t *turn) rematch(e sqlstore.Examined, data *vuln.Data) error {
	own, err := t.projector()
	if err != nil {
		return err
	}
	xs, err := t.tx.Examinations(own, e.Device)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(xs, func(x api.Examination) bool { return x.Source == e.Source })
	if i < 0 || len(xs[i].Components) == 0 || xs[i].Kind == api.ExamLaboratory {
		return nil
	}
	x := xs[i]
	vulns := data.Match(x.Components)
	rest := slices.DeleteFunc(slices.Clone(x.Findings), func(f ringwall.Finding) bool { return slices.Contains(matched, f.Indicator) })
	fresh := data.Judge(x.Source, x.Components, vulns, t.at)
	if len(rest)+len(fresh) == len(x.Findings) && sameAnswers(x.Findings, fresh) {
		return nil
	}
	worse := !exploited(x.Findings) && exploited(fresh)
	x.Findings = append(rest, fresh...)
	if err := t.tx.PutExamination(own, x); err != nil {
		return err
	}
	if worse {
		if _, err := t.tx.UpdateDevice(own, e.Device, func(d *api.Device) error { due(d, t.at, dueExploited); return nil }); err != nil {
			return err
		}
	}
	run, err := t.as(audit.SysAssess, audit.AssessRun)
	if err != nil {
		return err
	}
	_, err = t.reassess(run, e.Device, string(x.ID))
	return err
}

// sameAnswers reports whether fresh says nothing that old does not say already.
func sameAnswers(old, fresh []ringwall.Finding) bool {
	for _, f := range fresh {
		i := slices.IndexFunc(old, func(o ringwall.Finding) bool { return o.Indicator == f.Indicator })
		if i < 0 || old[i].Outcome != f.Outcome || !reflect.DeepEqual(old[i].Evidence, f.Evidence) {
			return false
		}
	}
	return true
}

func exploited(fs []ringwall.Finding) bool {
	return slices.ContainsFunc(fs, func(f ringwall.Finding) bool { return f.Indicator == "FS-04" && f.Outcome == ringwall.Fail })
}

// vulnerabilities lists what is known of the software and the model behind an
// assessment.
func (c *core) vulnerabilities(a api.Assessment) []api.Vulnerability {
	var all []api.Component
	for _, x := range a.Examinations {
		all = append(all, x.Components...)
	}
	data := c.known()
	return append(data.Match(all), data.MatchDevice(api.Identity{Vendor: a.Vendor, Model: a.Model, Firmware: a.Firmware})...)
}

// compareSecrets finds the secrets that a device has in common with others, and
// tells it of all of them: the same key in two devices is nobody's own.
func (t *turn) compareSecrets(scope audit.Scope, id ringwall.DeviceID) error {
	holders, err := t.tx.Holders(scope, id)
	if err != nil {
		return err
	}
	ids := []ringwall.DeviceID{id}
	for _, h := range holders {
		if !slices.Contains(ids, h.Device) && len(ids) < maxHolders {
			ids = append(ids, h.Device)
		}
	}
	var members []inspect.Member
	for _, d := range ids {
		dev, err := t.tx.Device(scope, d)
		if err != nil {
			return err
		}
		xs, err := t.tx.Examinations(scope, d)
		if err != nil {
			return err
		}
		for _, x := range xs {
			members = append(members, inspect.Member{Device: d, Vendor: dev.Vendor, Model: dev.Model, Source: x.Source, Secrets: x.Secrets})
		}
	}
	shared := inspect.Shared(members, t.at)
	by := map[ringwall.DeviceID][]ringwall.Finding{}
	for i, fs := range shared {
		by[members[i].Device] = append(by[members[i].Device], fs...)
	}
	for _, d := range ids {
		old, err := t.tx.FindingsOf(scope, d, originShared)
		if err != nil {
			return err
		}
		fs := by[d]
		if d != id {
			// It may share another secret with somebody who is not looked at here.
			for _, o := range old {
				if !slices.ContainsFunc(fs, func(f ringwall.Finding) bool { return f.Indicator == o.Indicator && f.Source == o.Source }) {
					fs = append(fs, o)
				}
			}
		}
		if len(fs) == len(old) && sameAnswers(old, fs) {
			continue
		}
		if err := t.tx.ReplaceFindings(scope, d, originShared, fs); err != nil {
			return err
		}
		if d != id {
			if err := t.regrade(scope, d, string(id)); err != nil {
				return err
			}
		}
	}
	return nil
}

// lookAfter brings what is known up to date, and has devices assessed again
// when that is due.
func (p *Platform) lookAfter(ctx context.Context, ready func()) error {
	ready()
	return p.rounds(ctx, dueRound, nil, func(k *keptScopes, org ringwall.OrgID) error {
		p.readVulnerabilities()
		return errors.Join(p.match(ctx, k, org), p.assessDue(ctx, k, org))
	})
}
