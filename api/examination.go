package api

import (
	"encoding/json"
	"net/netip"
	"time"

	"github.com/ringwall/ringwall"
)

// ExamKind is the means by which something was found out about a device.
type ExamKind string

// The kinds of examinations.
const (
	ExamNetwork     ExamKind = "network"     // probes asked it
	ExamInline      ExamKind = "inline"      // its traffic was seen
	ExamFirmware    ExamKind = "firmware"    // its image was taken apart
	ExamAgent       ExamKind = "agent"       // it says so itself, signed
	ExamDeclaration ExamKind = "declaration" // a party says so
	ExamLaboratory  ExamKind = "laboratory"  // a laboratory measured it, signed
	ExamIncident    ExamKind = "incident"    // it was seen to take part in an attack
)

// Examination is all that one source found out about one device at one time. A
// device's standing evidence is the newest examination of each source; its grade follows
// from that, the rubric, the profile and the time alone.
type Examination struct {
	ID       ringwall.ExamID    `json:"id,omitempty"`
	Org      ringwall.OrgID     `json:"org,omitempty"`
	Device   ringwall.DeviceID  `json:"device,omitempty"`
	Kind     ExamKind           `json:"kind"`
	Source   string             `json:"source"`           // "probe", "firmware/NAME", "declaration/WHO", "laboratory/NAME", "agent/ID"
	By       string             `json:"by,omitempty"`     // who handed it in
	Tool     string             `json:"tool,omitempty"`   // what made it, with its version
	Digest   string             `json:"digest,omitempty"` // SHA-256 of the raw material, in hex
	Made     time.Time          `json:"made"`
	Until    time.Time          `json:"until,omitzero"` // when it goes stale; zero = as the rubric says
	Identity Identity           `json:"identity,omitzero"`
	Findings []ringwall.Finding `json:"findings"`
	// Services are ports: seen open for probes, started at boot for images,
	// needed for declarations.
	Services   []Service    `json:"services,omitempty"`
	Components []Component  `json:"components,omitempty"`
	Secrets    []SecretMark `json:"secrets,omitempty"`
	Notes      []string     `json:"notes,omitempty"` // what could not be done, and why
	// Signature is the source's own, over the examination without it (JSON as this
	// package writes it). Key names the key; who trusts it is another matter.
	Key       string `json:"key,omitempty"`
	Signature []byte `json:"signature,omitempty"`
}

// Signed returns what a source signs: the examination as JSON without its
// signature, and without what only the platform that keeps it says of it.
func (x Examination) Signed() ([]byte, error) {
	x.ID, x.Org, x.Device, x.By, x.Signature = "", "", "", "", nil
	b, err := json.Marshal(x)
	if err != nil {
		return nil, ringwall.Errorf(ringwall.Invalid, "writing an examination to be signed: %w", err)
	}
	return b, nil
}

// Identity is what a device or an image says it is.
type Identity struct {
	Vendor   string `json:"vendor,omitempty"`
	Model    string `json:"model,omitempty"`
	Firmware string `json:"firmware,omitempty"`
	MAC      string `json:"mac,omitempty"`
	Type     string `json:"type,omitempty"`
	Serial   string `json:"serial,omitempty"`
}

// Component is one piece of software inside an image or device.
type Component struct {
	Name     string   `json:"name"` // as in the fingerprints, such as "busybox"
	Version  string   `json:"version,omitempty"`
	Supplier string   `json:"supplier,omitempty"`
	CPE      string   `json:"cpe,omitempty"`  // 2.3, without the version when unknown
	PURL     string   `json:"purl,omitempty"` // package URL
	Paths    []string `json:"paths,omitempty"`
	Exposed  bool     `json:"exposed,omitempty"` // something that listens uses it
	How      string   `json:"how,omitempty"`     // by which fingerprint it was told
}

// Vulnerability is one known weakness of a component or model, and whether it
// counts here.
type Vulnerability struct {
	ID        string    `json:"id"` // CVE
	Component string    `json:"component"`
	Version   string    `json:"version,omitempty"`
	Severity  string    `json:"severity,omitempty"` // critical, high, medium, low
	Score     float64   `json:"score,omitempty"`    // CVSS base
	KEV       bool      `json:"kev,omitempty"`      // known to be exploited
	Added     time.Time `json:"added,omitzero"`     // to the list of those
	State     VEXState  `json:"state"`
	Why       string    `json:"why,omitempty"` // justification of the state
	Range     string    `json:"range,omitempty"`
}

// VEXState says whether a vulnerability counts (CycloneDX 1.6, analysis.state).
type VEXState string

// States of a vulnerability.
const (
	VEXAffected    VEXState = "exploitable"
	VEXNotAffected VEXState = "not_affected"
	VEXFixed       VEXState = "resolved"
	VEXInTriage    VEXState = "in_triage"
)

// SecretMark tells one secret from another without being it: Mark is a keyed
// hash where the secret could be guessed, a plain one of public keys and
// certificates. The same mark in two images means the same secret in both.
type SecretMark struct {
	Kind  string `json:"kind"` // "password-hash", "private-key", "host-key", "certificate", "token"
	Mark  string `json:"mark"`
	Path  string `json:"path,omitempty"`
	Known string `json:"known,omitempty"` // name of the known default or public test key that it is
}

