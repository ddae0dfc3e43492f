package api

import (
	"time"

	"github.com/ringwall/ringwall"
)

// EnrolRequest asks for a gateway's identity: POST /v1/enrol. The token can be
// used once; the private key never leaves the gateway.
type EnrolRequest struct {
	Token string `json:"token"`
	CSR   string `json:"csr"` // PEM; its names are ignored, the platform sets them
	Name  string `json:"name,omitempty"`
	// Serial is the machine's own number, by which a manifest knows it.
	Serial string `json:"serial,omitempty"`
}

// EnrolAnswer is what a gateway needs from then on.
type EnrolAnswer struct {
	Org         ringwall.OrgID     `json:"org"`
	Gateway     ringwall.GatewayID `json:"gateway"`
	Certificate string             `json:"certificate"` // PEM chain, leaf first
	CA          string             `json:"ca"`          // PEM, verifies the spine
	Spine       []string           `json:"spine"`       // addresses, "tls://host:port"
	SigningKeys map[string][]byte  `json:"signingKeys"` // key id -> Ed25519 public key, for desired states
	// MQTT lists the addresses of the platform's MQTT door, "mqtts://host:port"; none
	// where it has none.
	MQTT []string `json:"mqtt,omitempty"`
}

// Subjects on the spine. Tokens are our own ids.
func ReportSubject(org ringwall.OrgID, gw ringwall.GatewayID) string {
	return subject(org, gw, "report")
}

// DesiredSubject is where a gateway asks for its desired state: the request is
// a DesiredRequest, the answer a DesiredAnswer.
func DesiredSubject(org ringwall.OrgID, gw ringwall.GatewayID) string {
	return subject(org, gw, "desired")
}

// PokeSubject is where a gateway hears that there is a newer generation. The
// payload is the generation in decimal.
func PokeSubject(org ringwall.OrgID, gw ringwall.GatewayID) string { return subject(org, gw, "poke") }

func subject(org ringwall.OrgID, gw ringwall.GatewayID, leaf string) string {
	return "rw." + string(org) + ".gw." + string(gw) + "." + leaf
}

// DesiredRequest says which generation the gateway holds.
type DesiredRequest struct {
	Version int    `json:"version"`
	Have    uint64 `json:"have"`
	// CSR asks for a new certificate before the old one ends, as in
	// EnrolRequest; the connection's own certificate is the credential.
	CSR string `json:"csr,omitempty"`
}

// DesiredAnswer holds the document, or nothing when Have is the newest.
type DesiredAnswer struct {
	Signed *Signed `json:"signed,omitempty"`
	Error  string  `json:"error,omitempty"`
	// Renewed answers a CSR. It may bring other spine addresses and signing keys.
	Renewed *EnrolAnswer `json:"renewed,omitempty"`
	// Time is the clock of the platform when it answered.
	Time time.Time `json:"time,omitzero"`
}
