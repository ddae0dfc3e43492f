package sdk

import (
	"context"
	"crypto/tls"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// Times of an MQTT connection.
const (
	keepAlive   = 30 // seconds
	connectTime = 15 * time.Second
)

// mqttUplink speaks MQTT 5.0. One goroutine keeps the connection.
type mqttUplink struct {
	cfg    uplinkConfig
	addrs  []string
	wait   waiters
	conn   atomic.Pointer[paho.Client]
	cancel context.CancelFunc
	done   chan struct{}
}

func newMQTT(ctx context.Context, addrs []string, cfg uplinkConfig) *mqttUplink {
	u := &mqttUplink{cfg: cfg, addrs: addrs, done: make(chan struct{}), wait: waiters{by: map[string]chan []byte{}}}
	ctx, u.cancel = context.WithCancel(context.WithoutCancel(ctx))
	go u.run(ctx)
	return u
}

func (u *mqttUplink) close() {
	u.cancel()
	<-u.done
}

func (u *mqttUplink) connected() bool { return u.conn.Load() != nil }

// run keeps one connection up.
func (u *mqttUplink) run(ctx context.Context) {
	defer close(u.done)
	var p pause
	for i := 0; ctx.Err() == nil; i++ {
		c, err := u.connect(ctx, u.addrs[i%len(u.addrs)])
		if err == nil {
			p.reset()
			u.conn.Store(c)
			u.cfg.changed(true)
			select {
			case <-c.Done():
			case <-ctx.Done():
				_ = c.Disconnect(&paho.Disconnect{})
				<-c.Done()
			}
			u.conn.Store(nil)
			u.cfg.changed(false)
			u.fail()
		} else if ctx.Err() == nil {
			u.cfg.client.log.Debug("no connection to the platform", "err", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(p.next()):
		}
	}
}

func (u *mqttUplink) topic(leaf string) string {
	return api.Topic(u.cfg.id.Org, u.cfg.id.Gateway, leaf)
}

// connect returns a connection that listens to the client's topics.
func (u *mqttUplink) connect(ctx context.Context, addr string) (*paho.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	d := tls.Dialer{Config: u.cfg.tls}
	raw, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	conn := packets.NewThreadSafeConn(raw)
	c := paho.NewClient(paho.ClientConfig{
		ClientID: string(u.cfg.id.Gateway), Conn: conn, PacketTimeout: requestTimeout,
		OnPublishReceived: []func(paho.PublishReceived) (bool, error){u.received},
		OnClientError:     func(error) { _ = raw.Close() },
	})
	most := uint32(api.MaxDesired)
	_, err = c.Connect(ctx, &paho.Connect{
		ClientID: string(u.cfg.id.Gateway), KeepAlive: keepAlive, CleanStart: true, Properties: &paho.ConnectProperties{MaximumPacketSize: &most},
	})
	if err != nil {
		_ = raw.Close()
		return nil, err
	}
	sub := &paho.Subscribe{}
	for _, leaf := range []string{api.TopicAck, api.TopicDesired, api.TopicPoke} {
		sub.Subscriptions = append(sub.Subscriptions, paho.SubscribeOptions{Topic: u.topic(leaf)})
	}
	if _, err := c.Subscribe(ctx, sub); err != nil {
		_ = c.Disconnect(&paho.Disconnect{})
		_ = raw.Close()
		return nil, err
	}
	return c, nil
}

// received takes what the platform publishes.
func (u *mqttUplink) received(p paho.PublishReceived) (bool, error) {
	if p.Packet.Topic == u.topic(api.TopicPoke) {
		u.cfg.poked()
		return true, nil
	}
	if p.Packet.Properties == nil {
		return true, nil
	}
	key := string(p.Packet.Properties.CorrelationData)
	u.wait.mu.Lock()
	ch := u.wait.by[key]
	delete(u.wait.by, key)
	u.wait.mu.Unlock()
	if ch != nil {
		ch <- p.Packet.Payload // of length 1, and nobody else has it
	}
	return true, nil
}

// fail ends all requests that wait: their connection is gone.
func (u *mqttUplink) fail() {
	u.wait.mu.Lock()
	defer u.wait.mu.Unlock()
	for key, ch := range u.wait.by {
		close(ch)
		delete(u.wait.by, key)
	}
}

func (u *mqttUplink) request(ctx context.Context, leaf string, data []byte) ([]byte, error) {
	c := u.conn.Load()
	away := ringwall.Errorf(ringwall.Unavailable, "there is no connection to the platform")
	if c == nil {
		return nil, away
	}
	response := u.topic(api.TopicDesired)
	if leaf == api.TopicReport {
		response = u.topic(api.TopicAck)
	}
	ch := make(chan []byte, 1)
	u.wait.mu.Lock()
	u.wait.next++
	key := strconv.FormatUint(u.wait.next, 36)
	u.wait.by[key] = ch
	u.wait.mu.Unlock()
	defer func() {
		u.wait.mu.Lock()
		delete(u.wait.by, key)
		u.wait.mu.Unlock()
	}()
	// The answer says all; of the acknowledgement only that nothing came is of use.
	r, err := c.Publish(ctx, &paho.Publish{
		QoS: 1, Topic: u.topic(leaf), Payload: data, Properties: &paho.PublishProperties{ResponseTopic: response, CorrelationData: []byte(key)},
	})
	if err != nil && (r == nil || r.ReasonCode < 0x80) {
		return nil, ringwall.Errorf(ringwall.Unavailable, "asking the platform: %w", err)
	}
	select {
	case b, ok := <-ch:
		if !ok {
			return nil, away
		}
		return b, nil
	case <-ctx.Done():
		return nil, ringwall.Errorf(ringwall.Unavailable, "the platform does not answer: %w", ctx.Err())
	}
}

var _ net.Error = (*Refusal)(nil)
