package assess

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// Capabilities that a device can be given, or that can be put before it.
const (
	CapSIMIdentity   = "sim-identity"   // an identity in its SIM
	CapDeviceKey     = "device-key"     // a key of its own, in hardware
	CapSDKPolicy     = "sdk-policy"     // its policy enforced on the device
	CapGatewayPolicy = "gateway-policy" // its policy enforced by a gateway before it
	CapAttestation   = "attestation"    // proof of what runs
	CapUpdate        = "update"         // signed updates that reach it
	CapGuardedVideo  = "guarded-video"  // video only by way of a gateway that asks who watches
)

// capability resolves what an indicator gives to what this device can have.
func (r *Rubric) capability(gives string, gateway bool) string {
	switch {
	case gives == "identity" && r.Profile.SIM:
		return CapSIMIdentity
	case gives == "identity":
		return CapDeviceKey
	case gives == "guarded-video" && r.Apart("AP-04"):
		gives = "policy" // no video to guard
	}
	switch {
	case gives == "policy" && gateway:
		return CapGatewayPolicy
	case gives == "policy":
		return CapSDKPolicy
	}
	return gives
}

func capabilityText(c string) string {
	switch c {
	case CapSIMIdentity:
		return "an identity in its SIM, by which operator and platform know it"
	case CapDeviceKey:
		return "a key of its own that does not leave the device, and a certificate for it"
	case CapSDKPolicy:
		return "the SDK on the device, which allows only what its purpose needs"
	case CapGatewayPolicy:
		return "a gateway before it, which allows only what its purpose needs"
	case CapAttestation:
		return "attestation of what it booted and runs"
	case CapUpdate:
		return "signed updates that reach it, and the newest one now"
	case CapGuardedVideo:
		return "video only by way of a gateway that encrypts it and asks who watches"
	}
	return c
}

// Prescribe says what a device must be given because of what failed, by module
// and capability, in the rubric's order: every module with an indicator that
// failed, wholly or in part, names at least one. r is the rubric as it was
// graded by (For). The supervision that the grade demands until then is part
// of each text. A device whose gateway is not there needs the SDK.
func Prescribe(r *Rubric, res Result, gateway bool) []api.Prescription {
	var out []api.Prescription
	watch := Supervise(res).Text()
	for i := range res.Settled {
		f := &res.Settled[i]
		n, ok := r.index[f.Indicator]
		if !ok || r.rank(f) <= said && f.Outcome != ringwall.Fail || f.Outcome != ringwall.Fail && f.Outcome != ringwall.Partial {
			continue
		}
		in := r.Indicators[n]
		if in.Gives == "" || r.Apart(in.ID) && f.Outcome != ringwall.Fail {
			continue
		}
		c := r.capability(in.Gives, gateway)
		k := slices.IndexFunc(out, func(p api.Prescription) bool { return p.Module == in.Module && p.Capability == c })
		if k < 0 {
			out, k = append(out, api.Prescription{Module: in.Module, Capability: c}), len(out)
		}
		out[k].Because = append(out[k].Because, in.ID)
	}
	for i := range out {
		p := &out[i]
		p.Text = fmt.Sprintf("its %s needs %s (%s); until then: %s", p.Module, capabilityText(p.Capability), strings.Join(p.Because, ", "), watch)
	}
	return out
}
