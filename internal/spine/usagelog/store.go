package usagelog

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"crypto/rand"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/durable"
	"github.com/ringwall/ringwall/internal/usage/shard"
)

// objects holds large things by names that are used once.
type objects interface {
	// put keeps what write writes, durably, or nothing.
	put(ctx context.Context, name string, write func(io.Writer) error) error
	get(ctx context.Context, name string) (io.ReadCloser, error)
	del(ctx context.Context, name string) error
}

// generations is the key of a shard's snapshots, newest first.
type generations []generation

type generation struct {
	Epoch  uint64 `json:"epoch"`
	Seq    uint64 `json:"seq"`
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

const keptGenerations = 2

func (c *Cluster) generations(ctx context.Context, s int) (g generations, revision uint64, err error) {
	e, err := c.newest.Get(ctx, strconv.Itoa(s))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, unavailable(err, "looking for snapshots of shard %d", s)
	}
	if err := json.Unmarshal(e.Value(), &g); err != nil {
		return nil, 0, ringwall.Errorf(ringwall.Internal, "the list of snapshots of shard %d cannot be read: %w", s, err)
	}
	return g, e.Revision(), nil
}

// summed counts and hashes what goes through.
type summed struct {
	w io.Writer
	h hash.Hash
	n int64
}

func (s *summed) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	s.h.Write(p[:n])
	s.n += int64(n)
	return n, err
}

// Put implements shard.Store.
func (c *Cluster) Put(ctx context.Context, l shard.Lease, seq uint64, write func(io.Writer) error) (uint64, error) {
	stale := func(g generations) bool {
		return len(g) > 0 && (g[0].Epoch > l.Epoch || g[0].Epoch == l.Epoch && g[0].Seq >= seq)
	}
	old, revision, err := c.generations(ctx, l.Shard)
	if err != nil {
		return 0, err
	}
	errStale := ringwall.Errorf(ringwall.Conflict, "shard %d has a newer snapshot", l.Shard)
	if stale(old) {
		return 0, errStale
	}
	var nonce [8]byte
	if _, err := rand.Read(nonce[:]); err != nil {
		panic("usagelog: the system's random source failed: " + err.Error())
	}
	g := generation{Epoch: l.Epoch, Seq: seq, Name: fmt.Sprintf("%s-%d-%d-%d-%s", c.cfg.Name, l.Shard, l.Epoch, seq, hex.EncodeToString(nonce[:]))}
	err = c.objects.put(ctx, g.Name, func(w io.Writer) error {
		sum := &summed{w: w, h: sha256.New()}
		err := write(sum)
		g.Size, g.SHA256 = sum.n, hex.EncodeToString(sum.h.Sum(nil))
		return err
	})
	if err != nil {
		return 0, err
	}
	for {
		next := append(generations{g}, old[:min(len(old), keptGenerations-1)]...)
		value, err := json.Marshal(next)
		if err != nil {
			return 0, ringwall.Errorf(ringwall.Internal, "writing the list of snapshots: %w", err)
		}
		key := strconv.Itoa(l.Shard)
		if revision == 0 {
			_, err = c.newest.Create(ctx, key, value)
		} else {
			_, err = c.newest.Update(ctx, key, value, revision)
		}
		if err == nil {
			break
		}
		// Whether it was written is seen by reading: an answer may have been lost.
		again, at, look := c.generations(ctx, l.Shard)
		if look != nil {
			return 0, look // the object stays; nothing names it
		}
		if len(again) > 0 && again[0].Name == g.Name {
			break
		}
		if !taken(err) {
			return 0, unavailable(err, "keeping a snapshot of shard %d", l.Shard)
		}
		if old, revision = again, at; stale(old) {
			c.forget(ctx, g)
			return 0, errStale
		}
	}
	for _, o := range old[min(len(old), keptGenerations-1):] {
		c.forget(ctx, o)
	}
	if len(old) == 0 {
		return 0, nil
	}
	return old[0].Seq, nil
}

func (c *Cluster) forget(ctx context.Context, g generation) {
	if err := c.objects.del(ctx, g.Name); err != nil {
		c.log.Warn("an old snapshot stays", "name", g.Name, "err", err)
	}
}

