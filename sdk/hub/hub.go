package hub

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/sdk"
)

// App is an application that may use leaves, as far as their policies let it.
type App struct {
	Name string // the token of its topics, and its user name on the broker
	// Addr and Device are by what terms know it; see sdk.Access.
	Addr   netip.Addr
	Device ringwall.DeviceID
}

// Config of a Hub.
type Config struct {
	Client *sdk.Client // needed; it stays the caller's
	// Broker is the hub's broker, "tcp://127.0.0.1:1883" or "mqtts://host:8883";
	// needed. It is the hub's own, and no policy closes the way to it.
	Broker             string
	Username, Password string
	TLS                *tls.Config // for mqtts
	Dialects           []Dialect   // needed
	Apps               []App
	Log                *slog.Logger // nil = silent
}

// Topics of applications: appPrefix, the application's name, then one of these.
const (
	appPrefix = "rw/app/"
	cmdPart   = "cmd/"
	dataPart  = "data/"
	refused   = "refused"
)

// Times of the connection to the broker.
const (
	keepAlive   = 30 // seconds
	connectTime = 15 * time.Second
	publishTime = 10 * time.Second
	pauseMost   = 30 * time.Second
)

// maxQueue is how many messages wait to be judged; past it the newest are
// dropped and counted, as a broker does with a client that is too slow.
const maxQueue = 1024

// Hub judges what passes between applications and leaves.
type Hub struct {
	cfg    Config
	addr   string
	secure bool
	apps   map[string]App
	log    *slog.Logger

	queue  chan message
	conn   atomic.Pointer[paho.Client]
	cancel context.CancelFunc
	work   sync.WaitGroup

	up      chan struct{} // closed when the broker was reached first
	once    sync.Once
	dropped atomic.Uint64
}

type message struct {
	topic   string
	payload []byte
}

// Open begins to serve and keeps the connection to the broker until Close.
func Open(ctx context.Context, cfg Config) (*Hub, error) {
	u, err := url.Parse(cfg.Broker)
	if err != nil || u.Host == "" || u.Scheme != "tcp" && u.Scheme != "mqtts" {
		return nil, ringwall.Errorf(ringwall.Invalid, "the broker's address must be of the form tcp://host:port or mqtts://host:port")
	}
	if cfg.Client == nil || len(cfg.Dialects) == 0 {
		return nil, ringwall.Errorf(ringwall.Invalid, "a hub needs a client and a dialect")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	h := &Hub{cfg: cfg, addr: u.Host, secure: u.Scheme == "mqtts", apps: map[string]App{}, log: cfg.Log, queue: make(chan message, maxQueue), up: make(chan struct{})}
	for _, a := range cfg.Apps {
		if a.Name == "" || strings.ContainsAny(a.Name, "/+#\x00") || len(a.Name) > maxLabel {
			return nil, ringwall.Errorf(ringwall.Invalid, "application %.40q has no name that can stand in a topic", a.Name)
		}
		if _, twice := h.apps[a.Name]; twice {
			return nil, ringwall.Errorf(ringwall.Invalid, "application %q is named twice", a.Name)
		}
		h.apps[a.Name] = a
	}
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	h.cancel = cancel
	h.work.Go(func() { h.run(run) })
	h.work.Go(func() { h.judge(run) })
	return h, nil
}

// Close ends the hub and waits for its goroutines.
func (h *Hub) Close() error {
	h.cancel()
	h.work.Wait()
	return nil
}

// Ready is closed when the broker was reached for the first time.
func (h *Hub) Ready() <-chan struct{} { return h.up }

// Dropped returns how many messages were not judged because too many waited.
func (h *Hub) Dropped() uint64 { return h.dropped.Load() }

// run keeps one connection up.
func (h *Hub) run(ctx context.Context) {
	pause := 200 * time.Millisecond
	for ctx.Err() == nil {
		c, err := h.connect(ctx)
		if err == nil {
			pause = 200 * time.Millisecond
			h.conn.Store(c)
			h.once.Do(func() { close(h.up) })
			select {
			case <-c.Done():
			case <-ctx.Done():
				_ = c.Disconnect(&paho.Disconnect{})
				<-c.Done()
			}
			h.conn.Store(nil)
		} else if ctx.Err() == nil {
			h.log.Warn("the broker is not reached", "err", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
			pause = min(2*pause, pauseMost)
		}
	}
}

func (h *Hub) connect(ctx context.Context) (*paho.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	var raw net.Conn
	var err error
	if h.secure {
		raw, err = (&tls.Dialer{Config: h.cfg.TLS}).DialContext(ctx, "tcp", h.addr)
	} else {
		raw, err = (&net.Dialer{}).DialContext(ctx, "tcp", h.addr)
	}
	if err != nil {
		return nil, err
	}
	c := paho.NewClient(paho.ClientConfig{
		ClientID: "ringwall-hub", Conn: packets.NewThreadSafeConn(raw), OnClientError: func(error) { _ = raw.Close() },
		OnPublishReceived: []func(paho.PublishReceived) (bool, error){func(p paho.PublishReceived) (bool, error) {
			select {
			case h.queue <- message{p.Packet.Topic, p.Packet.Payload}:
			default:
				h.dropped.Add(1)
			}
			return true, nil
		}},
	})
	most := uint32(maxMessage)
	_, err = c.Connect(ctx, &paho.Connect{
		ClientID: "ringwall-hub", KeepAlive: keepAlive, CleanStart: true, Properties: &paho.ConnectProperties{MaximumPacketSize: &most},
		Username: h.cfg.Username, UsernameFlag: h.cfg.Username != "", Password: []byte(h.cfg.Password), PasswordFlag: h.cfg.Password != "",
	})
	if err != nil {
		_ = raw.Close()
		return nil, err
	}
	// What this hub publishes itself does not come back to it: what comes on a
	// device topic as a command is somebody else's.
	sub := &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: appPrefix + "+/" + cmdPart + "#", QoS: 1, NoLocal: true}}}
	for _, d := range h.cfg.Dialects {
		for _, f := range d.Filters() {
			sub.Subscriptions = append(sub.Subscriptions, paho.SubscribeOptions{Topic: f, QoS: 1, NoLocal: true})
		}
	}
	if _, err := c.Subscribe(ctx, sub); err != nil {
		_ = c.Disconnect(&paho.Disconnect{})
		_ = raw.Close()
		return nil, err
	}
	return c, nil
}

