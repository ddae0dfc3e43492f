package api

import "github.com/ringwall/ringwall"

// DeviceCreate makes a device that is known by its SIM alone, before anything was
// seen of it. Devices with a MAC are not made: their gateway sees them.
type DeviceCreate struct {
	Name string         `json:"name"`
	Type string         `json:"type,omitempty"` // "" = "unknown"
	SIM  ringwall.SIMID `json:"sim"`
	// Gateway is the one that its traffic passes: with a cellular uplink, or at the
	// operator's exit of the APN.
	Gateway ringwall.GatewayID `json:"gateway"`
	// Mode is the one it begins in; nil = as the gateway takes arrivals.
	Mode *ringwall.Mode `json:"mode,omitempty"`
	Use  string         `json:"use,omitempty"` // "consumer", "public", "production"
	Tags []string       `json:"tags,omitempty"`
}
