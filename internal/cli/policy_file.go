package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/policy"
	"github.com/ringwall/ringwall/internal/policy/zones"
)

// maxPolicyFile bounds a policy file, in bytes.
const maxPolicyFile = api.MaxDesired + 8<<20

// loneDevice is a policy file about one device.
type loneDevice struct {
	api.DevicePolicy
	// The two whose absence means something else than their zero value.
	Mode  *ringwall.Mode  `json:"mode"`
	Trust *ringwall.Trust `json:"trust"`

	Remediation []api.Term       `json:"remediation"`
	Controllers []api.Controller `json:"controllers"`
	Zones       []api.Zone       `json:"zones"`
	LocalNets   []netip.Prefix   `json:"localNets"`
}

// readPolicy reads a policy file, JSON or YAML: a desired state, one as the
// platform signed it (whose signature is not looked at), the policy of one
// device, or a list of terms. Windows in zones that the file does not carry get
// them from the program's own time zone data.
func readPolicy(env Env, name string) (api.Desired, error) {
	b, err := readAll(env, name, maxPolicyFile)
	if err != nil {
		return api.Desired{}, err
	}
	d, err := parsePolicy(b)
	if err != nil {
		return api.Desired{}, ringwall.Errorf(ringwall.Invalid, "%s: %w", name, err)
	}
	if err := addZones(&d, env.Now()); err != nil {
		return api.Desired{}, ringwall.Errorf(ringwall.Invalid, "%s: %w", name, err)
	}
	return d, nil
}

// readAll reads a file, or standard input for "-".
func readAll(env Env, name string, most int64) ([]byte, error) {
	in := env.Stdin
	if name != "-" {
		f, err := openInput(name)
		if err != nil {
			return nil, err
		}
		defer f.Close() // it was only read
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, most+1))
	if err != nil {
		return nil, ringwall.Errorf(ringwall.Unavailable, "reading %q: %w", name, err)
	}
	if int64(len(b)) > most {
		return nil, ringwall.Errorf(ringwall.Invalid, "%s has more than %d bytes", name, most)
	}
	return b, nil
}

