package inspector

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/durable"
	"github.com/ringwall/ringwall/internal/rulefile"
)

// quotaFile stands beside the policy file: what is used of quotas outlives the
// inspector, or killing it would be worth a month's traffic.
const quotaFile = "inspect-quota.json"

// quotaEvery is how often it is written when something has changed; what is used
// in between is forgotten by a power cut.
const quotaEvery = time.Minute

// maxQuotas bounds what is read back.
const maxQuotas = maxGauges

// usage is what is used of one quota.
type usage struct {
	Device ringwall.DeviceID `json:"device"`
	Term   string            `json:"term"`
	Period time.Time         `json:"period"`
	Used   uint64            `json:"used"`
}

// load takes over what a former inspector counted.
func (l *limits) load(path string) error {
	data, err := rulefile.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	list, err := parseUsage(data)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.by = make(map[limitKey]*gauge, len(list))
	for _, u := range list {
		l.by[limitKey{u.Device, u.Term}] = &gauge{at: l.uptime(), period: u.Period, used: u.Used}
	}
	l.saved = data
	return nil
}

func parseUsage(data []byte) ([]usage, error) {
	var list []usage
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&list); err != nil {
		return nil, ringwall.Errorf(ringwall.Invalid, "reading what is used of quotas: %w", err)
	}
	if len(list) > maxQuotas {
		return nil, ringwall.Errorf(ringwall.Invalid, "%d quotas are more than %d", len(list), maxQuotas)
	}
	return list, nil
}

// save writes down what is used, if that has changed.
func (l *limits) save(path string) error {
	l.mu.Lock()
	var list []usage
	for k, g := range l.by {
		if g.limit.Quota > 0 || g.used > 0 && !g.period.IsZero() {
			list = append(list, usage{k.device, k.term, g.period, g.used})
		}
	}
	slices.SortFunc(list, func(a, b usage) int { return cmp.Or(cmp.Compare(a.Device, b.Device), cmp.Compare(a.Term, b.Term)) })
	if len(list) == 0 && l.saved == nil {
		l.mu.Unlock()
		return nil
	}
	data, err := json.Marshal(list)
	same := bytes.Equal(data, l.saved)
	l.saved = data
	l.mu.Unlock()
	if err != nil || same {
		return err
	}
	return durable.WriteFile(path, data, 0o600)
}

func (in *Inspector) quotaPath() string {
	return filepath.Join(filepath.Dir(in.cfg.PolicyFile), quotaFile)
}
