package assess

import (
	"bytes"
	"cmp"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// Bundle is all that a grade follows from, and the grade: it can be judged
// again anywhere, by anyone, for ever. It holds no secret; what findings and
// marks may not hold, it cannot.
//
// Sealed, it is a DSSE envelope (Dead Simple Signing Envelope, protocol
// version 1.0.2) as JSON:
//
//	{"payloadType": "application/vnd.ringwall.evidence+json",
//	 "payload": "<base64 of the bundle's JSON>",
//	 "signatures": [{"keyid": "<16 hex digits>", "sig": "<base64>"}]}
//
// The signature is Ed25519 (RFC 8032) over DSSE's pre-authentication encoding of
// type and payload. The payload is canonical: what encoding/json writes of a
// Bundle, fields in the order of this type, keys of maps sorted, no white space;
// Open refuses any other writing of the same content. keyid is a hint which key
// to try: the first 8 bytes of the SHA-256 of the public key.
//
// The rubric is carried whole, with its profiles and the number of its grade
// rule, so that neither a new rubric nor a new rule changes an old grade.
type Bundle struct {
	Format       int                `json:"format"` // 1
	Rubric       json.RawMessage    `json:"rubric"`
	RubricHash   string             `json:"rubricHash"` // SHA-256 of Rubric, in hex
	Profile      api.Profile        `json:"profile"`
	Time         time.Time          `json:"time"` // of grading
	Target       string             `json:"target,omitempty"`
	Device       ringwall.DeviceID  `json:"device,omitempty"`
	Examinations []api.Examination  `json:"examinations"`
	Laboratories []api.Laboratory   `json:"laboratories"` // that were believed
	Incidents    []ringwall.Finding `json:"incidents"`    // answers on ObservedCompromise
	Result       json.RawMessage    `json:"result"`       // a Result
}

// Limits of a bundle that is read.
const (
	maxBundle         = 64 << 20
	maxBundleFindings = 10_000
	maxBundleExams    = 1_000
	bundleFormat      = 1
	bundleType        = "application/vnd.ringwall.evidence+json"
)

// NewBundle grades examinations and incidents at now, and returns the bundle
// with the result. The table of r is applied to profile p, whatever r was made for.
func NewBundle(r *Rubric, p api.Profile, xs []api.Examination, labs []api.Laboratory, incidents []ringwall.Finding, now time.Time) (Bundle, Result, error) {
	b := Bundle{
		Format: bundleFormat, Profile: p, Time: now.UTC(), Examinations: Standing(xs), Laboratories: append([]api.Laboratory{}, labs...),
		Incidents: append([]ringwall.Finding{}, incidents...),
	}
	if b.Examinations == nil {
		b.Examinations = []api.Examination{}
	}
	r = cmp.Or(r.bare, r)
	var err error
	if b.Rubric, err = json.Marshal(r); err != nil {
		return Bundle{}, Result{}, ringwall.Errorf(ringwall.Internal, "writing rubric %q: %w", r.Version, err)
	}
	b.RubricHash = hash(b.Rubric)
	if err := b.check(); err != nil {
		return Bundle{}, Result{}, err
	}
	// Graded by what a reader will have, not by what is in memory.
	res, err := b.grade()
	if err != nil {
		return Bundle{}, Result{}, err
	}
	if b.Result, err = json.Marshal(res); err != nil {
		return Bundle{}, Result{}, ringwall.Errorf(ringwall.Internal, "writing a result: %w", err)
	}
	return b, res, nil
}

func hash(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

func (b Bundle) check() error {
	n := len(b.Incidents)
	for _, x := range b.Examinations {
		n += len(x.Findings)
	}
	switch {
	case b.Format != bundleFormat:
		return ringwall.Errorf(ringwall.Invalid, "evidence bundle has format %d; this program reads %d", b.Format, bundleFormat)
	case n > maxBundleFindings || len(b.Examinations) > maxBundleExams || len(b.Laboratories) > maxBundleExams:
		return ringwall.Errorf(ringwall.Invalid, "evidence bundle has more than %d findings, or %d examinations", maxBundleFindings, maxBundleExams)
	case b.RubricHash != hash(b.Rubric):
		return ringwall.Errorf(ringwall.Invalid, "the rubric in the evidence bundle is not the one it names by its hash")
	}
	return nil
}

func (b Bundle) grade() (Result, error) {
	r, err := ParseRubric(b.Rubric)
	if err != nil {
		return Result{}, fmt.Errorf("reading the rubric of an evidence bundle: %w", err)
	}
	all := Evidence(b.Examinations, b.Laboratories)
	for _, f := range b.Incidents {
		if f.Indicator == ringwall.ObservedCompromise {
			all = append(all, f)
		}
	}
	return Grade(r.For(b.Profile), all, b.Time), nil
}

// Regrade judges a bundle's evidence again, at the time and by the rubric that
// it carries. same reports whether the grade, its interval, its risks, its
// coverage and its modules come out as they were recorded, byte for byte;
// wording of reasons may change with the program.
func Regrade(b Bundle) (res Result, same bool, err error) {
	if err := b.check(); err != nil {
		return Result{}, false, err
	}
	if res, err = b.grade(); err != nil {
		return Result{}, false, err
	}
	var was Result
	if err := json.Unmarshal(b.Result, &was); err != nil {
		return res, false, ringwall.Errorf(ringwall.Invalid, "reading the result of an evidence bundle: %w", err)
	}
	before, err := was.core()
	if err != nil {
		return res, false, err
	}
	after, err := res.core()
	return res, err == nil && bytes.Equal(before, after), err
}

// core is what must not change when the same evidence is graded again.
func (res Result) core() ([]byte, error) {
	res.Reasons, res.Next, res.Settled = nil, nil, nil
	res.Modules = slices.Clip(res.Modules)
	b, err := json.Marshal(res)
	if err != nil {
		return nil, ringwall.Errorf(ringwall.Internal, "writing a result: %w", err)
	}
	return b, nil
}

type envelope struct {
	PayloadType string      `json:"payloadType"`
	Payload     []byte      `json:"payload"`
	Signatures  []signature `json:"signatures"`
}

type signature struct {
	KeyID string `json:"keyid"`
	Sig   []byte `json:"sig"`
}

// KeyID is the hint by which a seal names its key.
func KeyID(pub ed25519.PublicKey) string {
	h := sha256.Sum256(pub)
	return hex.EncodeToString(h[:8])
}

// preAuth is DSSE's PAE: no two pairs of type and payload encode alike.
func preAuth(payload []byte) []byte {
	return append(fmt.Appendf(nil, "DSSEv1 %d %s %d ", len(bundleType), bundleType, len(payload)), payload...)
}

// Seal writes and signs a bundle.
func Seal(key ed25519.PrivateKey, b Bundle) ([]byte, error) {
	if len(key) != ed25519.PrivateKeySize {
		return nil, ringwall.Errorf(ringwall.Invalid, "an evidence bundle is signed with an Ed25519 key of %d bytes", ed25519.PrivateKeySize)
	}
	if err := b.check(); err != nil {
		return nil, err
	}
	payload, err := json.Marshal(b)
	if err != nil {
		return nil, ringwall.Errorf(ringwall.Invalid, "writing an evidence bundle: %w", err)
	}
	pub, ok := key.Public().(ed25519.PublicKey)
	if !ok {
		return nil, ringwall.Errorf(ringwall.Internal, "an Ed25519 key has no public key")
	}
	out, err := json.Marshal(envelope{bundleType, payload, []signature{{KeyID(pub), ed25519.Sign(key, preAuth(payload))}}})
	if err != nil {
		return nil, ringwall.Errorf(ringwall.Internal, "writing an envelope: %w", err)
	}
	if len(out) > maxBundle {
		return nil, ringwall.Errorf(ringwall.Invalid, "the evidence bundle is longer than %d MiB", maxBundle>>20)
	}
	return out, nil
}

// Open reads a sealed bundle and checks that pub's key signed it. What is
// malformed is Invalid; what no signature of this key covers is Unverified, and
// nothing of it is returned.
func Open(pub ed25519.PublicKey, sealed []byte) (Bundle, error) {
	if len(pub) != ed25519.PublicKeySize {
		return Bundle{}, ringwall.Errorf(ringwall.Invalid, "an Ed25519 public key has %d bytes, not %d", ed25519.PublicKeySize, len(pub))
	}
	if len(sealed) > maxBundle {
		return Bundle{}, ringwall.Errorf(ringwall.Invalid, "the evidence bundle is longer than %d MiB", maxBundle>>20)
	}
	var e envelope
	if err := strictly(sealed, &e); err != nil {
		return Bundle{}, ringwall.Errorf(ringwall.Invalid, "reading the envelope of an evidence bundle: %w", err)
	}
	if e.PayloadType != bundleType {
		return Bundle{}, ringwall.Errorf(ringwall.Invalid, "the envelope holds %.60q, not an evidence bundle", e.PayloadType)
	}
	if len(e.Signatures) == 0 || len(e.Signatures) > 16 {
		return Bundle{}, ringwall.Errorf(ringwall.Unverified, "the evidence bundle has %d signatures, not 1 to 16", len(e.Signatures))
	}
	signed := preAuth(e.Payload)
	if !slices.ContainsFunc(e.Signatures, func(s signature) bool { return ed25519.Verify(pub, signed, s.Sig) }) {
		return Bundle{}, ringwall.Errorf(ringwall.Unverified, "the evidence bundle is not signed with key %s, or was changed since", KeyID(pub))
	}
	return parseBundle(e.Payload)
}

func parseBundle(payload []byte) (Bundle, error) {
	var b Bundle
	if err := strictly(payload, &b); err != nil {
		return Bundle{}, ringwall.Errorf(ringwall.Invalid, "reading an evidence bundle: %w", err)
	}
	if err := b.check(); err != nil {
		return Bundle{}, err
	}
	again, err := json.Marshal(b)
	if err != nil || !bytes.Equal(again, payload) {
		return Bundle{}, ringwall.Errorf(ringwall.Invalid, "the evidence bundle is not in its canonical form")
	}
	return b, nil
}

// strictly decodes one JSON value with no field that is not known and nothing
// after it.
func strictly(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return fmt.Errorf("something follows it")
	}
	return nil
}
