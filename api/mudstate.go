package api

import (
	"time"

	"github.com/ringwall/ringwall"
)

// MUDState is what is known of a device's usage description (RFC 8520).
type MUDState struct {
	Device ringwall.DeviceID `json:"device"`
	URL    string            `json:"url,omitempty"`
	From   string            `json:"from"` // who named the URL: "device", or "owner"; "file" when the file was handed in
	// Status is "waiting" (to be fetched), "failed" (Error says why), "proposed"
	// (nothing of it is in force), "narrow" (in force as far as it narrows),
	// "approved" (in force, what it adds included), "declined".
	Status  string    `json:"status"`
	Error   string    `json:"error,omitempty"`
	Noticed time.Time `json:"noticed"`
	Fetched time.Time `json:"fetched,omitzero"`
	Next    time.Time `json:"next,omitzero"` // when it is fetched again
	// Signature is what is known of the signature of the newest file, with the roots
	// that are trusted now: "valid", "invalid" (it does not hold, or its signer may not
	// sign, or not any more), "unknown-signer" (no trusted root vouches for who signed
	// it), "unsigned", or "unchecked" (it could not be got or read). Reason says why it
	// is not valid, Root who vouches for it when it is.
	Signature string `json:"signature,omitempty"`
	Signer    string `json:"signer,omitempty"`
	Root      string `json:"root,omitempty"`
	Reason    string `json:"reason,omitempty"`
	// NamedSigner is who must have signed it, as the device's certificate names it
	// (RFC 8520 section 11); "" = it names none, or is not known.
	NamedSigner string `json:"namedSigner,omitempty"`
	// ForceSignature and ForceSigner are those of the file that is in force.
	ForceSignature string `json:"forceSignature,omitempty"`
	ForceSigner    string `json:"forceSigner,omitempty"`
	Digest         string `json:"digest,omitempty"` // SHA-256 of the newest file, hex
	Maker          string `json:"maker,omitempty"`  // the authority of its URL, as same-manufacturer compares
	Model          string `json:"model,omitempty"`
	Info           string `json:"info,omitempty"`
	// Supported is false when its maker says that the device gets no more updates.
	Supported bool   `json:"supported"`
	Terms     []Term `json:"terms"`
	// Notes tell what could not be taken as it stands, and what of it no gateway
	// enforces; Remarks are the same, for other languages.
	Notes   []string `json:"notes,omitempty"`
	Remarks []Said   `json:"remarks,omitempty"`
	// Changed tells what a newer file would change against what is in force; it waits
	// for a decision.
	Changed *PolicyChange `json:"changed,omitempty"`
	// Pending are the terms of that newer file.
	Pending []Term `json:"pending,omitempty"`
	// Narrowed is when a newer file that only takes away came into force by itself.
	Narrowed time.Time `json:"narrowed,omitzero"`
	// Told is another URL that the device tells since; Kept is one that a person has
	// decided not to follow.
	Told string `json:"told,omitempty"`
	Kept string `json:"kept,omitempty"`
	// Waits tells for what it waits for a person: see Asks.
	Waits   []string  `json:"waits,omitempty"`
	By      string    `json:"by,omitempty"` // who decided
	Decided time.Time `json:"decided,omitzero"`
}

// Reasons for which a description waits for a person.
const (
	MUDProposed  = "proposed"  // nothing of it is in force yet
	MUDChanged   = "changed"   // a newer file would allow what the one in force does not, or was not to come into force by itself
	MUDTold      = "told"      // the device tells another URL than before
	MUDSignature = "signature" // the signature of what is in force does not hold any more
)

// InForce reports whether anything of a description is.
func (m *MUDState) InForce() bool { return m.Status == "narrow" || m.Status == "approved" }

// Asks tells for what a description waits for a person.
func (m *MUDState) Asks() []string {
	var out []string
	for _, x := range []struct {
		is  bool
		why string
	}{
		{m.Status == "proposed", MUDProposed}, {m.Changed != nil, MUDChanged}, {m.Told != "", MUDTold},
		{m.InForce() && m.Changed == nil && m.Signature == "invalid", MUDSignature},
	} {
		if x.is {
			out = append(out, x.why)
		}
	}
	return out
}

