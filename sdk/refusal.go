package sdk

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/policy"
)

// Refusal is why something was refused. It is a net.Error and has code
// Forbidden.
type Refusal struct {
	// Reason is one word: "default" and "inbound" (no term allows it), "deny" (a term
	// denies it), "inspect" (only what stands inside could allow it: use Transport or
	// DialTLSContext), "lookup" (no term speaks of the name), "rebinding" (the name
	// points to an address inside), "limited", "quarantine", "cutoff", "ipv6",
	// "no-policy", "closed".
	Reason string
	// Term is the id of the term that decided, "" when none did.
	Term string
	// Limit is the bound that was exceeded, by its name in api.Limit.
	Limit string

	Direction api.Direction
	Proto     string         // "tcp", "udp"
	Name      string         // that was asked for, "" when it was an address
	Remote    netip.AddrPort // the other end; its address is not valid before a lookup
	Port      uint16         // that was connected to
	Method    string         // of HTTP and CoAP
	Host      string         // that was shown inside
	Path      string

	Device     ringwall.DeviceID
	Generation uint64
	Mode       ringwall.Mode

	seen *policy.Seen
}

func (r *Refusal) what() string {
	to := r.Name
	if to == "" && r.Remote.IsValid() {
		to = r.Remote.Addr().String()
	}
	verb := "opening"
	if r.Direction == api.ToDevice {
		return fmt.Sprintf("%s from %s to port %d", r.Proto, to, r.Port)
	}
	if r.Path != "" {
		return fmt.Sprintf("%s %s of %s port %d", r.Method, r.Path, to, r.Port)
	}
	return fmt.Sprintf("%s %s to %s port %d", verb, r.Proto, to, r.Port)
}

// Error says what was refused, why, and what to do about it.
func (r *Refusal) Error() string {
	why := map[string]string{
		policy.ReasonDefault: "no term allows it", policy.ReasonInbound: "no term lets others open it", policy.ReasonDeny: "a term denies it",
		policy.ReasonInspect: "what stands inside decides, and this way it cannot be seen", reasonLookup: "no term speaks of the name",
		reasonRebind: "the name points to an address inside", policy.ReasonLimited: "it is over the limit", policy.ReasonQuarantine: "the device is quarantined",
		policy.ReasonCutoff: "the device is cut off", policy.ReasonIPv6: "IPv6 is closed", reasonNoPolicy: "no policy has come yet", reasonClosed: "the client is closed",
	}[r.Reason]
	if why == "" {
		why = r.Reason
	}
	var b strings.Builder
	fmt.Fprintf(&b, "policy refuses %s: %s (%s", r.what(), why, r.Reason)
	if r.Limit != "" {
		fmt.Fprintf(&b, ", %s", r.Limit)
	}
	if r.Term != "" {
		fmt.Fprintf(&b, ", term %q", r.Term)
	}
	fmt.Fprintf(&b, ", generation %d)", r.Generation)
	if h := r.Hint(); h != "" {
		b.WriteString("; " + h)
	}
	return b.String()
}

// Unwrap returns the error with its code.
func (r *Refusal) Unwrap() error {
	return &ringwall.Error{Code: ringwall.Forbidden, Text: "policy refuses it: " + r.Reason, Hint: r.Hint()}
}

// Timeout and Temporary make it a net.Error; a refusal is neither.
func (r *Refusal) Timeout() bool { return false }

// Temporary is false: trying again at once does not help.
func (r *Refusal) Temporary() bool { return false }

// Hint says what to do, "" when there is nothing.
func (r *Refusal) Hint() string {
	switch r.Reason {
	case policy.ReasonDefault, policy.ReasonInbound, reasonLookup, reasonRebind:
		t, ok := r.Want()
		if !ok {
			return ""
		}
		end := t.Domain
		if end == "" {
			end = t.CIDR.String()
		}
		return fmt.Sprintf("ask the device's owner to allow %s %s port %d", t.Proto, end, r.Port)
	case policy.ReasonDeny:
		return "ask the device's owner why the term is there"
	case policy.ReasonInspect:
		return "use Client.Transport or Dialer.DialTLSContext"
	case policy.ReasonQuarantine, policy.ReasonCutoff:
		return "an incident is open on the device: its owner releases it"
	}
	return ""
}

// Want returns the narrowest term that would allow what was refused, for a
// person to read and approve; ok is false where no term would.
func (r *Refusal) Want() (t api.Term, ok bool) {
	switch r.Reason {
	case policy.ReasonDefault, policy.ReasonInbound, reasonLookup, reasonRebind:
	default:
		return t, false
	}
	t = api.Term{ID: "sdk-wants", Action: api.Allow, Direction: r.Direction, Proto: r.Proto, Why: "asked for by the application", Private: r.Reason == reasonRebind}
	if r.Port != 0 {
		t.Ports = []api.PortRange{{First: r.Port, Last: r.Port}}
	}
	switch {
	case r.Name != "" && r.Direction == api.FromDevice:
		t.Domain = r.Name
	case r.Remote.Addr().IsValid():
		t.CIDR = netip.PrefixFrom(r.Remote.Addr(), r.Remote.Addr().BitLen())
	default:
		return t, false
	}
	if s := r.seen; s != nil && (s.Proto == "http" || s.Proto == "coap") {
		t.Inside = &api.Inside{Proto: s.Proto, Paths: []string{s.Path}, Methods: []string{s.Method}}
	}
	return t, true
}

// refusal makes the error of a verdict.
func (f *inForce) refusal(v policy.Verdict, flow *policy.Flow) *Refusal {
	r := &Refusal{
		Reason: v.Reason, Term: v.Term, Direction: flow.Direction, Proto: flow.Proto, Remote: flow.Remote, Port: flow.Remote.Port(), Generation: f.generation,
	}
	if flow.Direction == api.ToDevice {
		r.Port = flow.Local.Port()
	}
	if len(flow.Names) > 0 {
		r.Name = flow.Names[0]
	}
	if s := flow.Inside; s != nil {
		r.Method, r.Host, r.Path, r.seen = s.Method, s.Host, s.Path, s
	}
	if f.device != nil {
		r.Device, r.Mode = f.device.Device, f.device.Mode
	}
	return r
}