// Profile names what a device is used for, by which the rubric is applied.
type Profile struct {
	Class string `json:"class"`         // camera, lock, meter, appliance, vehicle, gateway, microcontroller, cloud
	Use   string `json:"use,omitempty"` // consumer, public, production
	SIM   bool   `json:"sim,omitempty"`
}

// Prescription is what a grade demands for a device before it goes online.
type Prescription struct {
	Module     ringwall.Module `json:"module"`
	Capability string          `json:"capability"` // "sim-identity", "sdk-policy", "gateway-policy", "attestation", "update", "guarded-video"
	Because    []string        `json:"because"`    // indicators
	Text       string          `json:"text"`
}

// Remedial is a task that would better a grade, for the party who can do it.
type Remedial struct {
	ID        ringwall.RemedialID `json:"id"` // derived from the device and indicator: the same finding never makes two
	Device    ringwall.DeviceID   `json:"device"`
	Indicator string              `json:"indicator"`
	Party     ringwall.Part       `json:"party"`
	Title     string              `json:"title"`
	Remedy    string              `json:"remedy"`
	Effort    string              `json:"effort"`
	Status    string              `json:"status"` // "open", "doing", "done" (measured to be), "accepted" (a person took the risk)
	// Do names what Ringwall can do itself with one act: "change-password",
	// "close-port", "" for nothing.
	Do      string    `json:"do,omitempty"`
	Target  string    `json:"target,omitempty"` // of Do, such as "tcp/23"
	Opened  time.Time `json:"opened"`
	Updated time.Time `json:"updated,omitzero"`
	Due     time.Time `json:"due,omitzero"`
	Note    string    `json:"note,omitempty"`
}

// Gate is the worst grade with which a device may go online; Ungraded means
// that any may. It is set for an organisation, a gateway or a device.
type Gate struct {
	Worst    ringwall.Grade `json:"worst,omitempty"`
	Ungraded bool           `json:"ungraded,omitempty"` // let what has no grade yet pass
}

// Posture is what the program on a device says of it: no secret, no content of
// files, only state. It is bounded: 256 of each list.
type Posture struct {
	Device    ringwall.DeviceID `json:"device,omitempty"`
	Made      time.Time         `json:"made"`
	Nonce     string            `json:"nonce,omitempty"`
	Kernel    string            `json:"kernel,omitempty"`
	OS        string            `json:"os,omitempty"` // PRETTY_NAME of os-release
	Booted    time.Time         `json:"booted,omitzero"`
	Command   string            `json:"command,omitempty"` // the kernel's, with values of secrets cut
	Listening []Listener        `json:"listening,omitempty"`
	Accounts  []Account         `json:"accounts,omitempty"`
	Mounts    []Mount           `json:"mounts,omitempty"`
	Versions  []Component       `json:"versions,omitempty"`
	Facts     map[string]string `json:"facts,omitempty"` // "secure-boot", "verity", "ima", "lockdown", "tpm", "consoles"
	Unread    []string          `json:"unread,omitempty"`
}

// SignedPosture is a posture as its device signed it. Body is the Posture as
// JSON, byte for byte what the signature covers; internal/posture checks it.
type SignedPosture struct {
	Body      []byte `json:"body"`
	Algorithm string `json:"algorithm"` // "ed25519", "ecdsa-sha256", "rsa-pss-sha256"
	Key       string `json:"key"`       // SHA-256 of the public key (SubjectPublicKeyInfo), in hex
	Signature []byte `json:"signature"`
	// Certificate is the one (DER, without its chain) by which the platform's
	// authority has given Key to an enrolled agent; none in another's posture.
	Certificate []byte `json:"certificate,omitempty"`
}

// PostureState is what came of an agent's postures.
type PostureState struct {
	Made    time.Time `json:"made,omitzero"`     // of the newest that verified; no older one counts
	Refused uint64    `json:"refused,omitempty"` // that did not verify, in all
	Reason  string    `json:"reason,omitempty"`  // of the last refusal; "" once one counts again
	Told    time.Time `json:"told,omitzero"`     // when a refusal was last told
	Nobody  uint64    `json:"nobody,omitempty"`  // that came while the agent was on no device
}

// Listener is one socket that waits for others.
type Listener struct {
	Proto   string         `json:"proto"`
	Addr    netip.AddrPort `json:"addr"`
	Path    string         `json:"path,omitempty"` // of a unix socket, which has no Addr
	Program string         `json:"program,omitempty"`
	UID     int            `json:"uid"` // of the program, or of who made the socket
}

// Account is one of the device's, without its secret.
type Account struct {
	Name   string `json:"name"`
	UID    int    `json:"uid"`
	Shell  string `json:"shell,omitempty"`
	Scheme string `json:"scheme,omitempty"` // "locked", "empty", "des", "md5", "sha256", "sha512", "yescrypt", "bcrypt", "unreadable"
	// Known names the known default that its password is, by number.
	Known string `json:"known,omitempty"`
}

// Mount is one mounted file system.
type Mount struct {
	Path      string `json:"path"`
	Type      string `json:"type"`
	ReadOnly  bool   `json:"readOnly"`
	Encrypted bool   `json:"encrypted,omitempty"`
	Verified  bool   `json:"verified,omitempty"` // dm-verity or the like stands under it
	NoExec    bool   `json:"noExec,omitempty"`
}
