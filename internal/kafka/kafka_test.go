package kafka

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/cdr/ts32298"
)

var keys = cdr.NewKeys([32]byte{6})

const topic = "usage"

func cluster(t *testing.T, opts ...kfake.Opt) Server {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.SeedTopics(4, topic)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return Server{Brokers: c.ListenAddrs()}
}

func someRecords(first, n int) []cdr.Record {
	recs := make([]cdr.Record, n)
	for i := range recs {
		recs[i] = cdr.Record{ID: fmt.Sprint("n/", first+i), Time: time.Unix(1763733727, 0).UTC(), IMSI: ringwall.IMSI(fmt.Sprint(460000000000000 + first + i)), Service: cdr.Data, Up: uint64(first + i)}
	}
	return recs
}

// message is a message of records in a form.
func message(t *testing.T, form string, recs []cdr.Record) (b []byte) {
	t.Helper()
	var a ts32298.Appender
	if form == Batch {
		s, err := cdr.NewRecords(keys, recs, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		var batch cdr.Batch
		for s.Next(context.Background(), &batch) == nil {
			if b, err = cdr.AppendBatch(b, &batch, true); err != nil {
				t.Fatal(err)
			}
		}
		return b
	}
	for i := range recs {
		var err error
		if form == CSV {
			b, err = cdr.AppendLine(b, &recs[i])
		} else {
			b, err = a.Append(b, &recs[i])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func produce(t *testing.T, s Server, partition int32, values ...[]byte) {
	t.Helper()
	p, err := NewProducer(s, topic)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for i, v := range values {
		if n, err := p.Send(t.Context(), partition, v); err != nil || i > 0 && n == 0 {
			t.Fatalf("offset %d, %v", n, err)
		}
	}
}

// read reads n records, making the source anew after each batch when again is set.
func read(t *testing.T, c Config, n int, again bool) (got []int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { s.Close() }()
	var b cdr.Batch
	for len(got) < n {
		if err := s.Next(ctx, &b); err != nil {
			t.Fatalf("after %d records: %v", len(got), err)
		}
		for i := range b.Events {
			var r cdr.Record
			if err := b.Record(i, &r); err != nil {
				t.Fatal(err)
			}
			if want, err := keys.Event(&r); err != nil || want != b.Events[i] {
				t.Fatalf("the event is not that of its record: %v", err)
			}
			got = append(got, int(r.Up))
		}
		if again {
			c.From = s.Position()
			if len(c.From) > cdr.MaxPosition {
				t.Fatalf("a position of %d bytes", len(c.From))
			}
			s.Close()
			if s, err = New(c); err != nil {
				t.Fatal(err)
			}
		}
	}
	return got
}

func upTo(n int) (want []int) {
	for i := range n {
		want = append(want, i)
	}
	return want
}

// Whatever the form, and going on after each batch or not: each record once, in the
// order of its partition; positions may be inside of messages.
func TestSource(t *testing.T) {
	for _, form := range []string{CSV, BER, Batch} {
		s := cluster(t)
		produce(t, s, 0, message(t, form, someRecords(0, 1300)), message(t, form, someRecords(1300, 1)), message(t, form, someRecords(1301, 99)))
		produce(t, s, 2, message(t, form, someRecords(5000, 10)))
		for _, again := range []bool{false, true} {
			c := Config{Server: s, Topic: topic, Keys: keys, Form: form, Partitions: []int32{0, 2}, Bad: func(b cdr.Bad) { t.Errorf("bad: %+v", b) }}
			got := read(t, c, 1410, again)
			first := slices.DeleteFunc(slices.Clone(got), func(n int) bool { return n >= 5000 })
			slices.Sort(got)
			if !slices.Equal(first, upTo(1400)) || !slices.Equal(got[1400:], []int{5000, 5001, 5002, 5003, 5004, 5005, 5006, 5007, 5008, 5009}) {
				t.Errorf("%s, going on %v: %d records, not those that were written in order", form, again, len(got))
			}
		}
	}
}

func TestSource_badMessages(t *testing.T) {
	for _, form := range []string{CSV, BER, Batch} {
		s := cluster(t)
		good := message(t, form, someRecords(0, 1))
		produce(t, s, 1, []byte("\n"), []byte("nonsense"), nil, append(bytes.Clone(good), "tail"...), good[:len(good)/2], message(t, form, someRecords(7, 1)))
		var bad []cdr.Bad
		c := Config{Server: s, Topic: topic, Keys: keys, Form: form, Partitions: []int32{1}, Bad: func(b cdr.Bad) { bad = append(bad, b) }}
		if got := read(t, c, 2, false); !slices.Equal(got, []int{0, 7}) {
			t.Errorf("%s: %v", form, got)
		}
		if len(bad) < 3 || bad[len(bad)-1].Line != 5 || bad[0].Source != "usage/1" {
			t.Errorf("%s: told of %+v", form, bad)
		}
	}
}

// Records that are gone before anybody judged them are told, and not passed over.
func TestSource_gone(t *testing.T) {
	s := cluster(t)
	for i := range 5 {
		produce(t, s, 0, message(t, CSV, someRecords(i, 1)))
	}
	c := Config{Server: s, Topic: topic, Keys: keys, Form: CSV, Partitions: []int32{0}}
	first, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	var b cdr.Batch
	if err := first.Next(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	first.Close()
	c.From = (&Source{places: map[int32]place{0: {Offset: 1}}}).Position()
	admin, err := kgo.NewClient(kgo.SeedBrokers(s.Brokers...))
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	req := kmsg.NewPtrDeleteRecordsRequest()
	rt := kmsg.NewDeleteRecordsRequestTopic()
	rt.Topic = topic
	rp := kmsg.NewDeleteRecordsRequestTopicPartition()
	rp.Partition, rp.Offset = 0, 3
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	if _, err := req.RequestWith(t.Context(), admin); err != nil {
		t.Fatal(err)
	}
	src, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := src.Next(ctx, &b); ringwall.CodeOf(err) != ringwall.Conflict {
		t.Errorf("Next = %v, want a conflict", err)
	}
	// The owner may decide to go on from what is left.
	told := 0
	c.SkipGone, c.Trouble = true, func(err error) {
		if ringwall.CodeOf(err) == ringwall.Conflict {
			told++
		}
	}
	if got := read(t, c, 2, false); !slices.Equal(got, []int{3, 4}) || told != 1 {
		t.Errorf("%v, told %d times", got, told)
	}
}

// A broker that is away is waited for.
func TestSource_brokerComesLater(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	troubled := make(chan error, 1)
	c := Config{Server: Server{Brokers: []string{fmt.Sprint("127.0.0.1:", port)}}, Topic: topic, Keys: keys, Form: CSV, Partitions: []int32{0}, Trouble: func(err error) { troubled <- err }}
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan error)
	var b cdr.Batch
	go func() { got <- s.Next(ctx, &b) }()
	produce(t, cluster(t, kfake.Ports(port)), 0, message(t, CSV, someRecords(0, 3)))
	select {
	case err := <-got:
		if err != nil || len(b.Events) != 3 {
			t.Errorf("%d events, %v", len(b.Events), err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the broker came, and nobody went on")
	}
	cancel()
	if err := s.Next(ctx, &b); !errors.Is(err, context.Canceled) {
		t.Errorf("Next = %v", err)
	}
}

// member is one of a group: it keeps what it has read and where, as a snapshot
// would, for whoever has the partition next.
type snapshots struct {
	mu     sync.Mutex
	places map[int32]place
	got    []int
}

func (k *snapshots) run(ctx context.Context, t *testing.T, s Server) {
	var src *Source
	c := Config{
		Server: s, Topic: topic, Keys: keys, Form: CSV, Group: "usage",
		Assigned: func(ps []int32) ([]byte, error) {
			k.mu.Lock()
			defer k.mu.Unlock()
			return (&Source{places: maps.Clone(k.places)}).Position(), nil
		},
		more: []kgo.Opt{kgo.HeartbeatInterval(50 * time.Millisecond), kgo.SessionTimeout(6 * time.Second), kgo.Balancers(kgo.RangeBalancer())},
	}
	src, err := New(c)
	if err != nil {
		t.Error(err)
		return
	}
	defer src.Close()
	var b cdr.Batch
	for {
		if err := src.Next(ctx, &b); err != nil {
			if !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			return
		}
		k.mu.Lock()
		for i := range b.Events {
			k.got = append(k.got, int(b.Events[i].Card-1460000000000000))
		}
		m, err := parsePosition(src.Position())
		if err != nil {
			t.Error(err)
		}
		maps.Copy(k.places, m)
		k.mu.Unlock()
	}
}

// Two members share the partitions; when one leaves, the other goes on where the
// snapshots say: each record once.
func TestSource_group(t *testing.T) {
	s := cluster(t)
	k := &snapshots{places: map[int32]place{}}
	wait := func(n int) {
		t.Helper()
		for end := time.Now().Add(30 * time.Second); ; {
			k.mu.Lock()
			have := len(k.got)
			k.mu.Unlock()
			if have >= n {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("%d records, want %d", have, n)
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	var wg sync.WaitGroup
	ctx1, stop1 := context.WithCancel(t.Context())
	ctx2, stop2 := context.WithCancel(t.Context())
	defer stop2()
	wg.Go(func() { k.run(ctx1, t, s) })
	wg.Go(func() { k.run(ctx2, t, s) })
	for p := range int32(4) {
		produce(t, s, p, message(t, CSV, someRecords(int(p)*100, 50)))
	}
	wait(200)
	stop1()
	for p := range int32(4) {
		produce(t, s, p, message(t, CSV, someRecords(int(p)*100+50, 50)))
	}
	wait(400)
	stop2()
	wg.Wait()
	slices.Sort(k.got)
	if !slices.Equal(k.got, upTo(400)) {
		t.Errorf("%d records, not each once", len(k.got))
	}
}

func TestNew_refuses(t *testing.T) {
	good := Config{Server: Server{Brokers: []string{"127.0.0.1:1"}}, Topic: topic, Keys: keys, Form: CSV, Partitions: []int32{0}}
	for name, change := range map[string]func(*Config){
		"no brokers": func(c *Config) { c.Brokers = nil }, "no form": func(c *Config) { c.Form = "xml" }, "no partitions": func(c *Config) { c.Partitions = nil },
		"a password in clear": func(c *Config) { c.User, c.Password, c.Mechanism = "u", "p", "plain" }, "no mechanism": func(c *Config) { c.User, c.TLS = "u", &tls.Config{} },
		"no header": func(c *Config) { c.Header = "a,b" }, "no position": func(c *Config) { c.From = []byte{2} }, "a cut position": func(c *Config) { c.From = []byte{1, 0, 0x80} },
		"many partitions": func(c *Config) { c.Partitions = make([]int32, 100) },
	} {
		c := good
		change(&c)
		if _, err := New(c); ringwall.CodeOf(err) != ringwall.Invalid {
			t.Errorf("%s: %v, want an invalid error", name, err)
		}
	}
	if _, err := NewProducer(Server{}, topic); ringwall.CodeOf(err) != ringwall.Invalid {
		t.Errorf("a producer without brokers: %v", err)
	}
}

func FuzzParsePosition(f *testing.F) {
	f.Add([]byte{1, 0, 5, 0, 3, 0x80, 1, 7})
	f.Fuzz(func(t *testing.T, in []byte) {
		m, err := parsePosition(in)
		if err != nil {
			if ringwall.CodeOf(err) != ringwall.Invalid {
				t.Fatal(err)
			}
			return
		}
		b := (&Source{places: m}).Position()
		again, err := parsePosition(b)
		if err != nil || !maps.Equal(m, again) || len(b) > cdr.MaxPosition {
			t.Fatalf("%v, %v", again, err)
		}
	})
}
