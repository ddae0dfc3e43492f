package spine

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ringwall/ringwall"
)

// Events is what Subscribe listens to for all events as they are published,
// at most once.
const Events = "rw.*.*.*"

const (
	// streamName is the one stream, of all organisations' events.
	streamName = "EVENTS"
	// eventSubjects has four tokens; what gateways say has five.
	eventSubjects = Events
	// dedupe is how long the stream knows the ids of events: longer than a
	// restart takes. Past it, consumers still deduplicate.
	dedupe = time.Hour
	// The stream carries changes, the database is the truth: what no consumer
	// has taken after a week it will read there.
	keepAge   = 7 * 24 * time.Hour
	keepBytes = 1 << 30
	maxEvent  = 256 << 10

	ackWait     = 30 * time.Second
	redeliver   = 2 * time.Second // after a handler's error; it doubles up to the next
	redeliverAt = time.Minute
	fetchAtOnce = 64
)

// Subject returns where an event is published: rw.<org>.<kind>.<id>, with the
// kind's dots made dashes and the id of what it is about.
func Subject(e ringwall.Event) string {
	id := e.Subject.ID
	if id == "" || strings.ContainsAny(id, ".*> \t\r\n") {
		id = ringwall.DeriveID("x", string(e.Subject.Kind), id)
	}
	return "rw." + string(e.Org) + "." + strings.ReplaceAll(e.Kind, ".", "-") + "." + id
}

// Stream makes the stream of events, or brings its settings up to date.
func (c *Conn) Stream(ctx context.Context) error {
	js, err := jetstream.New(c.nc)
	if err != nil {
		return ringwall.Errorf(ringwall.Unavailable, "reaching the stream of events: %w", err)
	}
	_, err = js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: streamName, Subjects: []string{eventSubjects}, Storage: jetstream.FileStorage, Retention: jetstream.LimitsPolicy,
		Discard: jetstream.DiscardOld, MaxAge: keepAge, MaxBytes: keepBytes, MaxMsgSize: maxEvent, Duplicates: dedupe, Replicas: 1,
	})
	if err != nil {
		return ringwall.Errorf(ringwall.Unavailable, "making the stream of events: %w", err)
	}
	return nil
}

// PublishEvent publishes an event and returns when the stream has it on its
// disk. Published again, it is kept once. Codes: Unavailable when it is not
// known to be kept.
func (c *Conn) PublishEvent(ctx context.Context, e ringwall.Event) error {
	if e.ID == "" || !ringwall.ValidID(ringwall.PrefixOrg, string(e.Org)) || e.Kind == "" || strings.ContainsAny(e.Kind, "*> \t\r\n") {
		return ringwall.Errorf(ringwall.Invalid, "event %.40q of kind %.40q has no subject", e.ID, e.Kind)
	}
	data, err := json.Marshal(e)
	if err != nil {
		return ringwall.Errorf(ringwall.Invalid, "encoding event %q: %w", e.ID, err)
	}
	if len(data) > maxEvent {
		return ringwall.Errorf(ringwall.Invalid, "event %q has %d bytes, over the limit of %d", e.ID, len(data), maxEvent)
	}
	js, err := jetstream.New(c.nc)
	if err != nil {
		return ringwall.Errorf(ringwall.Unavailable, "reaching the stream of events: %w", err)
	}
	if _, err := js.Publish(ctx, Subject(e), data, jetstream.WithMsgID(string(e.ID))); err != nil {
		return ringwall.Errorf(ringwall.Unavailable, "publishing event %q: %w", e.ID, err)
	}
	return nil
}

// Consume hands every event whose subject matches filter ("" = all) to f, in
// order, until ctx ends; then it returns nil. durable names the consumer: it
// goes on where it was. When f fails, the event comes again a little later.
func (c *Conn) Consume(ctx context.Context, durable, filter string, f func(ringwall.Event) error) error {
	if filter == "" {
		filter = eventSubjects
	}
	for attempt := 1; ; attempt++ {
		err := c.consume(ctx, durable, filter, f)
		if ctx.Err() != nil {
			return nil
		}
		c.log.Warn("spine consumer interrupted", "consumer", durable, "err", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(backoff(attempt)):
		}
	}
}

func (c *Conn) consume(ctx context.Context, durable, filter string, f func(ringwall.Event) error) error {
	js, err := jetstream.New(c.nc)
	if err != nil {
		return err
	}
	consumer, err := js.CreateOrUpdateConsumer(ctx, streamName, jetstream.ConsumerConfig{
		Durable: durable, FilterSubject: filter, AckPolicy: jetstream.AckExplicitPolicy, AckWait: ackWait,
		DeliverPolicy: jetstream.DeliverAllPolicy, MaxAckPending: fetchAtOnce, MaxDeliver: -1,
	})
	if err != nil {
		return err
	}
	messages, err := consumer.Messages(jetstream.PullMaxMessages(fetchAtOnce))
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, messages.Stop)
	defer stop()
	defer messages.Stop()
	for {
		m, err := messages.Next()
		if err != nil {
			if errors.Is(err, jetstream.ErrMsgIteratorClosed) && ctx.Err() != nil {
				return nil
			}
			return err
		}
		if err := c.hand(m, f); err != nil {
			return err
		}
	}
}

// hand gives one message to f and tells the stream what became of it.
func (c *Conn) hand(m jetstream.Msg, f func(ringwall.Event) error) error {
	var e ringwall.Event
	if err := json.Unmarshal(m.Data(), &e); err != nil {
		// It will not read better next time.
		c.log.Error("event cannot be read and is dropped", "subject", m.Subject(), "err", err)
		return m.Term()
	}
	if err := f(e); err != nil {
		wait := redeliver
		if meta, err := m.Metadata(); err == nil {
			wait = min(redeliverAt, redeliver<<min(meta.NumDelivered-1, 10))
		}
		c.log.Warn("event not handled, comes again", "event", e.ID, "kind", e.Kind, "wait", wait, "err", err)
		return m.NakWithDelay(wait)
	}
	return m.Ack()
}
