package agent_test

import (
	"context"
	"crypto/tls"
	"path/filepath"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/segment"
)

// TestAgent_platformLostItsStore: a platform that was restored to nothing gets
// what the gateway still has, and is told what it has not.
func TestAgent_platformLostItsStore(t *testing.T) {
	r := newRig(t)
	p := r.start()
	r.publish(desired(1, ringwall.Enforce))
	r.serving(p, 1)
	eventually(t, p, "records arrive", time.Minute, func() bool { return len(r.stored()) > 0 })
	r.stopPlatform()
	must(t, r.store.Close())
	fresh, err := segment.Open(filepath.Join(r.dir, "fresh"), segment.Config{})
	must(t, err)
	t.Cleanup(func() { fresh.Close() })
	r.store = fresh
	r.startPlatform()
	r.publish(desired(2, ringwall.Enforce))
	r.serving(p, 2)
	eventually(t, p, "the new store has the gateway's records, from the first on", 60*time.Second, func() bool {
		acks := map[uint64]bool{}
		seq := uint64(0)
		_, err := r.store.Scan(context.Background(), segment.Cursor{}, func(_ ringwall.GatewayID, _ ringwall.OrgID, rec api.Record) error {
			seq = rec.Seq
			return nil
		})
		must(t, err)
		if seq == 0 {
			return false
		}
		for _, a := range find[api.Ack](r, api.RecordAck) {
			acks[a.Generation] = true
		}
		return acks[2]
	})
}

// TestAgent_renewsItsCertificate long before it ends, and connects with the
// new one.
func TestAgent_renewsItsCertificate(t *testing.T) {
	r := newRig(t)
	r.clock.Store(-int64(25 * 24 * time.Hour)) // certificates live for thirty days
	r.enrol()
	r.clock.Store(0)
	pair := func() tls.Certificate {
		c, err := tls.LoadX509KeyPair(filepath.Join(r.state, "gateway.pem"), filepath.Join(r.state, "gateway.pem"))
		must(t, err)
		return c
	}
	before := pair()
	p := r.start()
	r.publish(desired(1, ringwall.Enforce))
	r.serving(p, 1)
	eventually(t, p, "the certificate is renewed", time.Minute, func() bool {
		return pair().Leaf.NotAfter.After(before.Leaf.NotAfter.Add(24 * time.Hour))
	})
	serial := pair().Leaf.SerialNumber
	r.stopPlatform()
	r.startPlatform()
	eventually(t, p, "the gateway connects again", 60*time.Second, func() bool {
		s, err := r.status()
		return err == nil && s.Connected
	})
	time.Sleep(2500 * time.Millisecond) // a poll
	if got := pair().Leaf.SerialNumber; got.Cmp(serial) != 0 {
		t.Error("a fresh certificate is renewed again")
	}
}
