// Package snmp asks whether a device answers SNMP to a default community, and
// whether one of those may write (CO-10).
//
// Probe reads one value (sysObjectID) with a few communities that makers ship, in
// versions 1 and 2c, and first with a random one: an agent that answers that
// answers anybody. It asks for the engine of version 3 too, which needs no name.
// Where a community is taken it reads what the device says of itself.
//
// Writer goes further and is a probe of its own: it sets sysContact to the very
// value that it has read, which changes nothing, after two controls: a random
// community must not be able to, and a name that does not exist must be refused.
//
// Silence counts only of a device that is alive, and as an observation. Standards:
// RFC 1157 section 4 (version 1), RFC 3416 sections 3 and 4 (version 2c), RFC 3414
// section 4 (discovery of an engine).
package snmp

import (
	"context"
	"crypto/rand"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/probe/fetch"
	"github.com/ringwall/ringwall/internal/probe/fingerprint"
)

// Probe is the SNMP probe.
type Probe struct{}

// Def says what the probe is.
func (Probe) Def() assess.Definition {
	return assess.Definition{
		ID: "snmp", Title: "SNMP: answers to default communities",
		Sends:      "GET of one value over UDP 161 with five communities in versions 1 and 2c, and one discovery of version 3, each twice at most; one value that does not exist and three more with a community that was taken",
		Indicators: []string{"CO-10"}, Intrusion: assess.Asks, Together: true, Reaches: []string{"udp/161"},
	}
}

// Writer finds out whether a default community may write.
type Writer struct{}

// Def says what the probe is.
func (Writer) Def() assess.Definition {
	return assess.Definition{
		ID: "snmp-write", Title: "SNMP: whether a default community may write",
		Sends:      "SET of sysContact to the value that it has, with a random and up to four default communities over UDP 161, and one SET of a name that does not exist",
		Indicators: []string{"CO-10"}, Needs: []string{"snmp"}, Intrusion: assess.LogsIn, Optional: true, Reaches: []string{"udp/161"},
	}
}

// Port is where SNMP agents listen.
const Port = 161

const (
	answerIn  = 600 * time.Millisecond
	asks      = 2 // a datagram may be lost
	maxAnswer = 4 << 10
)

// defaults are communities that devices are shipped with.
func defaults() []string { return []string{"public", "private", "admin", "write"} }

// Names of values (RFC 3418 section 2).
func sysDescr() oid    { return oid{1, 3, 6, 1, 2, 1, 1, 1, 0} }
func sysObjectID() oid { return oid{1, 3, 6, 1, 2, 1, 1, 2, 0} }
func sysContact() oid  { return oid{1, 3, 6, 1, 2, 1, 1, 4, 0} }
func sysName() oid     { return oid{1, 3, 6, 1, 2, 1, 1, 5, 0} }

// nothing is a name under an enterprise that does not exist.
func nothing() oid { return oid{1, 3, 6, 1, 4, 1, 2147483646, 1, 0} }

// agent is the far end.
type agent struct {
	n       assess.Network
	address string
}

// Run asks the agent.
func (Probe) Run(ctx context.Context, env *assess.Env, t assess.Target) (assess.Answer, error) {
	if !env.Alive {
		return assess.Answer{}, nil
	}
	return agent{env.Net, t.AddrPort(Port)}.judge(ctx), nil
}

