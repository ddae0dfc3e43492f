package enforce

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// Untimed returns d for a gateway that does not know what time it is: windows of
// terms that allow are closed, those of terms that deny are open.
func Untimed(d api.Desired) api.Desired {
	untimed := func(terms []api.Term) []api.Term {
		if !slices.ContainsFunc(terms, func(t api.Term) bool { return t.Window != nil }) {
			return terms
		}
		out := make([]api.Term, 0, len(terms))
		for _, t := range terms {
			if t.Window != nil && t.Action == api.Allow {
				continue
			}
			t.Window = nil
			out = append(out, t)
		}
		return out
	}
	d.Remediation = untimed(d.Remediation)
	d.Devices = slices.Clone(d.Devices)
	for i := range d.Devices {
		d.Devices[i].Terms = untimed(d.Devices[i].Terms)
	}
	return d
}

// Old tells of devices to whom the end of MaxAge has come.
type Old struct {
	Open, Closed []ringwall.DeviceID
}

// Any reports whether there is one.
func (o Old) Any() bool { return len(o.Open)+len(o.Closed) > 0 }

// Aged returns d as it is enforced when the platform was not heard for age. Past
// MaxAge, a device that fails closed is quarantined: the remediation set is left
// to it. One that fails open is in mode shadow: nothing is refused to it, and what
// would have been is reported; its holds and what its trust demands stay. The
// others go on.
func Aged(d api.Desired, age time.Duration) (api.Desired, Old) {
	var old Old
	if d.MaxAge <= 0 || age < time.Duration(d.MaxAge) {
		return d, old
	}
	d.Devices = slices.Clone(d.Devices)
	for i := range d.Devices {
		dev := &d.Devices[i]
		switch dev.Fail {
		case "closed":
			old.Closed = append(old.Closed, dev.Device)
			switch {
			case dev.Trust > ringwall.T1, dev.Trust == ringwall.T0 && dev.Mode == ringwall.Learn:
				dev.Trust = ringwall.T1
			}
		case "open":
			old.Open = append(old.Open, dev.Device)
			if dev.Mode == ringwall.Enforce {
				dev.Mode = ringwall.Shadow
			}
		}
	}
	return d, old
}

// Contact measures for how long the platform was not heard, over restarts: in
// time served, and by the clock where that is sure and says more. The zero
// Contact was never heard. It is not safe for concurrent use.
type Contact struct {
	path string
	base time.Duration // age at mono
	mono time.Duration
	kept time.Duration // age at the last writing
	told time.Duration // of the monotonic clock, when it was last written that the platform was heard
}

// contactOnDisk is the form of its file.
type contactOnDisk struct {
	Heard  time.Time     `json:"heard"`
	Served time.Duration `json:"servedNs"` // without word since then
}

// contactFile is beside the documents. It is not synced: what a power cut takes
// away makes the document older, never younger.
const contactFile = "contact.json"

// keepContact is how much longer the silence must have become for it to be
// written down again.
const keepContact = 10 * time.Minute

// OpenContact reads when the platform was last heard; issued counts where that is
// not known.
func OpenContact(dir string, issued, now time.Time, sure bool, mono time.Duration) *Contact {
	c := &Contact{path: filepath.Join(dir, contactFile), mono: mono}
	f := contactOnDisk{Heard: issued}
	if b, err := os.ReadFile(c.path); err == nil {
		var read contactOnDisk
		if json.Unmarshal(b, &read) == nil && read.Served >= 0 {
			f = read
		}
	}
	c.base = f.Served
	if away := now.Sub(f.Heard); sure && !f.Heard.IsZero() && away > c.base && away < implausible {
		c.base = away
	}
	c.kept = c.base
	return c
}

// Age returns for how long the platform was not heard.
func (c *Contact) Age(mono time.Duration) time.Duration { return c.base + mono - c.mono }

// Heard notes that the platform is heard now.
func (c *Contact) Heard(now time.Time, mono time.Duration) error {
	c.base, c.mono, c.kept = 0, mono, 0
	if c.told > 0 && mono-c.told < keepContact {
		return nil // it is written down closely enough
	}
	c.told = max(mono, 1)
	return c.write(contactOnDisk{Heard: now})
}

// Keep writes the silence down when it has become longer.
func (c *Contact) Keep(now time.Time, mono time.Duration) error {
	age := c.Age(mono)
	if age-c.kept < keepContact {
		return nil
	}
	c.kept = age
	return c.write(contactOnDisk{Heard: now.Add(-age), Served: age})
}

func (c *Contact) write(f contactOnDisk) error {
	b, err := json.Marshal(f)
	if err != nil {
		return err
	}
	tmp := c.path + ".new"
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, c.path)
}
