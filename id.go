package ringwall

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"strings"
	"time"
)

// Ids are opaque tokens of the form prefix_XXXXXXXXXXXXXXXXXXXXXXXXXX: lower
// case, no dots, so that they can stand in a NATS subject, a URL path and a
// file name. They never hold a MAC, a host name or an IMSI.
type (
	OrgID      string // an organisation: the tenant
	DeviceID   string
	GatewayID  string
	SIMID      string // our own id of a SIM; its ICCID and IMSI are separate
	AlertID    string
	IncidentID string
	HoldID     string
	EventID    string
	UserID     string
	TokenID    string
	ResponseID string
	AssessID   string
	ExamID     string
	RemedialID string
	TunnelID   string
	GroupID    string
	RolloutID  string
	TemplateID string
	FlowID     string // a flow report in its organisation

	ExceptionID string // from a rule over usage records
	RouteID     string // of warnings to a party
)

// crockford is base32 without the letters that are misread, in lower case.
var crockford = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// NewID returns a fresh id: prefix, then 48 bits of now in milliseconds and 80
// random bits, so that ids made later sort later.
func NewID(prefix string, now time.Time) string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], uint64(now.UnixMilli())<<16)
	if _, err := rand.Read(b[6:]); err != nil {
		panic("ringwall: the system's random source failed: " + err.Error())
	}
	return prefix + "_" + crockford.EncodeToString(b[:])
}

// DeriveID returns the id that belongs to parts: the same parts give the same
// id on every machine, so that a replay repeats nothing. The parts are hashed
// with their lengths; no part can be read back from the id without guessing it.
func DeriveID(prefix string, parts ...string) string {
	h := sha256.New()
	var n [8]byte
	for _, p := range parts {
		binary.BigEndian.PutUint64(n[:], uint64(len(p)))
		h.Write(n[:])
		h.Write([]byte(p))
	}
	return prefix + "_" + crockford.EncodeToString(h.Sum(nil)[:16])
}

// ValidID reports whether s has the form of an id with this prefix.
func ValidID(prefix, s string) bool {
	rest, ok := strings.CutPrefix(s, prefix+"_")
	if !ok || rest == "" || len(rest) > 40 {
		return false
	}
	for _, c := range []byte(rest) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && c != '-' {
			return false
		}
	}
	return true
}

// Prefixes of the ids, one per kind.
const (
	PrefixOrg      = "org"
	PrefixDevice   = "dev"
	PrefixGateway  = "gw"
	PrefixSIM      = "sim"
	PrefixAlert    = "alt"
	PrefixIncident = "inc"
	PrefixHold     = "hld"
	PrefixEvent    = "evt"
	PrefixUser     = "usr"
	PrefixToken    = "tok"
	PrefixResponse = "rsp"
	PrefixAssess   = "asm"
	PrefixExam     = "exm"
	PrefixRemedial = "rem"
	PrefixTunnel   = "tun"
	PrefixGroup    = "grp"
	PrefixRollout  = "rol"
	PrefixTemplate = "tpl"
	PrefixFlow     = "flw"

	PrefixException = "exc"
	PrefixRoute     = "rte"
)
