package enforce

import (
	"net"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// Bounds of a desired state, far above what a gateway can carry.
const (
	maxDevices = 100_000
	maxTerms   = 10_000 // of one device
)

// Check checks the form of a desired state: that ids, marks and bindings are
// what they should be and unique. What terms mean is for package policy to
// check. The error has code Invalid.
func Check(d api.Desired) error {
	if len(d.Devices) > maxDevices || len(d.Holds) > maxHolds || len(d.Releases) > maxHolds || len(d.Remediation) > maxTerms {
		return ringwall.Errorf(ringwall.Invalid, "desired state has %d devices, %d holds, %d releases: over the limits", len(d.Devices), len(d.Holds), len(d.Releases))
	}
	if d.Arrival > ringwall.Enforce {
		return ringwall.Errorf(ringwall.Invalid, "desired state has arrival mode %s", d.Arrival)
	}
	ids := map[ringwall.DeviceID]bool{}
	marks := map[uint32]ringwall.DeviceID{}
	for _, dev := range d.Devices {
		if err := checkDevice(dev); err != nil {
			return err
		}
		if ids[dev.Device] {
			return ringwall.Errorf(ringwall.Invalid, "desired state names device %q twice", dev.Device)
		}
		if other, ok := marks[dev.Mark]; ok {
			return ringwall.Errorf(ringwall.Invalid, "devices %q and %q have the same mark %d", other, dev.Device, dev.Mark)
		}
		ids[dev.Device], marks[dev.Mark] = true, dev.Device
	}
	for _, h := range d.Holds {
		if !ringwall.ValidID(ringwall.PrefixHold, string(h.ID)) || h.Do == ringwall.Unrestricted || h.Do > ringwall.Cutoff {
			return ringwall.Errorf(ringwall.Invalid, "desired state has hold %.60q that does %q", h.ID, h.Do)
		}
	}
	for _, r := range d.Reflexes {
		if r.Rule == "" || r.Do > ringwall.Cutoff || r.Expiry < 0 {
			return ringwall.Errorf(ringwall.Invalid, "desired state has a reflex on rule %.60q that does %q for %s", r.Rule, r.Do, time.Duration(r.Expiry))
		}
	}
	return nil
}

func checkDevice(d api.DevicePolicy) error {
	switch {
	case !ringwall.ValidID(ringwall.PrefixDevice, string(d.Device)):
		return ringwall.Errorf(ringwall.Invalid, "desired state names device %.60q, which is no id", d.Device)
	case d.Mark == 0:
		return ringwall.Errorf(ringwall.Invalid, "device %q has mark 0", d.Device)
	case d.Mode > ringwall.Enforce || d.Trust > ringwall.T4:
		return ringwall.Errorf(ringwall.Invalid, "device %q has mode %s and trust %s", d.Device, d.Mode, d.Trust)
	case len(d.Terms) > maxTerms:
		return ringwall.Errorf(ringwall.Invalid, "device %q has %d terms, the limit is %d", d.Device, len(d.Terms), maxTerms)
	case len(d.Binding.Subscriber) > 64:
		return ringwall.Errorf(ringwall.Invalid, "device %q is bound to a subscriber of %d bytes", d.Device, len(d.Binding.Subscriber))
	case d.Binding.Subscriber != "" && d.Binding.MAC == "":
		return nil // its address comes with its SIM
	case !d.Binding.IP.IsValid():
		return ringwall.Errorf(ringwall.Invalid, "device %q is bound to no address", d.Device)
	}
	mac, err := net.ParseMAC(d.Binding.MAC)
	if err != nil || len(mac) != 6 || mac.String() != d.Binding.MAC {
		return ringwall.Errorf(ringwall.Invalid, "device %q is bound to MAC %.40q, want six bytes in lower case with colons", d.Device, d.Binding.MAC)
	}
	return nil
}
