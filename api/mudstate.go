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
}

// DraftLeft is a need that is not proposed.
type DraftLeft struct {
	What string    `json:"what"`
	Why  string    `json:"why"`
	Days int       `json:"days"`
	Last time.Time `json:"last"`
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