func (a agent) judge(ctx context.Context) assess.Answer {
	f := ringwall.Finding{Indicator: "CO-10", Confidence: ringwall.Observed}
	var ans assess.Answer
	control := "rw-" + rand.Text()[:8]
	taken, closed := a.survey(ctx, append([]string{control}, defaults()...))
	engine, v3 := "", false
	if !closed {
		engine, v3 = a.engine(ctx)
	}
	switch {
	case closed:
		f.Outcome, f.Title = ringwall.Pass, "there is no SNMP agent"
		f.Evidence = []string{"UDP port 161 is closed"}
	case len(taken) > 0 && a.hollow(ctx, taken[0]):
		f.Outcome, f.Title = ringwall.Unknown, "the SNMP agent says yes to everything, so its yes means nothing"
		f.Evidence = []string{"negative control: a value that does not exist was given"}
	case len(taken) > 0 && slices.ContainsFunc(taken, func(k key) bool { return k.community == control }):
		f.Outcome, f.Confidence, f.Title = ringwall.Fail, ringwall.Confirmed, "SNMP answers whoever asks, with any community"
		f.Evidence = []string{"a random community was answered"}
		a.tell(ctx, taken[0], &ans, &f)
	case len(taken) > 0:
		f.Outcome, f.Confidence = ringwall.Fail, ringwall.Confirmed
		f.Title = fmt.Sprintf("SNMP answers to the default community %q", taken[0].community)
		f.Evidence = []string{"negative control: a random community was not answered"}
		for _, k := range taken {
			f.Evidence = append(f.Evidence, fmt.Sprintf("a value was read with %q in version %s", k.community, versionName(k.version)))
		}
		a.tell(ctx, taken[0], &ans, &f)
	case ctx.Err() != nil:
		f.Outcome, f.Title = ringwall.Unknown, "SNMP could not be asked in time"
	default:
		f.Outcome, f.Title = ringwall.Pass, "SNMP answers no default community"
		f.Evidence = []string{fmt.Sprintf("no answer on UDP port 161 to a random and %d default communities", len(defaults()))}
	}
	if v3 {
		f.Evidence = append(f.Evidence, "version 3 is there, engine "+engine)
	}
	if v3 || len(taken) > 0 {
		ans.Services = []api.Service{{Proto: "udp", Port: Port, Name: "snmp"}}
	}
	ans.Findings = []ringwall.Finding{f}
	return ans
}

// key is a community, and the version in which it was tried.
type key struct {
	version   int
	community string
}

// survey tries communities in both versions, all at once: silence is the usual
// answer, and waiting for it one by one would take the time of all else. It
// returns those that were taken, in the order of trying.
func (a agent) survey(ctx context.Context, communities []string) (taken []key, closed bool) {
	var keys []key
	for _, v := range []int{version2c, version1} {
		for _, c := range communities {
			keys = append(keys, key{v, c})
		}
	}
	yes, no := make([]bool, len(keys)), make([]bool, len(keys))
	var wg sync.WaitGroup
	for i, k := range keys {
		wg.Go(func() { yes[i], no[i] = a.takes(ctx, k) })
	}
	wg.Wait()
	for i, k := range keys {
		if yes[i] {
			taken = append(taken, k)
		}
	}
	return taken, len(taken) == 0 && slices.Contains(no, true)
}

// tell reads what the device says of itself.
func (a agent) tell(ctx context.Context, k key, ans *assess.Answer, f *ringwall.Finding) {
	for _, what := range []struct {
		name  oid
		label string
	}{{sysDescr(), "it describes itself as"}, {sysName(), "its name is"}} {
		if p, _, ok := a.exchange(ctx, k, tagGet, binding{Name: what.name, Value: null()}); ok && p.Status == 0 {
			if s, ok := text(p); ok && s != "" {
				f.Evidence = append(f.Evidence, fmt.Sprintf("%s %q", what.label, fetch.Clean(s, 120)))
				if slices.Equal(what.name, sysDescr()) {
					ans.Known = fingerprint.Default().Identify([]fingerprint.Clue{{From: fingerprint.SNMP, Text: s}}).Identity
				}
			}
		}
	}
}

// Run finds out whether a default community may write.
func (Writer) Run(ctx context.Context, env *assess.Env, t assess.Target) (assess.Answer, error) {
	if !env.Alive || !slices.ContainsFunc(env.Services, func(s api.Service) bool { return s.Proto == "udp" && s.Port == Port }) {
		return assess.Answer{}, nil
	}
	f, ok := agent{env.Net, t.AddrPort(Port)}.judgeWrite(ctx)
	if !ok {
		return assess.Answer{}, nil
	}
	return assess.Answer{Findings: []ringwall.Finding{f}}, nil
}

