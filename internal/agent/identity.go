package agent

import (
	"crypto/ecdsa"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/enrol"
)

// Identity is who this gateway is, as enrolment has made it.
type Identity struct {
	Org     ringwall.OrgID     `json:"org"`
	Gateway ringwall.GatewayID `json:"gateway"`
	Spine   []string           `json:"spine"`
	// SigningKeys are the Ed25519 keys that may sign a desired state, by id.
	SigningKeys map[string][]byte `json:"signingKeys"`
	Enrolled    time.Time         `json:"enrolled"`
}

func (c Config) store() enrol.Store {
	return enrol.Store{Dir: c.State, Identity: identityFile, Pair: pairFile, Authority: caFile, Disk: c.Disk, Site: siteIdentity, Now: c.Now}
}

// loadIdentity reads the identity from the state directory.
func (c Config) loadIdentity() (id Identity, err error) {
	b, err := os.ReadFile(c.path(identityFile))
	if errors.Is(err, os.ErrNotExist) {
		return id, &ringwall.Error{Code: ringwall.NotFound, Text: "this gateway is not enrolled", Hint: `enrol it with "ringwall-agent enrol"`}
	}
	if err != nil {
		return id, fmt.Errorf("reading the gateway's identity: %w", err)
	}
	if err := json.Unmarshal(b, &id); err != nil {
		return id, ringwall.Errorf(ringwall.Invalid, "reading the gateway's identity: %w", err)
	}
	return id, id.check()
}

func (id Identity) check() error {
	if len(id.Spine) == 0 {
		return ringwall.Errorf(ringwall.Invalid, "identity names no spine")
	}
	return enrol.CheckIdentity(id.Org, id.Gateway, id.SigningKeys)
}

// adopt checks what the platform certified for key and writes it durably.
func (c Config) adopt(answer api.EnrolAnswer, key *ecdsa.PrivateKey) (Identity, error) {
	id := Identity{Org: answer.Org, Gateway: answer.Gateway, Spine: answer.Spine, SigningKeys: answer.SigningKeys, Enrolled: c.Now().UTC()}
	if err := id.check(); err != nil {
		return Identity{}, fmt.Errorf("reading the platform's answer: %w", err)
	}
	if err := c.store().Adopt(answer, key, id); err != nil {
		return Identity{}, err
	}
	return id, nil
}

// tlsConfig returns what the gateway shows to the platform and demands of it.
func (c Config) tlsConfig(floor func() time.Time) (*tls.Config, error) {
	return c.store().TLS(tls.VersionTLS13, floor)
}
