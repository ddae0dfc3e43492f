package nft

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/google/nftables"

	"github.com/ringwall/ringwall"
)

// skeleton is what the kernel is expected to say of the chains and rules of one
// configuration. They themselves are made when they are needed, which is seldom.
type skeleton struct {
	id string
	// wantChains and wantTags are what readChains and the tags of readRules give
	// when the kernel holds this skeleton.
	wantChains []string
	wantTags   map[family][]string // "chain tag", in a settled order
}

func newSkeleton(c site) skeleton {
	s, chains := skeleton{wantTags: map[family][]string{}}, chainDefs(c)
	h := sha256.New()
	for _, d := range setDefs(c.Config) {
		writeField(h, string(d.family), d.name, fmt.Sprint(d.role, d.interval, d.token), fmt.Sprint(d.key), fmt.Sprint(d.data), fmt.Sprint(d.sized, c.devices))
	}
	for _, d := range chains {
		writeField(h, string(d.family), d.name, fmt.Sprint(d.priority, d.open, d.nat))
		for _, r := range d.rules {
			for _, e := range r {
				b, err := encode(e)
				if err != nil {
					panic("nft: an expression of the skeleton cannot be encoded: " + err.Error())
				}
				writeField(h, string(b))
			}
		}
	}
	s.id = hex.EncodeToString(h.Sum(nil)[:8])
	n := 0
	for _, d := range chains {
		s.wantChains = append(s.wantChains, d.describe())
		for range d.rules {
			s.wantTags[d.family] = append(s.wantTags[d.family], d.name+" "+string(tag(s.id, n)))
			n++
		}
	}
	slices.Sort(s.wantChains)
	for f := range s.wantTags {
		slices.SortStableFunc(s.wantTags[f], byChain)
	}
	return s
}

func byChain(a, b string) int {
	ca, _, _ := strings.Cut(a, " ")
	cb, _, _ := strings.Cut(b, " ")
	return strings.Compare(ca, cb)
}

// describe is what readRules says of the chain.
func (d chainDef) describe() string {
	c := d.chain(&nftables.Table{})
	if c.Hooknum == nil {
		return describe(d.family, d.name)
	}
	return describeBase(d.family, d.name, uint32(*c.Hooknum), d.priority, string(c.Type), uint32(*c.Policy))
}

// chain returns the definition for the library.
func (d chainDef) chain(t *nftables.Table) *nftables.Chain {
	c := &nftables.Chain{Name: d.name, Table: t}
	if d.hook == nil {
		return c
	}
	p := nftables.ChainPolicyDrop
	if d.open {
		p = nftables.ChainPolicyAccept
	}
	c.Hooknum, c.Priority, c.Policy, c.Type = d.hook, nftables.ChainPriorityRef(nftables.ChainPriority(d.priority)), &p, nftables.ChainTypeFilter
	if d.nat {
		c.Type = nftables.ChainTypeNAT
	}
	return c
}

// Base loads the skeleton, closed, unless the kernel holds it already: then
// everything stays as it is, policy included. It needs no interface to exist.
func (f *Firewall) Base(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	intact, err := f.found()
	if err != nil {
		return fmt.Errorf("loading the closed base: %w", err)
	}
	if !intact {
		f.in = nil
		for _, step := range []func() error{f.shut, f.queueSkeleton, f.commit, f.finish} {
			if err := step(); err != nil {
				return fmt.Errorf("loading the closed base: %w", err)
			}
		}
		f.in = newForce()
	}
	if f.cfg.Inspect != 0 {
		if err := f.steer(); err != nil {
			return fmt.Errorf("leading packets to the inspector: %w", err)
		}
	}
	if err := f.unshut(); err != nil {
		return fmt.Errorf("loading the closed base: %w", err)
	}
	return nil
}

// found is intact, for whatever capacity the skeleton was made with.
func (f *Firewall) found() (intact bool, err error) {
	was := f.cfg.devices
	for _, n := range f.cfg.rooms() {
		f.room(n)
		if intact, err = f.intact(); intact || err != nil {
			return intact, err
		}
	}
	f.room(was)
	return f.intact()
}

// room makes the skeleton that is expected one for this many devices.
func (f *Firewall) room(devices uint32) {
	if f.cfg.devices != devices {
		f.cfg.devices = devices
		f.skel = newSkeleton(f.cfg)
	}
}

// grow makes room for a plan that has more devices than there is room for: the
// skeleton is then made anew, closed until it stands. What was counted so far
// and consumed of quotas is kept.
func (f *Firewall) grow(devices int) error {
	if devices <= int(f.cfg.devices) {
		return nil
	}
	if f.in == nil { // perhaps it was grown by another life of the program
		if intact, err := f.found(); err != nil || intact && devices <= int(f.cfg.devices) {
			return err
		}
	}
	past, err := f.counted()
	if err != nil {
		return err
	}
	used, err := f.consumed()
	if err != nil {
		return err
	}
	for _, n := range f.cfg.rooms() {
		if devices <= int(n) {
			f.room(n)
			f.in, f.past, f.restore = nil, past, append(used, f.restore...)
			return nil
		}
	}
	return ringwall.Errorf(ringwall.Invalid, "a plan of %d devices is larger than any gateway", devices)
}

// finish adds the rules to a skeleton that queueSkeleton made. Until it has,
// the hooks are closed by their policies.
func (f *Firewall) finish() error {
	if err := f.sendRules(); err != nil {
		return &ringwall.Error{Code: ringwall.Internal, Text: "the kernel refused the rules; the gateway is closed", Err: err}
	}
	return nil
}

// intact reports whether the kernel holds the skeleton as it should be. What it
// read it keeps.
func (f *Firewall) intact() (bool, error) {
	l, err := f.readRules()
	if err != nil {
		return false, err
	}
	f.rules = l.hash
	if !slices.Equal(l.chains, f.skel.wantChains) {
		return false, nil
	}
	for _, fam := range f.families() {
		if !slices.Equal(l.tags[fam], f.skel.wantTags[fam]) {
			return false, nil
		}
	}
	return true, nil
}

// queueSkeleton puts into the next transaction what replaces our tables by an
// empty, closed skeleton. The rules follow by finish.
func (f *Firewall) queueSkeleton() error {
	c := f.conn
	tables := map[family]*nftables.Table{}
	for _, fam := range f.families() {
		t := f.table(fam)
		// Adding first makes the deletion succeed whether or not the table is there.
		c.AddTable(t)
		c.DelTable(t)
		tables[fam] = c.AddTable(t)
	}
	for _, d := range chainDefs(f.cfg) {
		c.AddChain(d.chain(tables[d.family]))
	}
	for i, d := range f.defs {
		var els []nftables.SetElement
		if d.elements != nil {
			els = d.elements(f.cfg.Config)
		}
		set := d.set(tables[d.family], f.cfg.devices)
		set.ID = uint32(i + 1) // else the library counts them, in a variable that all share
		if err := c.AddSet(set, els); err != nil {
			return fmt.Errorf("set %q: %w", d.name, err)
		}
	}
	return nil
}

// commit sends the transaction that was queued on f.conn.
func (f *Firewall) commit() error {
	err := f.conn.Flush()
	if err == nil {
		return nil
	}
	f.renew(&f.conn)
	return refused(err)
}
