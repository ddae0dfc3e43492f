package platform

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/policy"
)

// maxChanges bounds what of a change is told.
const maxChanges = 200

// changeOf tells what a change of terms is about: in English, and in parts for
// those who say it in other words.
func changeOf(d policy.Changes, at time.Time) api.PolicyChange {
	c := api.PolicyChange{Allows: changeTexts(d.Allowed), Refuses: changeTexts(d.Refused), Flows: []api.FlowRow{}, From: at.UTC()}
	for _, x := range []struct {
		allows bool
		list   []policy.Change
	}{{true, d.Allowed}, {false, d.Refused}} {
		for _, l := range x.list[:min(len(x.list), maxChanges)] {
			c.Lines = append(c.Lines, changeLine(l, x.allows))
		}
		c.More += max(0, len(x.list)-maxChanges)
	}
	return c
}

// changeLine takes apart what package policy says in words: the forms of
// policy.Change.End are part of what it promises.
func changeLine(c policy.Change, allows bool) api.ChangeLine {
	l := api.ChangeLine{Allows: allows, Direction: c.Direction, Proto: c.Proto, Ports: c.Ports, Deny: c.Other}
	rest := c.End
	for _, over := range []string{"IPv4", "IPv6"} {
		if r, ok := strings.CutSuffix(rest, " over "+over); ok {
			rest, l.Over = r, over
		}
	}
	kind, value, _ := strings.Cut(rest, " ")
	switch {
	case kind == "name", kind == "device", kind == "controller":
		l.Kind, l.Value = kind, value
	case rest == "local", rest == "gateway":
		l.Kind = rest
	case rest == "same maker":
		l.Kind = "samemaker"
	default:
		l.Kind, l.Value = "address", rest
	}
	if c.When != "" {
		var w api.Condition
		if json.Unmarshal([]byte(c.When), &w) == nil {
			l.When = &w
		}
	}
	return l
}

// changeTexts says in words what a change is about.
func changeTexts(cs []policy.Change) []string {
	out := []string{}
	for _, c := range cs {
		if len(out) == maxChanges {
			return append(out, fmt.Sprintf("and %d more", len(cs)-maxChanges))
		}
		ports := ""
		for i, p := range c.Ports {
			if i > 0 {
				ports += ","
			}
			if ports += strconv.Itoa(int(p.First)); p.Last != p.First {
				ports += "-" + strconv.Itoa(int(p.Last))
			}
		}
		service := c.Proto
		if ports != "" {
			service += "/" + ports
		}
		arrow := "→ "
		if c.Direction == api.ToDevice {
			arrow = "← "
		}
		out = append(out, strings.TrimSpace(arrow+c.End+" "+service+" "+c.When))
	}
	return out
}