func (a agent) judgeWrite(ctx context.Context) (ringwall.Finding, bool) {
	f := ringwall.Finding{Indicator: "CO-10", Confidence: ringwall.Confirmed}
	taken, _ := a.survey(ctx, defaults())
	for _, k := range taken {
		p, _, ok := a.exchange(ctx, k, tagGet, binding{Name: sysContact(), Value: null()})
		was, isText := text(p)
		if !ok || p.Status != 0 || !isText || strings.ContainsRune(was, 0) {
			continue
		}
		set := func(community string, name oid) bool {
			p, _, ok := a.exchange(ctx, key{k.version, community}, tagSet, binding{Name: name, Value: octets(was)})
			return ok && p.Status == 0
		}
		if set("rw-"+rand.Text()[:8], sysContact()) || set(k.community, nothing()) {
			f.Outcome, f.Confidence, f.Title = ringwall.Unknown, ringwall.Observed, "the SNMP agent says yes to everything, so its yes to a write means nothing"
			f.Evidence = []string{"negative control: a random community, or a value that does not exist, could be written"}
			return f, true
		}
		if set(k.community, sysContact()) {
			f.Outcome, f.Title = ringwall.Fail, fmt.Sprintf("the default SNMP community %q may write", k.community)
			f.Facts = map[string]string{"write": "true"}
			f.Evidence = []string{"negative controls: a random community, and a value that does not exist, could not be written", "sysContact was set to the value that it had"}
			return f, true
		}
	}
	return f, false // that none could is what the other probe's answer stands for
}

// takes reports whether the agent gives a value for this community. closed: the
// host says that nothing listens.
func (a agent) takes(ctx context.Context, k key) (yes, closed bool) {
	p, closed, ok := a.exchange(ctx, k, tagGet, binding{Name: sysObjectID(), Value: null()})
	// One that sends our own question back has given no value.
	v := asn1.RawValue{}
	if ok {
		v = p.Bindings[0].Value
	}
	return ok && p.Status == 0 && (v.Class != asn1.ClassUniversal || v.Tag != asn1.TagNull), closed
}

// hollow reports whether the agent gives a value for a name that does not exist
// too: its answers mean nothing.
func (a agent) hollow(ctx context.Context, k key) bool {
	p, _, ok := a.exchange(ctx, k, tagGet, binding{Name: nothing(), Value: null()})
	return ok && p.Status == 0
}

// exchange sends one request and returns the answer to it.
func (a agent) exchange(ctx context.Context, k key, tag int, b binding) (p pdu, closed, ok bool) {
	var seed [4]byte
	_, _ = rand.Read(seed[:]) // it never fails (crypto/rand)
	id := int(binary.BigEndian.Uint32(seed[:]) >> 2)
	request, err := write(k.version, k.community, tag, id, b)
	if err != nil {
		return p, false, false
	}
	closed = a.ask(ctx, request, func(answer []byte) bool {
		p, ok = read(answer, k.version, id)
		return ok
	})
	return p, closed, ok
}

// engine asks for the engine id of version 3.
func (a agent) engine(ctx context.Context) (id string, ok bool) {
	a.ask(ctx, discovery(), func(answer []byte) bool {
		id, ok = readEngine(answer)
		return ok
	})
	return id, ok
}

// ask sends a datagram, twice if need be, until take is content.
func (a agent) ask(ctx context.Context, request []byte, take func([]byte) bool) (closed bool) {
	c, err := a.n.DialContext(ctx, "udp", a.address)
	if err != nil {
		return false
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	buf := make([]byte, maxAnswer)
	for range asks {
		if c.SetDeadline(time.Now().Add(answerIn)) != nil || ctx.Err() != nil {
			return false
		}
		if _, err := c.Write(request); err != nil {
			return errors.Is(err, syscall.ECONNREFUSED)
		}
		for range 4 { // answers to earlier questions may come late
			got, err := c.Read(buf)
			if errors.Is(err, syscall.ECONNREFUSED) {
				return true
			}
			if err != nil {
				break
			}
			if take(buf[:got]) {
				return false
			}
		}
	}
	return false
}
