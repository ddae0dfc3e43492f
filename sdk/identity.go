package sdk

import (
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/enrol"
)

// Identity is who a Client is, as enrolment has made it.
type Identity struct {
	Org ringwall.OrgID `json:"org"`
	// Gateway is its id among those that enrol: the application is a gateway before
	// itself.
	Gateway     ringwall.GatewayID `json:"gateway"`
	Uplink      []string           `json:"uplink"`
	SigningKeys map[string][]byte  `json:"signingKeys"`
	Enrolled    time.Time          `json:"enrolled"`
}

func (c Config) store() enrol.Store {
	return enrol.Store{Dir: c.State, Identity: identityFile, Pair: pairFile, Authority: caFile, Disk: c.Disk, Site: siteIdentity, Now: c.Now}
}

func (c Config) loadIdentity() (id Identity, err error) {
	b, err := os.ReadFile(c.path(identityFile))
	if err != nil {
		return id, err
	}
	if err := json.Unmarshal(b, &id); err != nil {
		return id, ringwall.Errorf(ringwall.Invalid, "reading the client's identity: %w", err)
	}
	return id, id.check()
}

func (id Identity) check() error {
	if len(id.Uplink) == 0 {
		return ringwall.Errorf(ringwall.Invalid, "identity names no way to the platform")
	}
	return enrol.CheckIdentity(id.Org, id.Gateway, id.SigningKeys)
}

// identity returns who the client is; it enrols when that is not known yet.
func (c Config) identity(ctx context.Context) (Identity, error) {
	id, err := c.loadIdentity()
	if err == nil || !errors.Is(err, os.ErrNotExist) {
		return id, err
	}
	if c.Token == "" {
		return id, &ringwall.Error{Code: ringwall.NotFound, Text: "this client is not enrolled", Hint: `give a one-time token: "ringwall gateway token" makes one`}
	}
	name := c.Name
	if name == "" {
		name = filepath.Base(os.Args[0])
	}
	answer, key, err := enrol.Ask{Platform: c.Platform, Token: c.Token, Name: name, CA: c.CA, Pin: c.Pin, Now: c.Now}.Do(ctx)
	if err != nil {
		return Identity{}, err
	}
	return c.adopt(answer, key)
}

// adopt checks what the platform certified for key and writes it durably.
func (c Config) adopt(answer api.EnrolAnswer, key *ecdsa.PrivateKey) (Identity, error) {
	id := Identity{
		Org: answer.Org, Gateway: answer.Gateway, Uplink: append(append([]string{}, answer.MQTT...), answer.Spine...), SigningKeys: answer.SigningKeys, Enrolled: c.Now().UTC(),
	}
	if err := id.check(); err != nil {
		return Identity{}, fmt.Errorf("reading the platform's answer: %w", err)
	}
	if err := c.store().Adopt(answer, key, id); err != nil {
		return Identity{}, err
	}
	return id, nil
}

// uplinkTLS returns what the client shows to the platform and demands of it.
func (c Config) uplinkTLS(floor func() time.Time) (*tls.Config, error) {
	return c.store().TLS(tls.VersionTLS12, floor) // MQTT doors speak both; the spine demands the newer
}
