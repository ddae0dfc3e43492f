package enforce

import (
	"reflect"
	"slices"
	"strconv"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// site is what terms of a document stand on beside the terms themselves.
type site struct {
	roles   map[string]api.Controller
	makers  map[ringwall.DeviceID]string
	present []ringwall.DeviceID
}

func newSite(d api.Desired) site {
	s := site{roles: map[string]api.Controller{}, makers: map[ringwall.DeviceID]string{}}
	for _, c := range d.Controllers {
		s.roles[c.Role] = c
	}
	for _, dev := range d.Devices {
		s.makers[dev.Device] = dev.Maker
		s.present = append(s.present, dev.Device)
	}
	return s
}

// Keys of sameRoles that are no roles.
const (
	keyMakers  = "\x00makers"
	keyPresent = "\x00present"
)

// sameRoles says of which roles, and of which of the keys above, two documents
// hold the same.
func sameRoles(a, b site) map[string]bool {
	out := map[string]bool{keyMakers: reflect.DeepEqual(a.makers, b.makers), keyPresent: slices.Equal(a.present, b.present)}
	for role, c := range a.roles {
		o, ok := b.roles[role]
		out[role] = ok && reflect.DeepEqual(c, o)
	}
	return out
}

// expand writes out terms that speak of a role, of makers or of whoever is
// behind the gateway, wherever the other document means others by it.
func (s site) expand(terms []api.Term, self ringwall.DeviceID, same map[string]bool) []api.Term {
	out := make([]api.Term, 0, len(terms))
	for _, t := range terms {
		switch {
		case t.Controller != "" && !same[t.Controller]:
			c := s.roles[t.Controller]
			for i, p := range c.Nets {
				x := part(t, "net", i)
				x.CIDR = p
				out = append(out, x)
			}
			for i, n := range c.Domains {
				x := part(t, "name", i)
				x.Domain = n
				out = append(out, x)
			}
			for i, d := range c.Devices {
				x := part(t, "dev", i)
				x.Device = d
				out = append(out, x)
			}
		case t.SameMaker && !same[keyMakers]:
			for i, d := range s.present {
				if m := s.makers[self]; m != "" && s.makers[d] == m {
					x := part(t, "dev", i)
					x.Device = d
					out = append(out, x)
				}
			}
		case t.Local && !same[keyPresent]:
			for i, d := range s.present {
				x := part(t, "dev", i)
				x.Device = d
				out = append(out, x)
			}
		default:
			out = append(out, t)
		}
	}
	return out
}

// part is t without its other end, under an id of its own.
func part(t api.Term, what string, i int) api.Term {
	t.ID += "/" + what + strconv.Itoa(i)
	t.Controller, t.SameMaker, t.Local = "", false, false
	return t
}
