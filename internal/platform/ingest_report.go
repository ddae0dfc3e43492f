package platform

import (
	"context"
	"sync"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
)

const (
	// slowReports bounds how many batches at once may take the long way: those in
	// JSON, and the first of a gateway in a while, which is authorised anew.
	slowReports = 32
	// slowTime is what one of them may take.
	slowTime = 30 * time.Second
)

// receiver returns what takes a batch and answers when it is durable. It is
// called for one after the other: what comes in binary form from a gateway that
// was let in lately goes straight into the segments, and the answer follows the
// group commit. The rest goes the long way, beside it, until ctx ends.
func (d *gatewayDesk) receiver(ctx context.Context, aside *beside) func(subject string, data []byte, reply func([]byte)) {
	slow := make(chan struct{}, slowReports)
	return func(subject string, data []byte, reply func([]byte)) {
		org, gw, err := speaker(subject)
		if err == nil && api.IsBinaryBatch(data) && len(data) <= api.MaxBatchBytes {
			if _, ok := d.kept(deskKey{org, gw, audit.GatewayReport}); ok {
				d.hears.note(gw)
				d.segments.Submit(org, gw, data, func(ack api.BatchAck, err error) { reply(d.acknowledge(subject, len(data), ack, err)) })
				return
			}
		}
		select {
		case slow <- struct{}{}:
		case <-ctx.Done():
			return
		}
		aside.do(func() {
			defer func() { <-slow }()
			ctx, cancel := context.WithTimeout(ctx, slowTime)
			defer cancel()
			ack, err := d.take(ctx, subject, data)
			reply(d.acknowledge(subject, len(data), ack, err))
		})
	}
}

// acknowledge returns the answer to a batch.
func (d *gatewayDesk) acknowledge(subject string, size int, ack api.BatchAck, err error) []byte {
	if err != nil {
		d.log.Warn("batch refused", "subject", subject, "bytes", size, "cause", err)
		ack.Error = words(err)
	}
	ack.Time = d.now().UTC()
	return answer(ack)
}

// take authorises a gateway and stores its batch, in either form.
func (d *gatewayDesk) take(ctx context.Context, subject string, data []byte) (api.BatchAck, error) {
	org, gw, err := speaker(subject)
	if err != nil {
		return api.BatchAck{}, err
	}
	if len(data) > api.MaxBatchBytes {
		return api.BatchAck{}, ringwall.Errorf(ringwall.Invalid, "batch of %d bytes is over the limit of %d", len(data), api.MaxBatchBytes)
	}
	if _, err := d.scope(ctx, org, gw, audit.GatewayReport); err != nil {
		return api.BatchAck{}, err
	}
	d.hears.note(gw)
	b, err := api.ReadBatch(data)
	if err != nil {
		return api.BatchAck{}, err
	}
	return d.segments.Ingest(ctx, org, gw, b)
}

// beside owns goroutines that are begun until it is closed.
type beside struct {
	mu     sync.Mutex
	closed bool
	wg     sync.WaitGroup
}

func (b *beside) do(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		b.wg.Go(f)
	}
}

// close waits for those that were begun.
func (b *beside) close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.wg.Wait()
}