// MUDPut names a URL, or hands a file in, or the device's own certificate.
type MUDPut struct {
	URL  string `json:"url,omitempty"`
	File []byte `json:"file,omitempty"`
	// Signature is the detached CMS signature of the file, where there is one.
	Signature []byte `json:"signature,omitempty"`
	// Certificate is the one that the maker gave the device, in PEM or DER: it may name
	// the URL, and who signs the description. That it is the device's is the word of
	// whoever hands it in.
	Certificate []byte `json:"certificate,omitempty"`
}

// MUDDecision is "narrow", "approve", "decline" (of a newer file: it alone),
// "refresh" (fetch it now), or "keep" (do not follow the other URL that the device
// tells).
type MUDDecision struct {
	Decision string `json:"decision"`
}

// MUDPreview tells what a description would do before it is decided on.
type MUDPreview struct {
	State MUDState `json:"state"` // as it would be kept; nothing is
	// Narrow and Approve tell what each decision would change in what the device may do.
	Narrow  PolicyChange `json:"narrow"`
	Approve PolicyChange `json:"approve"`
}

// MUDTask is a description that waits for a person.
type MUDTask struct {
	Name  string   `json:"name"` // of the device
	State MUDState `json:"state"`
}

// MUDSettings say whose signatures of usage descriptions are trusted.
type MUDSettings struct {
	// Roots are the organisation's own, certificates in PEM.
	Roots string `json:"roots,omitempty"`
	// Ask makes a newer file that only takes away wait for a person as well.
	Ask bool `json:"ask,omitempty"`
	// Trusted lists all that are trusted; it is told, not set.
	Trusted []MUDRoot `json:"trusted,omitempty"`
}

// MUDRoot is one who may vouch for signers.
type MUDRoot struct {
	Subject string    `json:"subject"`
	Digest  string    `json:"digest"` // SHA-256 of the certificate, hex
	Until   time.Time `json:"until"`
	From    string    `json:"from"` // "platform" (its file, for every organisation) or "organisation"
}

// PolicyDraft is what was learned of a device, for a person to approve.
type PolicyDraft struct {
	Device ringwall.DeviceID `json:"device"`
	From   time.Time         `json:"from"`
	To     time.Time         `json:"to"`
	Flows  int               `json:"flows"` // reports that it rests on
	Lines  []DraftLine       `json:"lines"`
	// Left tells what was seen and is not proposed, and why, the first of them.
	Left []DraftLeft `json:"left"`
	// Met counts needs that the terms in force meet already.
	Met int `json:"met"`
	// All is false when there were more reports than are looked at.
	All bool `json:"all"`
}

// DraftLine is one proposed term with its evidence.
type DraftLine struct {
	Term  Term      `json:"term"`
	Flows uint64    `json:"flows"`
	Bytes uint64    `json:"bytes"`
	Days  int       `json:"days"` // on how many days it was seen
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
	Note  string    `json:"note,omitempty"`
	// NoteKey and NoteParams are the note, for other languages.
	NoteKey    string            `json:"noteKey,omitempty"`
	NoteParams map[string]string `json:"noteParams,omitempty"`
}

// DraftLeft is a need that is not proposed.
type DraftLeft struct {
	What string    `json:"what"`
	Why  string    `json:"why"`
	Days int       `json:"days"`
	Last time.Time `json:"last"`
	// Key and Params say why, for other languages.
	Key    string            `json:"key,omitempty"`
	Params map[string]string `json:"params,omitempty"`
}

// LearnRequest asks what a device needs, out of the reports of some days.
type LearnRequest struct {
	Days int `json:"days,omitempty"` // 0 = 7, at most 90
	// MinDays and MinFlows are on how many days, and how often, a need must have been
	// seen; 0 = 2 and 3.
	MinDays  int    `json:"minDays,omitempty"`
	MinFlows uint64 `json:"minFlows,omitempty"`
}

// MUDExport is a draft of a usage description, made of what is in force.
type MUDExport struct {
	File  []byte   `json:"file"`  // JSON, unsigned
	Notes []string `json:"notes"` // what it cannot say
	// Change tells how it differs from the description that is in force, if there is one.
	Change *PolicyChange `json:"change,omitempty"`
}

// DraftApproval approves terms of a draft, as they were read.
type DraftApproval struct {
	Terms []Term           `json:"terms"`
	Group ringwall.GroupID `json:"group,omitempty"` // to whose terms they are added; "" = the owner's for this device
	Mode  *ringwall.Mode   `json:"mode,omitempty"`
}
