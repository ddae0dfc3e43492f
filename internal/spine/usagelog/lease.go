package usagelog

import (
	"context"
	"encoding/hex"
	"errors"
	"strconv"

	"crypto/rand"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/usage/shard"
)

// nodeKey is a machine's name as a key: NATS takes few characters.
func nodeKey(node string) string { return hex.EncodeToString([]byte(node)) }

// Join implements shard.Leases.
func (c *Cluster) Join(ctx context.Context, node string) (int, error) {
	ctx, cancel := limited(ctx)
	defer cancel()
	if _, err := c.nodes.Put(ctx, nodeKey(node), nil); err != nil {
		return 0, unavailable(err, "announcing this machine")
	}
	keys, err := c.nodes.Keys(ctx)
	if err != nil && !errors.Is(err, jetstream.ErrNoKeysFound) {
		return 0, unavailable(err, "counting the machines")
	}
	return max(len(keys), 1), nil
}

// Leave implements shard.Leases.
func (c *Cluster) Leave(ctx context.Context, node string) error {
	ctx, cancel := limited(ctx)
	defer cancel()
	if err := c.nodes.Delete(ctx, nodeKey(node)); err != nil {
		return unavailable(err, "taking back the announcement of this machine")
	}
	return nil
}

// taken reports whether err says that a key is not as it was expected to be.
func taken(err error) bool {
	return errors.Is(err, jetstream.ErrKeyExists) || errors.Is(err, jetstream.ErrKeyRevisionMismatch)
}

// Acquire implements shard.Leases.
func (c *Cluster) Acquire(ctx context.Context, s int, node string) (shard.Lease, error) {
	ctx, cancel := limited(ctx)
	defer cancel()
	var nonce [8]byte
	if _, err := rand.Read(nonce[:]); err != nil {
		panic("usagelog: the system's random source failed: " + err.Error())
	}
	// The nonce tells our own words from those of an earlier life of this machine.
	value := hex.EncodeToString(nonce[:]) + " " + node
	revision, err := c.leases.Create(ctx, strconv.Itoa(s), []byte(value))
	if taken(err) {
		return shard.Lease{}, ringwall.Errorf(ringwall.Conflict, "shard %d is owned", s)
	}
	if err != nil {
		// Created or not: if it was, it ends by itself.
		return shard.Lease{}, unavailable(err, "taking shard %d", s)
	}
	l := shard.Lease{Shard: s, Epoch: revision}
	c.mu.Lock()
	c.held[l] = held{value, revision}
	c.mu.Unlock()
	return l, nil
}

var errNotOwned = ringwall.Errorf(ringwall.Conflict, "the shard is not owned any more")

func (c *Cluster) holding(l shard.Lease) (held, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h, ok := c.held[l]
	if !ok {
		return h, errNotOwned
	}
	return h, nil
}

func (c *Cluster) drop(l shard.Lease) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.held, l)
}

// Renew implements shard.Leases.
func (c *Cluster) Renew(ctx context.Context, l shard.Lease, _ string) error {
	ctx, cancel := limited(ctx)
	defer cancel()
	h, err := c.holding(l)
	if err != nil {
		return err
	}
	for {
		revision, err := c.leases.Update(ctx, strconv.Itoa(l.Shard), []byte(h.value), h.revision)
		if err == nil {
			c.mu.Lock()
			c.held[l] = held{h.value, revision}
			c.mu.Unlock()
			return nil
		}
		if !taken(err) {
			return unavailable(err, "renewing shard %d", l.Shard)
		}
		// It is another's, or an earlier renewal arrived whose answer did not.
		e, err := c.leases.Get(ctx, strconv.Itoa(l.Shard))
		if errors.Is(err, jetstream.ErrKeyNotFound) || err == nil && string(e.Value()) != h.value {
			c.drop(l)
			return errNotOwned
		}
		if err != nil {
			return unavailable(err, "renewing shard %d", l.Shard)
		}
		if e.Revision() == h.revision {
			return unavailable(errNotOwned, "renewing shard %d", l.Shard)
		}
		h.revision = e.Revision()
	}
}

// Release implements shard.Leases.
func (c *Cluster) Release(ctx context.Context, l shard.Lease, node string) error {
	if err := c.Renew(ctx, l, node); err != nil { // so that the revision is known
		return err
	}
	ctx, cancel := limited(ctx)
	defer cancel()
	h, err := c.holding(l)
	if err != nil {
		return err
	}
	c.drop(l)
	err = c.leases.Delete(ctx, strconv.Itoa(l.Shard), jetstream.LastRevision(h.revision))
	if taken(err) {
		return errNotOwned
	}
	if err != nil {
		return unavailable(err, "giving shard %d away", l.Shard)
	}
	return nil
}
