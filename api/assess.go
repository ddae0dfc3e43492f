package api

import (
	"net/netip"
	"time"

	"github.com/ringwall/ringwall"
)

// Ranges are the networks that an organisation has registered as its own:
// nothing outside them is probed in its name.
type Ranges struct {
	Prefixes []netip.Prefix `json:"prefixes"`
}

// Laboratory is one whose signed results an organisation believes.
type Laboratory struct {
	Name string `json:"name"`
	Key  []byte `json:"key"` // Ed25519 public key (RFC 8032), 32 bytes
}

// AssessSettings are what an organisation has laid down about assessing.
type AssessSettings struct {
	Gate         Gate         `json:"gate"`
	Ranges       Ranges       `json:"ranges"`
	Laboratories []Laboratory `json:"laboratories"`
	// EvidenceKey is the Ed25519 public key by which the platform seals evidence.
	// It is told, not set.
	EvidenceKey []byte `json:"evidenceKey,omitempty"`
}

// RemedialPatch changes what is not nil.
type RemedialPatch struct {
	Status *string    `json:"status,omitempty"` // "open", "doing", "accepted"; that a thing is done is measured
	Note   *string    `json:"note,omitempty"`
	Due    *time.Time `json:"due,omitempty"`
}

// RemedialDone is what came of a task that Ringwall did itself.
type RemedialDone struct {
	Remedial Remedial `json:"remedial"`
	// Account and Secret are the new login of "change-password". They are in this
	// answer and nowhere else: whoever asked for it has to keep them.
	Account  string              `json:"account,omitempty"`
	Secret   string              `json:"secret,omitempty"`
	Assess   ringwall.AssessID   `json:"assessment,omitempty"` // that looks whether it helped
	Response ringwall.ResponseID `json:"response,omitempty"`
}

// Question is one of a questionnaire, in the language it was asked for.
type Question struct {
	ID        string   `json:"id"`
	Indicator string   `json:"indicator"` // that it answers
	Text      string   `json:"text"`
	Help      string   `json:"help,omitempty"`
	Kind      string   `json:"kind"` // "choice", "date", "url", "ports", "destinations"
	Choices   []Choice `json:"choices,omitempty"`
	Optional  bool     `json:"optional,omitempty"`
	Answered  bool     `json:"answered"`
	Answer    string   `json:"answer,omitempty"`
	Note      string   `json:"note,omitempty"` // in the party's own words
}

// Choice is one answer that may be given.
type Choice struct {
	Value string `json:"value"`
	Text  string `json:"text"`
}

// Questionnaire is what a party is asked about a device: the questions that
// the answers so far leave to be asked.
type Questionnaire struct {
	Device    ringwall.DeviceID `json:"device"`
	Revision  uint64            `json:"revision"`
	Profile   Profile           `json:"profile"`
	Questions []Question        `json:"questions"`
	Asked     int               `json:"asked"` // that must be answered
	Answered  int               `json:"answered"`
	Saved     time.Time         `json:"saved,omitzero"`     // when an answer was last kept
	Expires   time.Time         `json:"expires,omitzero"`   // when what was not handed in is forgotten
	Submitted time.Time         `json:"submitted,omitzero"` // when it last became a declaration
	Until     time.Time         `json:"until,omitzero"`     // when that expires
}

// Answers are given by question, on the revision that was shown. An empty value
// takes an answer back; of ports and destinations it says that there are none.
type Answers struct {
	Revision uint64            `json:"revision"`
	Answers  map[string]string `json:"answers"`
	Notes    map[string]string `json:"notes,omitempty"`
}

// MakerScore is how a manufacturer's devices fare in this organisation.
type MakerScore struct {
	Name    string   `json:"name"`
	Devices int      `json:"devices"`
	Graded  int      `json:"graded"`
	High    int      `json:"high"`
	Medium  int      `json:"medium"`
	Low     int      `json:"low"`
	Score   float64  `json:"score"` // 0 bad to 100 good
	Least   float64  `json:"least"` // of an interval that is wide where devices are few
	Most    float64  `json:"most"`
	Reasons []string `json:"reasons"`
}

// Report is one in a format for others.
type Report struct {
	Name string // of a file
	Type string // media type (RFC 9110 section 8.3)
	Body []byte
}
