// Package mqtt finds brokers that let anybody in: who may read every message
// learns what a house does (CO-09), and who may do so in plain text is managed in
// plain text (CO-07).
//
// It connects without a name or password, subscribes to the broker's own figures
// and to everything, listens for a moment, and leaves. It publishes nothing and
// keeps no message: names of topics are counted, and a few are shown without what
// looks like an id. A broker must refuse a version of the protocol that does not
// exist (MQTT 3.1.1 section 3.1.2.2); one that takes it says yes to everything, and
// its yes means nothing.
//
// Standards: MQTT 3.1.1 sections 3.1, 3.2, 3.8, 3.9 and 4.7.
package mqtt

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/probe/fetch"
	"github.com/ringwall/ringwall/internal/probe/tlscheck"
)

// Probe is the MQTT probe.
type Probe struct{}

// Def says what the probe is.
func (Probe) Def() assess.Definition {
	return assess.Definition{
		ID: "mqtt", Title: "MQTT: brokers that let anybody in",
		Sends:      "on each of at most 2 MQTT ports two connections without credentials, one of them with a version that does not exist, and one subscription; nothing is published",
		Indicators: []string{"CO-07", "CO-09"}, Needs: []string{"mqtt", "mqtts"}, Intrusion: assess.Asks, Together: true,
	}
}

const (
	maxServices = 2
	answerIn    = 4 * time.Second
	// listenFor is long enough for retained messages, which come at once.
	listenFor = 1200 * time.Millisecond
	maxTopics = 256
	level311  = 4
	levelNone = 0x6d // no version has it
)

// broker is what one port showed.
type broker struct {
	port     uint16
	inTLS    bool
	refused  bool // it wants credentials
	open     bool
	anything bool // it took a version that does not exist
	granted  []bool
	topics   []string
	version  string
}

// Run looks at the brokers of the target.
func (Probe) Run(ctx context.Context, env *assess.Env, t assess.Target) (assess.Answer, error) {
	var a assess.Answer
	services := env.Named("mqtt", "mqtts")
	for _, s := range services[:min(len(services), maxServices)] {
		b, err := visit(ctx, env.Net, t.AddrPort(s.Port), s)
		if err != nil {
			env.Say("mqtt: port %d: %v", s.Port, err)
			continue
		}
		a.Findings = append(a.Findings, judge(b)...)
		if m := regexp.MustCompile(`(?i)^mosquitto version ([0-9]+\.[0-9]+\.[0-9]+)`).FindStringSubmatch(b.version); m != nil {
			a.Components = append(a.Components, api.Component{Name: "mosquitto", Version: m[1], Exposed: true, How: "$SYS/broker/version"})
		}
	}
	return a, nil
}

func visit(ctx context.Context, n assess.Network, address string, s api.Service) (broker, error) {
	b := broker{port: s.Port, inTLS: s.Name == "mqtts"}
	err := session(ctx, n, address, b.inTLS, func(c net.Conn, r *bufio.Reader) error { return b.enter(c, r) })
	if err != nil || !b.open {
		return b, err
	}
	_ = session(ctx, n, address, b.inTLS, func(c net.Conn, r *bufio.Reader) error { // hanging up is a refusal
		if _, err := c.Write(connect(clientID(), levelNone).bytes()); err != nil {
			return err
		}
		p, err := readPacket(r, r)
		if err != nil {
			return err
		}
		code, err := connack(p)
		b.anything = err == nil && code == 0
		return err
	})
	return b, ctx.Err()
}

func clientID() string { return "ringwall-" + strings.ToLower(rand.Text()[:8]) }

