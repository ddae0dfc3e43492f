package actor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
)

// message is one line on the control socket. A request has an Op, an answer
// has none; Cancel asks to give up the request with this ID.
type message struct {
	ID     uint64          `json:"id"`
	Op     string          `json:"op,omitempty"`
	Cancel bool            `json:"cancel,omitempty"`
	Data   json.RawMessage `json:"data,omitempty"`
	Err    string          `json:"err,omitempty"`
}

// Op is one order that an actor takes.
type Op func(ctx context.Context, data json.RawMessage) (any, error)

// Ops are the orders of an actor by name.
type Ops map[string]Op

// op makes an Op of a function with a typed argument.
func op[In any](f func(ctx context.Context, in In) (any, error)) Op {
	return func(ctx context.Context, data json.RawMessage) (any, error) {
		var in In
		if len(data) > 0 {
			if err := json.Unmarshal(data, &in); err != nil {
				return nil, fmt.Errorf("reading the order: %w", err)
			}
		}
		return f(ctx, in)
	}
}

// serve answers orders until the socket closes or ctx ends. It returns when
// every order has been answered.
func serve(ctx context.Context, conn io.ReadWriter, ops Ops) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()

	var (
		mu      sync.Mutex // guards writing and running
		enc     = json.NewEncoder(conn)
		running = map[uint64]context.CancelFunc{}
	)
	dec := json.NewDecoder(conn)
	for {
		var m message
		if err := dec.Decode(&m); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		mu.Lock()
		if m.Cancel {
			if stop := running[m.ID]; stop != nil {
				stop()
			}
			mu.Unlock()
			continue
		}
		octx, stop := context.WithCancel(ctx)
		running[m.ID] = stop
		mu.Unlock()
		wg.Go(func() {
			answer := message{ID: m.ID}
			if f := ops[m.Op]; f == nil {
				answer.Err = fmt.Sprintf("this actor takes no order %q", m.Op)
			} else if v, err := f(octx, m.Data); err != nil {
				answer.Err = err.Error()
			} else if answer.Data, err = json.Marshal(v); err != nil {
				answer.Err = err.Error()
			}
			mu.Lock()
			defer mu.Unlock()
			stop()
			delete(running, m.ID)
			// A broken socket shows in the reading loop; nobody waits here.
			_ = enc.Encode(answer)
		})
	}
}

// Client gives orders to one actor. Its methods may be called concurrently.
type Client struct {
	conn io.ReadWriteCloser
	done chan struct{} // closed when the actor's end of the socket is gone

	mu      sync.Mutex // guards what follows, and writing
	enc     *json.Encoder
	next    uint64
	waiting map[uint64]chan message
	err     error
}

// errGone tells that the actor's socket closed.
var errGone = errors.New("the actor has ended")

// NewClient speaks over conn, which it owns. The reading goroutine ends when
// conn does; Close waits for it.
func NewClient(conn io.ReadWriteCloser) *Client {
	c := &Client{conn: conn, done: make(chan struct{}), enc: json.NewEncoder(conn), waiting: map[uint64]chan message{}}
	go c.read()
	return c
}

func (c *Client) read() {
	defer close(c.done)
	dec := json.NewDecoder(c.conn)
	for {
		var m message
		err := dec.Decode(&m)
		c.mu.Lock()
		if err != nil {
			c.err = errGone
			for id, ch := range c.waiting {
				close(ch)
				delete(c.waiting, id)
			}
			c.mu.Unlock()
			return
		}
		if ch := c.waiting[m.ID]; ch != nil {
			ch <- m // has room for one
			delete(c.waiting, m.ID)
		}
		c.mu.Unlock()
	}
}

// Done is closed when the actor has gone.
func (c *Client) Done() <-chan struct{} { return c.done }

// Close ends the socket, and with it the actor.
func (c *Client) Close() error {
	err := c.conn.Close()
	<-c.done
	return err
}

// Call gives an order and reads its answer into out, unless that is nil. When
// ctx ends, the actor is told to give up and Call returns.
func (c *Client) Call(ctx context.Context, name string, in, out any) error {
	data, err := json.Marshal(in)
	if err != nil {
		return err
	}
	ch := make(chan message, 1)
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return c.err
	}
	c.next++
	id := c.next
	c.waiting[id] = ch
	err = c.enc.Encode(message{ID: id, Op: name, Data: data})
	c.mu.Unlock()
	if err != nil {
		return fmt.Errorf("giving order %q: %w", name, errGone)
	}
	select {
	case <-ctx.Done():
		c.mu.Lock()
		delete(c.waiting, id)
		_ = c.enc.Encode(message{ID: id, Cancel: true}) // a broken socket ends the actor anyway
		c.mu.Unlock()
		return ctx.Err()
	case m, ok := <-ch:
		switch {
		case !ok:
			return errGone
		case m.Err != "":
			return errors.New(m.Err)
		case out == nil:
			return nil
		}
		return json.Unmarshal(m.Data, out)
	}
}