// judge takes messages one by one.
func (h *Hub) judge(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case m := <-h.queue:
			h.take(ctx, m)
		}
	}
}

func (h *Hub) take(ctx context.Context, m message) {
	if rest, ok := strings.CutPrefix(m.topic, appPrefix); ok {
		app, topic, _ := strings.Cut(rest, "/")
		if topic, ok = strings.CutPrefix(topic, cmdPart); ok {
			h.command(ctx, app, topic, m.payload)
		}
		return
	}
	for _, e := range h.events(m, Dialect.Read) {
		leaf := h.cfg.Client.Leaf(e.Leaf)
		switch e.Kind {
		case Joined:
			leaf.Seen(e.Name)
		case Left:
			leaf.Gone()
		case Command:
			leaf.Bypassed(e.What)
			h.log.Warn("a leaf was commanded past the policy", "leaf", e.Leaf, "what", e.What)
		case Report:
			leaf.Seen(e.Name)
			leaf.Said(len(m.payload))
			h.share(ctx, leaf, m)
		}
	}
}

// share passes a leaf's report on to those who may read it.
func (h *Hub) share(ctx context.Context, leaf *sdk.Leaf, m message) {
	for _, a := range h.cfg.Apps {
		if leaf.Allow(sdk.Access{App: a.Name, Addr: a.Addr, Device: a.Device, Size: len(m.payload)}) == nil {
			h.publish(ctx, appPrefix+a.Name+"/"+dataPart+m.topic, m.payload)
		}
	}
}

func (h *Hub) events(m message, read func(Dialect, string, []byte) ([]Event, error)) []Event {
	for _, d := range h.cfg.Dialects {
		events, err := read(d, m.topic, m.payload)
		if err != nil {
			h.log.Debug("message is not understood", "topic", m.topic, "err", err)
		}
		if len(events) > 0 {
			return events
		}
	}
	return nil
}

// Refused is what an application gets when a command is refused.
type Refused struct {
	Topic  string `json:"topic"`
	Reason string `json:"reason"`
	Term   string `json:"term,omitempty"`
	Text   string `json:"text"`
}

// command passes a command on, if every leaf that it is for may be commanded so.
func (h *Hub) command(ctx context.Context, name, topic string, payload []byte) {
	no := Refused{Topic: topic, Reason: "unknown", Text: "this topic commands no leaf that the hub knows"}
	app, known := h.apps[name]
	events := h.events(message{topic, payload}, Dialect.Asked)
	ok := known && len(events) > 0 && !strings.ContainsAny(topic, "+#")
	for _, e := range events {
		if !ok {
			break
		}
		if e.Kind != Command {
			ok = false
			break
		}
		err := h.cfg.Client.Leaf(e.Leaf).Allow(sdk.Access{App: app.Name, Addr: app.Addr, Device: app.Device, Command: true, What: e.What, Size: len(payload)})
		if r, is := errors.AsType[*sdk.Refusal](err); is {
			ok, no.Reason, no.Term, no.Text = false, r.Reason, r.Term, r.Error()
		}
	}
	if ok {
		h.publish(ctx, topic, payload)
		return
	}
	if !known { // nobody listens there
		h.log.Warn("an unknown application gives commands", "app", label(name), "topic", label(topic))
		return
	}
	b, err := json.Marshal(no)
	if err != nil {
		panic("hub: a refusal cannot be marshalled: " + err.Error())
	}
	h.publish(ctx, appPrefix+name+"/"+refused, b)
}

func (h *Hub) publish(ctx context.Context, topic string, payload []byte) {
	c := h.conn.Load()
	if c == nil {
		h.dropped.Add(1)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, publishTime)
	defer cancel()
	if _, err := c.Publish(ctx, &paho.Publish{Topic: topic, QoS: 1, Payload: payload}); err != nil && ctx.Err() == nil {
		h.log.Debug("message is not passed on", "topic", topic, "err", err)
	}
}
