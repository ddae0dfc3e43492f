package usagelog

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// ShardStatus is how one shard stands.
type ShardStatus struct {
	Shard       int       `json:"shard"`
	First       uint64    `json:"first"` // of the log
	Last        uint64    `json:"last"`
	Bytes       uint64    `json:"bytes"`
	Owner       string    `json:"owner,omitempty"` // the machine that judges it; "" = none
	Epoch       uint64    `json:"epoch,omitempty"` // of the newest snapshot
	Covered     uint64    `json:"covered"`         // by the newest snapshot
	SnapshotLen int64     `json:"snapshotBytes,omitempty"`
	Newest      time.Time `json:"newest,omitzero"` // when the newest entry was appended
}

// Status tells how every shard stands: what of its log no snapshot covers is what
// a new owner would judge again.
func (c *Cluster) Status(ctx context.Context) ([]ShardStatus, error) {
	all := make([]ShardStatus, c.cfg.Shards)
	for s := range all {
		st := ShardStatus{Shard: s}
		call, cancel := limited(ctx)
		defer cancel()
		stream, err := c.js.Stream(call, c.stream(s))
		if err != nil {
			return nil, unavailable(err, "looking at shard %d", s)
		}
		state := stream.CachedInfo().State
		st.First, st.Last, st.Bytes, st.Newest = state.FirstSeq, state.LastSeq, state.Bytes, state.LastTime
		e, err := c.leases.Get(call, strconv.Itoa(s))
		switch {
		case err == nil:
			_, st.Owner, _ = strings.Cut(string(e.Value()), " ")
		case !errors.Is(err, jetstream.ErrKeyNotFound):
			return nil, unavailable(err, "looking for the owner of shard %d", s)
		}
		g, _, err := c.generations(call, s)
		if err != nil {
			return nil, err
		}
		if len(g) > 0 {
			st.Epoch, st.Covered, st.SnapshotLen = g[0].Epoch, g[0].Seq, g[0].Size
		}
		all[s] = st
	}
	return all, nil
}