func parsePolicy(b []byte) (api.Desired, error) {
	b, err := asJSON(b)
	if err != nil {
		return api.Desired{}, err
	}
	if bytes.HasPrefix(b, []byte("[")) {
		var l loneDevice
		if err := strictJSON(b, &l.Terms); err != nil {
			return api.Desired{}, err
		}
		return alone(l), nil
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(b, &members); err != nil {
		return api.Desired{}, ringwall.Errorf(ringwall.Invalid, "neither an object nor a list of terms: %w", err)
	}
	switch {
	case members["payload"] != nil:
		var s api.Signed
		if err := strictJSON(b, &s); err != nil {
			return api.Desired{}, err
		}
		var d api.Desired
		err := strictJSON(s.Payload, &d)
		return d, err
	case members["devices"] != nil:
		var d api.Desired
		err := strictJSON(b, &d)
		return d, err
	}
	var l loneDevice
	if err := strictJSON(b, &l); err != nil {
		return api.Desired{}, err
	}
	return alone(l), nil
}

// alone is the desired state of a gateway with one device.
func alone(l loneDevice) api.Desired {
	p := l.DevicePolicy
	p.Mode, p.Trust = ringwall.Enforce, ringwall.T3
	if l.Mode != nil {
		p.Mode = *l.Mode
	}
	if l.Trust != nil {
		p.Trust = *l.Trust
	}
	if p.Device == "" {
		p.Device = "dev_file"
	}
	if p.Mark == 0 {
		p.Mark = 1
	}
	if p.Binding.MAC == "" && p.Binding.Subscriber == "" {
		p.Binding.MAC = "02:00:00:00:00:01"
	}
	if !p.Binding.IP.IsValid() {
		p.Binding.IP = netip.AddrFrom4([4]byte{10, 77, 0, 10})
	}
	return api.Desired{
		Version: api.Version, Arrival: ringwall.Enforce, LocalNets: l.LocalNets, Remediation: l.Remediation, Controllers: l.Controllers, Zones: l.Zones,
		Devices: []api.DevicePolicy{p},
	}
}

func addZones(d *api.Desired, now time.Time) error {
	names := zones.Named(d.Remediation)
	for i := range d.Devices {
		names = append(names, zones.Named(d.Devices[i].Terms)...)
	}
	names = slices.DeleteFunc(names, func(n string) bool {
		return slices.ContainsFunc(d.Zones, func(z api.Zone) bool { return z.Name == n })
	})
	found, err := zones.For(now, names)
	if err != nil {
		return err
	}
	d.Zones = append(d.Zones, found...)
	return nil
}

// asJSON returns a document that may be YAML as JSON. What begins like JSON is
// JSON.
func asJSON(b []byte) ([]byte, error) {
	b = bytes.TrimSpace(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf")))
	if len(b) == 0 {
		return nil, ringwall.Errorf(ringwall.Invalid, "the document is empty")
	}
	if b[0] == '{' || b[0] == '[' {
		return b, nil
	}
	dec := yaml.NewDecoder(bytes.NewReader(b)) // it bounds what aliases expand to
	var doc, more any
	if err := dec.Decode(&doc); err != nil {
		return nil, ringwall.Errorf(ringwall.Invalid, "%s", strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, ringwall.Errorf(ringwall.Invalid, "more than one document")
	}
	out, err := json.Marshal(doc)
	if err != nil {
		return nil, ringwall.Errorf(ringwall.Invalid, "what YAML says there has no form in JSON: %w", err)
	}
	return out, nil
}

// strictJSON reads one JSON value and refuses members that are not known.
func strictJSON(b []byte, to any) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(to); err != nil {
		return ringwall.Errorf(ringwall.Invalid, "%s", strings.TrimPrefix(err.Error(), "json: "))
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return ringwall.Errorf(ringwall.Invalid, "there is more than one value")
	}
	return nil
}

// deviceOf returns the one device that a file is about, or the
// one that is named.
func deviceOf(d *api.Desired, name string) (*api.DevicePolicy, error) {
	if name == "" && len(d.Devices) == 1 {
		return &d.Devices[0], nil
	}
	var known []string
	for i := range d.Devices {
		if string(d.Devices[i].Device) == name {
			return &d.Devices[i], nil
		}
		if len(known) < 10 {
			known = append(known, string(d.Devices[i].Device))
		}
	}
	if name == "" {
		return nil, usagef("the file is about %d devices: say which with --device (%s)", len(d.Devices), strings.Join(known, ", "))
	}
	return nil, ringwall.Errorf(ringwall.NotFound, "the file has no device %q (it has %s)", name, strings.Join(known, ", "))
}

// fileFlow is one flow as a file of JSON lines has it.
type fileFlow struct {
	Device       ringwall.DeviceID `json:"device"`
	Direction    api.Direction     `json:"direction"`
	Local        string            `json:"local"`
	Remote       string            `json:"remote"`
	Proto        string            `json:"proto"`
	Port         uint16            `json:"port"` // in place of that of remote or local
	Name         string            `json:"name"`
	Names        []string          `json:"names"`
	RemoteDevice ringwall.DeviceID `json:"remoteDevice"`
	Gateway      bool              `json:"gateway"`
	At           time.Time         `json:"at"`
	End          time.Time         `json:"end"`
	Inside       *policy.Seen      `json:"inside"`
	Program      *policy.Process   `json:"program"`
	// For learning.
	Verdict string `json:"verdict"` // "allowed", "refused", "would-refuse"
	Flows   uint64 `json:"flows"`
	Bytes   uint64 `json:"bytes"`
}

// flow returns the flow that a line describes; devices tell which addresses are
// devices behind the gateway.
func (l *fileFlow) flow(now time.Time, devices []api.DevicePolicy) (policy.Flow, error) {
	f := policy.Flow{Direction: l.Direction, Proto: l.Proto, Names: l.Names, RemoteDevice: l.RemoteDevice, Gateway: l.Gateway, At: l.At, Inside: l.Inside, Program: l.Program}
	if f.Direction == "" {
		f.Direction = api.FromDevice
	}
	if f.Direction != api.FromDevice && f.Direction != api.ToDevice {
		return f, ringwall.Errorf(ringwall.Invalid, "direction %q is neither from nor to", f.Direction)
	}
	if f.Proto == "" {
		f.Proto = "tcp"
	}
	if l.Name != "" {
		f.Names = append(f.Names, l.Name)
	}
	if f.At.IsZero() {
		f.At = now
	}
	var err error
	if f.Remote, err = endpoint(l.Remote); err != nil {
		return f, err
	}
	if f.Local, err = endpoint(l.Local); err != nil {
		return f, err
	}
	if l.Port != 0 && f.Direction == api.FromDevice {
		f.Remote = netip.AddrPortFrom(f.Remote.Addr(), l.Port)
	} else if l.Port != 0 {
		f.Local = netip.AddrPortFrom(f.Local.Addr(), l.Port)
	}
	if !f.Remote.Addr().IsValid() && len(f.Names) > 0 {
		// A name that was not resolved yet: any address will do that no term means.
		f.Remote = netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, 255}), f.Remote.Port())
	}
	for i := range devices {
		a := f.Remote.Addr().Unmap()
		if d := &devices[i]; f.RemoteDevice == "" && a.IsValid() && (d.Binding.IP == a || slices.Contains(d.IP6, a)) {
			f.RemoteDevice = d.Device
		}
	}
	if f.Inside != nil {
		if p, ok := policy.CanonicalPath(f.Inside.Path); ok && f.Inside.Proto != "mqtt" {
			f.Inside.Path = p
		}
	}
	return f, nil
}

// endpoint reads "address:port", "address" or "".
func endpoint(s string) (netip.AddrPort, error) {
	if s == "" {
		return netip.AddrPort{}, nil
	}
	if a, err := netip.ParseAddrPort(s); err == nil {
		return a, nil
	}
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.AddrPortFrom(a, 0), nil
	}
	return netip.AddrPort{}, ringwall.Errorf(ringwall.Invalid, "%q is no address and port", s)
}

// lineOf names a place in an error.
func lineOf(name string, line int, err error) error {
	return ringwall.Errorf(ringwall.Invalid, "%s: line %d: %w", name, line, err)
}

// printJSON writes one value as JSON, indented.
func printJSON(w io.Writer, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return ringwall.Errorf(ringwall.Internal, "writing JSON: %w", err)
	}
	_, err = fmt.Fprintf(w, "%s\n", b)
	return err
}
