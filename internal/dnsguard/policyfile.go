package dnsguard

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/durable"
	"github.com/ringwall/ringwall/internal/policy"
)

// Policy is what the guard may answer: the content of the policy file.
type Policy struct {
	Version     int            `json:"version"`
	Generation  uint64         `json:"generation"`
	Resolver    netip.AddrPort `json:"resolver"`
	Arrival     policy.State   `json:"arrival"` // of devices that are not named
	Local       []netip.Prefix `json:"local"`
	Devices     []Device       `json:"devices"`
	Remediation []policy.Name  `json:"remediation"`
}

// Device is one device of a policy, known by its address, which the packet
// filter ties to its MAC and port.
type Device struct {
	ID    ringwall.DeviceID `json:"id"`
	Mark  uint32            `json:"mark"`
	IP    netip.Addr        `json:"ip"`
	State policy.State      `json:"state"`
	Names []policy.Name     `json:"names"`
}

// policyVersion is the version of the file's format.
const policyVersion = 1

// maxPolicy bounds what is read of a policy file.
const maxPolicy = 64 << 20

// PolicyOf returns what a plan says about names.
func PolicyOf(p policy.Plan) Policy {
	out := Policy{
		Version: policyVersion, Generation: p.Generation, Resolver: p.Resolver, Arrival: p.Arrival,
		Local: p.Local, Remediation: p.RemediationNames, Devices: make([]Device, 0, len(p.Devices)),
	}
	for _, d := range p.Devices {
		out.Devices = append(out.Devices, Device{ID: d.ID, Mark: d.Mark, IP: d.IP, State: d.State, Names: d.Names})
	}
	return out
}

// WritePolicy replaces the policy file and runs apply, which puts the same
// policy into the kernel, both under the exclusive lock: no address is bound
// meanwhile, and none by the old policy afterwards. When apply fails, the
// former file is put back. A crash in between leaves the new file with the old
// rules: less is bound than could be, until the agent applies again.
func WritePolicy(path string, p Policy, apply func() error) error {
	data, err := json.Marshal(p)
	if err != nil {
		return err
	}
	unlock, err := lock(path, unix.LOCK_EX)
	if err != nil {
		return err
	}
	defer unlock()
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("reading the former policy of names: %w", err)
	}
	if err := durable.WriteFile(path, data, 0o600); err != nil {
		return fmt.Errorf("writing the policy of names: %w", err)
	}
	if apply == nil {
		return nil
	}
	if err := apply(); err != nil {
		if old != nil {
			err = errors.Join(err, durable.WriteFile(path, old, 0o600))
		} else {
			err = errors.Join(err, os.Remove(path))
		}
		return err
	}
	return nil
}

// ReadPolicy reads a policy file.
func ReadPolicy(path string) (Policy, error) {
	f, err := os.Open(path)
	if err != nil {
		return Policy{}, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxPolicy+1))
	if err != nil {
		return Policy{}, fmt.Errorf("reading the policy of names: %w", err)
	}
	if len(data) > maxPolicy {
		return Policy{}, ringwall.Errorf(ringwall.Invalid, "the policy of names has more than %d bytes", maxPolicy)
	}
	return parsePolicy(data)
}

func parsePolicy(data []byte) (Policy, error) {
	var p Policy
	dec := json.NewDecoder(strings.NewReader(string(data)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&p); err != nil {
		return Policy{}, ringwall.Errorf(ringwall.Invalid, "reading the policy of names: %w", err)
	}
	if p.Version != policyVersion {
		return Policy{}, ringwall.Errorf(ringwall.Invalid, "the policy of names has version %d, want %d", p.Version, policyVersion)
	}
	return p, nil
}

// lock takes the lock beside path, waiting for it.
func lock(path string, how int) (unlock func(), err error) {
	f, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the policy of names: %w", err)
	}
	for {
		err = unix.Flock(int(f.Fd()), how)
		if err == nil {
			return func() { f.Close() }, nil // closing unlocks
		}
		if !errors.Is(err, unix.EINTR) {
			f.Close()
			return nil, fmt.Errorf("locking the policy of names: %w", err)
		}
	}
}

// table is a policy ready to be asked.
type table struct {
	Policy
	byIP map[netip.Addr]*Device
}

func newTable(p Policy) *table {
	t := &table{Policy: p, byIP: make(map[netip.Addr]*Device, len(p.Devices))}
	for i := range t.Devices {
		t.byIP[t.Devices[i].IP] = &t.Devices[i]
	}
	return t
}

// asker is who asks: a device, or a stranger with mark 0.
type asker struct {
	id    ringwall.DeviceID
	mark  uint32
	state policy.State
	names []policy.Name
}

func (t *table) asker(ip netip.Addr) asker {
	if d, ok := t.byIP[ip]; ok {
		return asker{d.ID, d.Mark, d.State, d.Names}
	}
	return asker{state: t.Arrival}
}

// grant is what the policy says of one name to one asker.
type grant struct {
	resolve bool   // answer it
	reason  string // why not, or why though it would not be
	// services are opened to the asker, remedies in quarantine.
	services, remedies []policy.Service
	// raw answers are passed on as they are, inside addresses too.
	raw bool
}

// Reasons in reports.
const (
	reasonName       = "name"       // not in the policy
	reasonQuarantine = "quarantine" // quarantined, and not a name of the remediation set
	reasonCutoff     = "cutoff"
	reasonStranger   = "stranger" // not a device of the policy
	reasonWould      = "would-refuse"
	reasonRate       = "rate"
	reasonType       = "type"
	reasonForm       = "malformed"
	reasonRebind     = "rebinding"
	reasonBind       = "bind"
	reasonUpstream   = "upstream"
	reasonCanary     = "canary"
	reasonIPv6       = "ipv6"
	reasonTooMany    = "too-many"
)

func (t *table) grant(a asker, name string) grant {
	remedies, remedy := policy.Lookup(t.Remediation, name)
	services, ok := policy.Lookup(a.names, name)
	switch a.state {
	case policy.StateCutoff:
		return grant{reason: reasonCutoff}
	case policy.StateQuarantine:
		if !remedy {
			return grant{reason: reasonQuarantine}
		}
		return grant{resolve: true, remedies: remedies}
	case policy.StateLearn:
		g := grant{resolve: true, raw: true, remedies: remedies}
		if a.mark != 0 {
			// Everything is open to it now. The entry keeps the name of the address,
			// for the day when its policy is enforced.
			g.services = []policy.Service{{Proto: policy.ProtoAny}}
		}
		return g
	case policy.StateShadow:
		g := grant{resolve: true, services: services, remedies: remedies}
		if !ok {
			g.reason, g.raw = reasonWould, true
		}
		return g
	}
	switch {
	case a.mark == 0:
		return grant{reason: reasonStranger}
	case !ok:
		return grant{reason: reasonName}
	}
	return grant{resolve: true, services: services, remedies: remedies}
}