// Get implements shard.Store.
func (c *Cluster) Get(ctx context.Context, s int, read func(seq uint64, r io.Reader) error) error {
	all, _, err := c.generations(ctx, s)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return ringwall.Errorf(ringwall.NotFound, "shard %d has no snapshot", s)
	}
	for _, g := range all {
		if err = c.read(ctx, g, read); err == nil {
			return nil
		}
		c.log.Warn("a snapshot cannot be read", "name", g.Name, "err", err)
	}
	return err
}

// read hands out one snapshot, of which read sees the end only when it is whole.
func (c *Cluster) read(ctx context.Context, g generation, read func(seq uint64, r io.Reader) error) error {
	r, err := c.objects.get(ctx, g.Name)
	if err != nil {
		return err
	}
	defer r.Close() // it was only read
	return read(g.Seq, &checked{r: bufio.NewReaderSize(r, 256<<10), h: sha256.New(), want: g})
}

// checked gives io.EOF only at the end of what was written.
type checked struct {
	r    io.Reader
	h    hash.Hash
	n    int64
	want generation
}

func (c *checked) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.h.Write(p[:n])
	c.n += int64(n)
	if err == io.EOF && (c.n != c.want.Size || hex.EncodeToString(c.h.Sum(nil)) != c.want.SHA256) {
		return n, ringwall.Errorf(ringwall.Invalid, "snapshot %s is damaged", c.want.Name)
	}
	return n, err
}

// natsObjects is the server's object store.
type natsObjects struct{ store jetstream.ObjectStore }

func (o natsObjects) put(ctx context.Context, name string, write func(io.Writer) error) error {
	r, w := io.Pipe()
	wrote := make(chan error, 1)
	go func() {
		out := bufio.NewWriterSize(w, chunk)
		err := write(out)
		if err == nil {
			err = out.Flush()
		}
		w.CloseWithError(err) // nil is io.EOF
		wrote <- err
	}()
	_, err := o.store.Put(ctx, jetstream.ObjectMeta{Name: name, Opts: &jetstream.ObjectMetaOptions{ChunkSize: chunk}}, r)
	r.CloseWithError(errors.Join(err, io.ErrClosedPipe)) // what still writes ends
	if werr := <-wrote; werr != nil && err == nil || werr != nil && errors.Is(err, werr) {
		return werr
	}
	if err != nil {
		return unavailable(err, "keeping snapshot %s", name)
	}
	return nil
}

func (o natsObjects) get(ctx context.Context, name string) (io.ReadCloser, error) {
	ctx, cancel := context.WithCancel(ctx)
	timer := time.AfterFunc(2*callTime, cancel)
	r, err := o.store.Get(ctx, name)
	if err != nil {
		timer.Stop()
		cancel()
		return nil, unavailable(err, "reading snapshot %s", name)
	}
	return &lively{r, timer, cancel}, nil
}

// lively ends a reading that gets nothing for a while: the server that sent went.
type lively struct {
	r      io.ReadCloser
	timer  *time.Timer
	cancel context.CancelFunc
}

func (l *lively) Read(p []byte) (int, error) {
	l.timer.Reset(2 * callTime)
	return l.r.Read(p)
}

func (l *lively) Close() error {
	l.timer.Stop()
	err := l.r.Close()
	l.cancel()
	return err
}

func (o natsObjects) del(ctx context.Context, name string) error {
	if err := o.store.Delete(ctx, name); err != nil && !errors.Is(err, jetstream.ErrObjectNotFound) {
		return unavailable(err, "deleting snapshot %s", name)
	}
	return nil
}

// files is a directory that all machines share.
type files struct {
	dir  string
	disk *durable.Disk
}

func (o files) put(_ context.Context, name string, write func(io.Writer) error) (err error) {
	path := filepath.Join(o.dir, name)
	f, err := os.OpenFile(path+".part", os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return unavailable(err, "keeping snapshot %s", name)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name()) // nothing names it
		}
	}()
	out := bufio.NewWriterSize(f, chunk)
	if err = write(out); err == nil {
		err = out.Flush()
	}
	if err == nil {
		err = o.disk.Sync("snapshot/data", f)
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err == nil {
		err = o.disk.SyncDir("snapshot/name", o.dir)
	}
	return err
}

func (o files) get(_ context.Context, name string) (io.ReadCloser, error) {
	f, err := os.Open(filepath.Join(o.dir, name))
	if err != nil {
		return nil, unavailable(err, "reading snapshot %s", name)
	}
	return f, nil
}

func (o files) del(_ context.Context, name string) error {
	err := os.Remove(filepath.Join(o.dir, name))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
