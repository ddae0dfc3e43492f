package enforce

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"

	"github.com/klauspost/compress/flate"

	"github.com/ringwall/ringwall/api"
)

// packed is a signed document at rest. It is needed again only when the file is
// written, and a document of a thousand devices has some three megabytes, of which
// a tenth is left this way. The compressor is the one that the spine's client has
// in the program anyway.
type packed struct {
	keyID string
	sig   []byte
	sum   [sha256.Size]byte // of the payload
	size  int               // of the payload
	flat  []byte            // the payload, deflated
}

func pack(s api.Signed) (p packed, err error) {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestSpeed)
	if err != nil {
		return p, err
	}
	if _, err := w.Write(s.Payload); err != nil {
		return p, err
	}
	if err := w.Close(); err != nil {
		return p, err
	}
	return packed{keyID: s.KeyID, sig: s.Sig, sum: sha256.Sum256(s.Payload), size: len(s.Payload), flat: bytes.Clone(b.Bytes())}, nil
}

// unpack returns the document as it came.
func (p packed) unpack() (api.Signed, error) {
	s := api.Signed{KeyID: p.keyID, Sig: p.sig}
	if p.size == 0 {
		return s, nil
	}
	s.Payload = make([]byte, p.size)
	if _, err := io.ReadFull(flate.NewReader(bytes.NewReader(p.flat)), s.Payload); err != nil {
		return api.Signed{}, fmt.Errorf("unpacking the desired state: %w", err)
	}
	return s, nil
}

// is reports whether s is this document, to the last byte.
func (p packed) is(s api.Signed) bool {
	return p.keyID == s.KeyID && bytes.Equal(p.sig, s.Sig) && p.says(s.Payload)
}

// says reports whether this is the document's payload.
func (p packed) says(payload []byte) bool {
	return p.size == len(payload) && p.sum == sha256.Sum256(payload)
}
