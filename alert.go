package ringwall

import (
	"net/netip"
	"time"
)

// SubjectKind says what kind of thing an alert, an event or a record is about.
type SubjectKind string

const (
	SubjectDevice   SubjectKind = "device"
	SubjectSIM      SubjectKind = "sim"
	SubjectGateway  SubjectKind = "gateway"
	SubjectAddress  SubjectKind = "address" // an IP address, where no device is known (ringwall watch FILE)
	SubjectIncident SubjectKind = "incident"
	SubjectUser     SubjectKind = "user"
	SubjectGroup    SubjectKind = "group"
	SubjectRollout  SubjectKind = "rollout"
)

// Subject names one thing.
type Subject struct {
	Kind SubjectKind `json:"kind"`
	ID   string      `json:"id"`
}

// Nature says what an alert claims.
type Nature string

const (
	NatureAttack    Nature = "attack"    // this is an attack
	NatureDeviation Nature = "deviation" // this is not what the device does; evidence, not proof
	NatureNotice    Nature = "notice"    // worth knowing
)

// Alert is one detector's statement about one subject.
//
// Its id is derived from what it says (rule, subject, time window), so that the
// same packets or records judged again repeat no alert.
type Alert struct {
	ID       AlertID    `json:"id"`
	Org      OrgID      `json:"org,omitempty"`
	Time     time.Time  `json:"time"` // of the evidence that tipped it, not of the judging
	Rule     string     `json:"rule"` // such as "mirai-scan"; stable
	Nature   Nature     `json:"nature"`
	Severity Severity   `json:"severity"`
	Subject  Subject    `json:"subject"`
	Stage    Stage      `json:"stage"`
	Title    string     `json:"title"` // one sentence, English; pages translate by Rule and Evidence.Facts
	Evidence Evidence   `json:"evidence"`
	Attack   string     `json:"attack"` // ATT&CK technique, such as "T1046"
	Gateway  GatewayID  `json:"gateway,omitempty"`
	Peer     netip.Addr `json:"peer,omitzero"` // the other end, where there is one
}

// Evidence is what an alert stands on.
type Evidence struct {
	Packets []uint64          `json:"packets,omitempty"` // numbers in the capture, from 1; on a live tap, since its start
	Records []uint64          `json:"records,omitempty"` // numbers in the usage input, from 1
	Count   uint64            `json:"count,omitempty"`   // how many there were in all; Packets and Records hold the first few
	First   time.Time         `json:"first,omitzero"`
	Last    time.Time         `json:"last,omitzero"`
	Facts   map[string]string `json:"facts,omitempty"` // such as "targets": "64", "ports": "23,2323"
}
