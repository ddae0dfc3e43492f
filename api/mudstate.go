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
	// Signature is "valid", "invalid", "unsigned" or "unknown" (nobody here vouches
	// for who signed it, or it could not be checked).
	Signature string `json:"signature,omitempty"`
	Signer    string `json:"signer,omitempty"`
	Digest    string `json:"digest,omitempty"` // SHA-256 of the file, hex
	Maker     string `json:"maker,omitempty"`  // the authority of its URL, as same-manufacturer compares
	Model     string `json:"model,omitempty"`
	Info      string `json:"info,omitempty"`
	// Supported is false when its maker says that the device gets no more updates.
	Supported bool     `json:"supported"`
	Terms     []Term   `json:"terms"`
	Notes     []string `json:"notes,omitempty"` // of what could not be taken as it stands
	// Changed tells what a newer file would change against what is in force; it waits
	// for a decision.
	Changed *PolicyChange `json:"changed,omitempty"`
	// Pending are the terms of that newer file.
	Pending []Term    `json:"pending,omitempty"`
	By      string    `json:"by,omitempty"` // who decided
	Decided time.Time `json:"decided,omitzero"`
}

// MUDPut names a URL, or hands a file in.
type MUDPut struct {
	URL  string `json:"url,omitempty"`
	File []byte `json:"file,omitempty"`
	// Signature is the detached CMS signature of the file, where there is one.
	Signature []byte `json:"signature,omitempty"`
}

// MUDDecision is "narrow", "approve", "decline", or "refresh" (fetch it now).
type MUDDecision struct {
	Decision string `json:"decision"`
}

// PolicyDraft is what was learned of a device, for a person to approve.
type PolicyDraft struct {
	Device ringwall.DeviceID `json:"device"`
	From   time.Time         `json:"from"`
	To     time.Time         `json:"to"`
	Flows  int               `json:"flows"` // reports that it rests on
	Lines  []DraftLine       `json:"lines"`
	// Left tells what was seen and is not proposed, and why.
	Left   []DraftLine   `json:"left,omitempty"`
	Change *PolicyChange `json:"change,omitempty"` // against what is in force
	Made   time.Time     `json:"made"`
	By     string        `json:"by"`
}

// DraftLine is one proposed term with its evidence.
type DraftLine struct {
	Term  Term      `json:"term"`
	Flows uint64    `json:"flows"`
	Bytes uint64    `json:"bytes"`
	Days  int       `json:"days"` // on how many days it was seen
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
	Names []string  `json:"names,omitempty"`
	Note  string    `json:"note,omitempty"`
}

// DraftApproval makes terms of a draft: of the lines that it names by the ids
// of their terms, or of all.
type DraftApproval struct {
	Terms []string         `json:"terms,omitempty"`
	Group ringwall.GroupID `json:"group,omitempty"` // to whose terms they are added; "" = the owner's for this device
	Mode  *ringwall.Mode   `json:"mode,omitempty"`
}
