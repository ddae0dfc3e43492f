package policy

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/ringwall/ringwall/api"
)

// TermText returns a term in one line of words.
func TermText(t *api.Term) string {
	var b strings.Builder
	b.WriteString(string(t.Action))
	who := t
	end := endText(who)
	if t.CIDR.IsValid() {
		end = t.CIDR.String()
		if t.CIDR.Bits() == t.CIDR.Addr().BitLen() {
			end = t.CIDR.Addr().String()
		}
	}
	switch t.Direction {
	case api.ToDevice:
		fmt.Fprintf(&b, " %s from %s", t.Proto, end)
	default:
		fmt.Fprintf(&b, " %s to %s", t.Proto, end)
	}
	if len(t.Ports) > 0 {
		b.WriteString(" on port " + PortsText(t.Ports))
	}
	if t.Inside != nil {
		b.WriteString(", inside " + insideText(t.Inside))
	}
	if t.Window != nil {
		b.WriteString(", " + WindowText(t.Window))
	}
	if t.Who != nil {
		if t.Who.UID != nil {
			fmt.Fprintf(&b, ", by user %d", *t.Who.UID)
		}
		if t.Who.Cgroup != "" {
			b.WriteString(", by cgroup " + t.Who.Cgroup)
		}
	}
	if t.Limit != nil {
		b.WriteString(", up to " + LimitText(t.Limit))
	}
	return b.String()
}

// PortsText returns ranges of ports as people write them.
func PortsText(ports []api.PortRange) string {
	if len(ports) == 0 {
		return "any"
	}
	var out []string
	for _, r := range ports {
		s := strconv.Itoa(int(r.First))
		if r.Last != r.First {
			s += "-" + strconv.Itoa(int(r.Last))
		}
		out = append(out, s)
	}
	return strings.Join(out, ",")
}

// WindowText returns a window in words.
func WindowText(w *api.Window) string {
	days, zone := "every day", "UTC"
	if len(w.Days) > 0 {
		days = strings.Join(w.Days, ",")
	}
	if w.Zone != "" {
		zone = w.Zone
	}
	return days + " " + w.From + "-" + w.To + " " + zone
}

// LimitText returns a limit in words.
func LimitText(l *api.Limit) string {
	var out []string
	for _, x := range []struct {
		n    uint64
		what string
	}{{l.PacketRate, "packets a second"}, {l.ByteRate, "bytes a second"}, {l.NewFlows, "new flows a second"}, {l.Flows, "flows at once"}, {l.Quota, "bytes each " + l.Per}} {
		if x.n > 0 {
			out = append(out, strconv.FormatUint(x.n, 10)+" "+x.what)
		}
	}
	return strings.Join(out, ", ")
}

func insideText(in *api.Inside) string {
	out := in.Proto
	if len(in.Methods) > 0 {
		out += " " + strings.Join(in.Methods, ",")
	}
	if len(in.Hosts) > 0 {
		out += " of " + strings.Join(in.Hosts, ",")
	}
	if in.NameOptional {
		out += " or no name"
	}
	if len(in.Paths) > 0 {
		out += " " + strings.Join(in.Paths, ",")
	}
	if in.MinTLS != "" {
		out += " with TLS " + in.MinTLS + " or later"
	}
	return out
}

func seenText(s *Seen) string {
	if s.Proto == "" {
		return "nothing that is understood"
	}
	out := s.Proto
	for _, part := range []string{s.Method, s.Host, s.Path} {
		if part != "" {
			out += " " + short(part)
		}
	}
	if s.ECH {
		out += " with a hidden name"
	}
	if s.TLS != 0 {
		out += fmt.Sprintf(" TLS %#04x", s.TLS)
	}
	return out
}
