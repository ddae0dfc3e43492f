package kafka

import (
	"context"
	"crypto/tls"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
)

// Server says which Kafka, and who we are to it.
type Server struct {
	Brokers []string
	TLS     *tls.Config // nil = in clear, on a network of one's own
	// User and Password, when set, are those of Mechanism: "plain",
	// "scram-sha-256", "scram-sha-512".
	User, Password, Mechanism string
}

func (s Server) options() ([]kgo.Opt, error) {
	if len(s.Brokers) == 0 {
		return nil, ringwall.Errorf(ringwall.Invalid, "kafka: no brokers")
	}
	opts := []kgo.Opt{kgo.SeedBrokers(s.Brokers...), kgo.ClientID("ringwall"), kgo.RetryTimeout(0)}
	if s.TLS != nil {
		opts = append(opts, kgo.DialTLSConfig(s.TLS))
	}
	if s.User == "" {
		return opts, nil
	}
	if s.TLS == nil {
		return nil, ringwall.Errorf(ringwall.Invalid, "kafka: a password is sent over TLS only")
	}
	auth := scram.Auth{User: s.User, Pass: s.Password}
	switch s.Mechanism {
	case "plain":
		opts = append(opts, kgo.SASL(plain.Auth{User: s.User, Pass: s.Password}.AsMechanism()))
	case "scram-sha-256":
		opts = append(opts, kgo.SASL(auth.AsSha256Mechanism()))
	case "scram-sha-512":
		opts = append(opts, kgo.SASL(auth.AsSha512Mechanism()))
	default:
		return nil, ringwall.Errorf(ringwall.Invalid, `kafka: mechanism %.20q is none of "plain", "scram-sha-256", "scram-sha-512"`, s.Mechanism)
	}
	return opts, nil
}

// Producer writes batches.
type Producer struct {
	c     *kgo.Client
	topic string
}

// NewProducer makes a producer for a topic. Errors have code Invalid.
func NewProducer(s Server, topic string) (*Producer, error) {
	opts, err := s.options()
	if err != nil {
		return nil, err
	}
	c, err := kgo.NewClient(append(opts,
		kgo.RequiredAcks(kgo.AllISRAcks()), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchMaxBytes(8<<20), kgo.ProducerLinger(0),
		kgo.DefaultProduceTopic(topic), kgo.ProducerBatchCompression(kgo.Lz4Compression(), kgo.NoCompression()),
	)...)
	if err != nil {
		return nil, ringwall.Errorf(ringwall.Invalid, "kafka: %v", err)
	}
	return &Producer{c, topic}, nil
}

// Send writes a message to a partition and returns its offset when all replicas in
// sync have it. The error has code Unavailable; then it may have been written all
// the same.
func (p *Producer) Send(ctx context.Context, partition int32, value []byte) (int64, error) {
	r, err := p.c.ProduceSync(ctx, &kgo.Record{Topic: p.topic, Partition: partition, Value: value}).First()
	if err != nil {
		return 0, ringwall.Errorf(ringwall.Unavailable, "writing to Kafka: %w", err)
	}
	return r.Offset, nil
}

// SendBatch writes a batch, with the records behind it.
func (p *Producer) SendBatch(ctx context.Context, partition int32, b *cdr.Batch) (int64, error) {
	w, err := cdr.AppendBatch(nil, b, true)
	if err != nil {
		return 0, err
	}
	return p.Send(ctx, partition, w)
}

// Close ends the producer; what was not acknowledged may be lost.
func (p *Producer) Close() { p.c.Close() }

// troubleEvery is how often trouble of one kind is told.
const troubleEvery = 10 * time.Second
