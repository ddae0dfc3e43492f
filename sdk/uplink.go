package sdk

import (
	"context"
	"crypto/tls"
	"math/rand/v2"
	"net/url"
	"sync"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/spine"
)

// uplink is a connection to the platform that comes and goes.
type uplink interface {
	// connected reports whether it is up now.
	connected() bool
	// request sends data on the client's topic leaf (api.TopicReport or
	// api.TopicStatus) and returns the answer.
	request(ctx context.Context, leaf string, data []byte) ([]byte, error)
	close()
}

// uplinkConfig is what both kinds of uplink need.
type uplinkConfig struct {
	id      Identity
	tls     *tls.Config
	changed func(up bool) // must not block
	poked   func()        // must not block
	client  *Client
}

// dialUplink opens the way to the platform that addrs name: MQTT where one of
// them is, else the spine. It returns at once and keeps trying.
func dialUplink(ctx context.Context, addrs []string, cfg uplinkConfig) (uplink, error) {
	var spines, mqtts []string
	for _, a := range addrs {
		u, err := url.Parse(a)
		switch {
		case err != nil || u.Host == "":
			return nil, ringwall.Errorf(ringwall.Invalid, "the platform's address %.80q is not of the form mqtts://host:port", a)
		case u.Scheme == "mqtts":
			mqtts = append(mqtts, u.Host)
		case u.Scheme == "tls":
			spines = append(spines, a)
		default:
			return nil, ringwall.Errorf(ringwall.Invalid, "the platform's address %.80q is neither mqtts:// nor tls://", a)
		}
	}
	if len(mqtts) > 0 {
		return newMQTT(ctx, mqtts, cfg), nil
	}
	return newSpine(ctx, spines, cfg)
}

// spineUplink speaks NATS.
type spineUplink struct {
	conn *spine.Conn
	id   Identity
	stop func()
}

func newSpine(ctx context.Context, addrs []string, cfg uplinkConfig) (*spineUplink, error) {
	conf := cfg.tls.Clone()
	conf.MinVersion = tls.VersionTLS13
	conn, err := spine.Dial(ctx, spine.Config{
		Servers: addrs, TLS: conf, Name: string(cfg.id.Gateway), Inbox: spine.Inbox(string(cfg.id.Gateway)), Log: cfg.client.log, Changed: cfg.changed,
	})
	if err != nil {
		return nil, err
	}
	stop, err := conn.Subscribe(api.PokeSubject(cfg.id.Org, cfg.id.Gateway), func([]byte) { cfg.poked() })
	if err != nil {
		conn.Close()
		return nil, err
	}
	return &spineUplink{conn: conn, id: cfg.id, stop: stop}, nil
}

func (u *spineUplink) connected() bool { return u.conn.Connected() }

func (u *spineUplink) request(ctx context.Context, leaf string, data []byte) ([]byte, error) {
	subject := api.ReportSubject(u.id.Org, u.id.Gateway)
	if leaf == api.TopicStatus {
		subject = api.DesiredSubject(u.id.Org, u.id.Gateway)
	}
	return u.conn.Request(ctx, subject, data)
}

func (u *spineUplink) close() {
	u.stop()
	u.conn.Close()
}

// pauses between attempts, jittered so that a fleet that lost its platform does
// not return all at once.
const (
	pauseFirst = 200 * time.Millisecond
	pauseMost  = 30 * time.Second
)

// pause is how long to wait after a failure, longer each time.
type pause struct{ last time.Duration }

func (p *pause) next() time.Duration {
	p.last = min(max(2*p.last, pauseFirst), pauseMost)
	return p.last/2 + rand.N(p.last/2)
}

func (p *pause) reset() { p.last = 0 }

// waiters are the requests that wait for an answer, by correlation data.
type waiters struct {
	mu   sync.Mutex
	next uint64
	by   map[string]chan []byte
}
