package shell

import (
	"strings"
)

// Section is one section of a configuration of OpenWrt (UCI).
type Section struct {
	Type, Name string
	Options    map[string]string // lists are joined with spaces
}

// ParseUCI reads a configuration file of OpenWrt. Lines that it does not know
// are passed over.
func ParseUCI(text string) []Section {
	var out []Section
	for line := range strings.Lines(text) {
		f := uciWords(line)
		if len(f) == 0 || len(out) > 1000 {
			continue
		}
		switch f[0] {
		case "config":
			if len(f) >= 2 {
				s := Section{Type: f[1], Options: map[string]string{}}
				if len(f) >= 3 {
					s.Name = f[2]
				}
				out = append(out, s)
			}
		case "option", "list":
			if len(out) == 0 || len(f) < 3 {
				continue
			}
			o := out[len(out)-1].Options
			if old := o[f[1]]; f[0] == "list" && old != "" && len(old) < maxValue {
				o[f[1]] = old + " " + f[2]
			} else {
				o[f[1]] = f[2]
			}
		}
	}
	return out
}

// uciWords splits a line at blanks outside quotes; # begins a comment.
func uciWords(line string) []string {
	var out []string
	var b strings.Builder
	var quote byte
	in := false
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case quote != 0:
			if c == quote {
				quote = 0
			} else {
				b.WriteByte(c)
			}
		case c == '\'' || c == '"':
			quote, in = c, true
		case c == '#' && !in:
			return out
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			if in {
				out = append(out, b.String())
				b.Reset()
				in = false
			}
		default:
			b.WriteByte(c)
			in = true
		}
	}
	if in {
		out = append(out, b.String())
	}
	return out
}

// uci answers the functions with which OpenWrt's scripts read configurations.
func (t *Tracer) uci(s *scope, name string, args []string) (Truth, flow, bool) {
	switch {
	case name == "config_load" && len(args) == 1:
		s.config = nil
		text, ok := t.Host.Text("/etc/config/" + args[0])
		if !ok {
			return False, next, true
		}
		s.config = ParseUCI(text)
		for i := range s.config {
			if s.config[i].Name == "" {
				s.config[i].Name = "cfg" + itoa(i)
			}
		}
		return True, next, true
	case name == "config_foreach" && len(args) >= 1:
		for _, sec := range s.config {
			f, ok := s.funcs[args[0]]
			if !ok || len(args) > 1 && sec.Type != args[1] {
				continue
			}
			rest := []string{sec.Name}
			if len(args) > 2 {
				rest = append(rest, args[2:]...)
			}
			t.function(s, f, rest)
		}
		return True, next, true
	case len(args) >= 3:
		v := ""
		if len(args) > 3 {
			v = args[3]
		}
		for _, sec := range s.config {
			if got, ok := sec.Options[args[2]]; ok && sec.Name == args[1] {
				v = got
			}
		}
		if name == "config_get_bool" {
			switch v {
			case "on", "true", "yes", "enabled":
				v = "1"
			case "off", "false", "no", "disabled":
				v = "0"
			}
		}
		s.vars[args[0]] = v
		return True, next, true
	}
	return Maybe, next, true
}