// enter connects, subscribes and listens.
func (b *broker) enter(c net.Conn, r *bufio.Reader) error {
	if _, err := c.Write(connect(clientID(), level311).bytes()); err != nil {
		return err
	}
	p, err := readPacket(r, r)
	if err != nil {
		return err
	}
	code, err := connack(p)
	if err != nil {
		return err
	}
	if b.refused = code != 0; b.refused {
		return nil
	}
	const id = 21079
	filters := []string{"$SYS/#", "#"}
	if _, err := c.Write(subscribe(id, filters...).bytes()); err != nil {
		return err
	}
	if err := c.SetReadDeadline(time.Now().Add(listenFor)); err != nil {
		return err
	}
	for len(b.topics) < maxTopics {
		p, err := readPacket(r, r)
		if err != nil {
			break // the time is over, or it hung up
		}
		switch p.kind {
		case typeSuback:
			if b.granted, err = suback(p, id, len(filters)); err != nil {
				return err
			}
			b.open = slices.Contains(b.granted, true)
		case typePublish:
			b.note(p)
		}
	}
	_, _ = c.Write(packet{kind: typeDisconnect}.bytes()) // politeness; it may be gone
	return nil
}

func (b *broker) note(p packet) {
	name, size, err := topic(p)
	if err != nil {
		return
	}
	if name == "$SYS/broker/version" {
		b.version = fetch.Clean(string(p.body[len(p.body)-min(size, 80):]), 60)
	}
	if !slices.Contains(b.topics, name) {
		b.topics = append(b.topics, name)
	}
}

// session runs f on a connection of its own.
func session(ctx context.Context, n assess.Network, address string, inTLS bool, f func(net.Conn, *bufio.Reader) error) error {
	dialCtx, cancel := context.WithTimeout(ctx, answerIn)
	defer cancel()
	c, err := n.DialContext(dialCtx, "tcp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(answerIn)); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if inTLS {
		c = tls.Client(c, tlscheck.Client())
	}
	err = f(c, bufio.NewReader(c))
	if errors.Is(err, errNotMQTT) {
		return fmt.Errorf("talking to a broker: %w", err)
	}
	return err
}

// judge answers CO-07 and CO-09 for one port.
func judge(b broker) []ringwall.Finding {
	plain, told := ringwall.Finding{Indicator: "CO-07"}, ringwall.Finding{Indicator: "CO-09"}
	at := fmt.Sprintf("the MQTT broker on port %d", b.port)
	switch {
	case b.anything:
		plain.Title = at + " says yes to everything, so its yes means nothing"
		plain.Evidence = []string{"negative control: a version that does not exist was taken"}
		return []ringwall.Finding{plain}
	case b.open:
		var own []string
		for _, t := range b.topics {
			if !strings.HasPrefix(t, "$") {
				own = append(own, t)
			}
		}
		told.Outcome, told.Confidence, told.Title = ringwall.Fail, ringwall.Confirmed, at+" lets anybody read its messages"
		told.Evidence = []string{"it let us in without a name or password", "negative control: a version that does not exist was refused"}
		if b.granted[len(b.granted)-1] {
			told.Evidence = append(told.Evidence, fmt.Sprintf("a subscription to everything was granted; %d topics in %v", len(own), listenFor))
		} else {
			told.Title = at + " tells anybody its own figures"
			told.Outcome = ringwall.Partial
		}
		for _, t := range own[:min(len(own), 6)] {
			told.Evidence = append(told.Evidence, "topic "+masked(t))
		}
		plain.Outcome, plain.Confidence, plain.Title = ringwall.Fail, ringwall.Confirmed, at+" takes commands from anybody"
		plain.Evidence = []string{"a client without a name or password was let in"}
		if b.inTLS {
			return []ringwall.Finding{told}
		}
		return []ringwall.Finding{plain, told}
	case !b.inTLS && b.refused:
		plain.Outcome, plain.Confidence, plain.Title = ringwall.Partial, ringwall.Observed, at+" takes passwords in plain text"
		plain.Evidence = []string{"a client without a name and password was refused", "the connection is not encrypted"}
		return []ringwall.Finding{plain}
	}
	return nil
}

// masked shows a topic without what looks like an id.
func masked(t string) string {
	return regexp.MustCompile(`[0-9A-Fa-f]{6,}|[0-9]{4,}`).ReplaceAllString(fetch.Clean(t, 80), "…")
}
