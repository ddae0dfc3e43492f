package operatorport

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
)

// Config configures a Client.
type Config struct {
	// URL is where the operator listens, such as "https://operator.example". A
	// path is kept in front of ours.
	URL string
	// Token is the bearer token.
	Token string
	// Plain allows a URL without TLS, for a test bench or a private network.
	Plain bool
	// HTTP makes the connections; its timeout and redirect rules are replaced.
	// nil = a client of its own.
	HTTP *http.Client
	// Timeout of one try; 0 = 10 s.
	Timeout time.Duration
	// Tries is the most tries of one call; 0 = 4.
	Tries int
	// Pause before the second try, doubled before each further one; 0 = 500 ms.
	// A Retry-After of the operator is kept when it is longer, up to MaxPause.
	Pause time.Duration
}

// MaxPause bounds the pause between two tries.
const MaxPause = 30 * time.Second

// Client asks one operator.
type Client struct {
	c    Config
	base *url.URL
	http *http.Client
}

// New returns a client. The error has code Invalid when the configuration
// cannot work.
func New(c Config) (*Client, error) {
	base, err := url.Parse(strings.TrimRight(c.URL, "/"))
	switch {
	case err != nil || base.Host == "" || base.User != nil || base.RawQuery != "" || base.Fragment != "":
		// The URL is not repeated: it may hold a password.
		return nil, ringwall.Errorf(ringwall.Invalid, "the operator's address is not a URL of scheme, host and path alone")
	case base.Scheme == "http" && !c.Plain:
		return nil, ringwall.Errorf(ringwall.Invalid, "the operator's address http://%s has no TLS, which has to be allowed by word", base.Host)
	case base.Scheme != "http" && base.Scheme != "https":
		return nil, ringwall.Errorf(ringwall.Invalid, "the operator's address has scheme %q, want https", base.Scheme)
	case c.Token == "" || strings.ContainsAny(c.Token, "\r\n "):
		return nil, ringwall.Errorf(ringwall.Invalid, "the operator's token is empty or holds blanks")
	}
	if c.Timeout <= 0 {
		c.Timeout = 10 * time.Second
	}
	if c.Tries <= 0 {
		c.Tries = 4
	}
	if c.Pause <= 0 {
		c.Pause = 500 * time.Millisecond
	}
	var h http.Client
	if c.HTTP != nil {
		h = *c.HTTP
	}
	h.Timeout = c.Timeout
	h.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Client{c: c, base: base, http: &h}, nil
}

// Suspend asks that the card be suspended and returns what the operator says it
// is now: Suspended, or there is an error. idem is the id of the response that
// is carried out; the key that is sent is "suspended:" and the id.
func (c *Client) Suspend(ctx context.Context, card Card, reason string, idem ringwall.ResponseID) (Status, error) {
	return c.change(ctx, pathSuspend, card, reason, idem, Suspended)
}

// Restore asks that the card be active again, as Suspend does, with the id of
// the response that is lifted; the key that is sent is "active:" and the id.
func (c *Client) Restore(ctx context.Context, card Card, reason string, idem ringwall.ResponseID) (Status, error) {
	return c.change(ctx, pathRestore, card, reason, idem, Active)
}

// State asks what the card is.
func (c *Client) State(ctx context.Context, card Card) (Status, error) {
	return c.call(ctx, pathState, card, "", "", "")
}

func (c *Client) change(ctx context.Context, path string, card Card, reason string, idem ringwall.ResponseID, want State) (Status, error) {
	if idem == "" || len(idem) > maxKey/2 {
		return Status{}, ringwall.Errorf(ringwall.Invalid, "idempotency key has %d bytes, want 1 to %d", len(idem), maxKey/2)
	}
	reason = cut(reason)
	// Lifting a response is another request than doing it, and has its own key.
	return c.call(ctx, path, card, reason, string(want)+":"+string(idem), want)
}

// cut shortens a reason to what an operator takes.
func cut(reason string) string {
	if len(reason) > maxReason {
		return strings.ToValidUTF8(reason[:maxReason], "")
	}
	return reason
}

// call tries until the operator has decided, tries run out or ctx ends.
func (c *Client) call(ctx context.Context, path string, card Card, reason, idem string, want State) (Status, error) {
	if err := card.Validate(); err != nil {
		return Status{}, err
	}
	body, err := json.Marshal(request{ICCID: card.ICCID.Reveal(), IMSI: card.IMSI.Reveal(), Reason: reason})
	if err != nil {
		return Status{}, ringwall.Errorf(ringwall.Internal, "writing the request to the operator: %w", err)
	}
	pause := c.c.Pause
	for try := 1; ; try++ {
		st, after, err := c.once(ctx, path, card, body, idem, want)
		if err == nil || ringwall.CodeOf(err) != ringwall.Unavailable {
			return st, err
		}
		if try >= c.c.Tries {
			return Status{}, fmt.Errorf("asking the operator %d times: %w", try, err)
		}
		timer := time.NewTimer(min(max(pause, after), MaxPause))
		select {
		case <-ctx.Done():
			timer.Stop()
			return Status{}, ringwall.Errorf(ringwall.Unavailable, "the operator was not reached in time: %w", errors.Join(ctx.Err(), err))
		case <-timer.C:
		}
		pause *= 2
	}
}

// once makes one try. after is what the operator asked to wait.
func (c *Client) once(ctx context.Context, path string, card Card, body []byte, idem string, want State) (st Status, after time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base.JoinPath(path).String(), bytes.NewReader(body))
	if err != nil {
		return st, 0, ringwall.Errorf(ringwall.Internal, "making the request to the operator: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+c.c.Token)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, application/problem+json")
	if idem != "" {
		req.Header.Set("Idempotency-Key", idem)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return st, 0, ringwall.Errorf(ringwall.Unavailable, "the operator does not answer: %w", err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxBody+1))
	if err != nil {
		return st, 0, ringwall.Errorf(ringwall.Unavailable, "the operator's answer broke off: %w", err)
	}
	if len(text) > maxBody {
		return st, 0, ringwall.Errorf(ringwall.Unavailable, "the operator's answer is over %d bytes", maxBody)
	}
	if res.StatusCode != http.StatusOK && res.StatusCode != http.StatusAccepted {
		return st, retryAfter(res.Header), refusal(res, text)
	}
	st, err = read(text, card, want)
	return st, retryAfter(res.Header), err
}

// read takes an answer for what it says, and for nothing more.
func read(text []byte, card Card, want State) (Status, error) {
	var a answer
	if err := json.Unmarshal(text, &a); err != nil {
		return Status{}, ringwall.Errorf(ringwall.Unavailable, "the operator's answer cannot be read: %w", err)
	}
	st := Status{Card: Card{ICCID: ringwall.ICCID(a.ICCID), IMSI: ringwall.IMSI(a.IMSI)}, State: a.State, Since: a.Since}
	switch {
	case !same(card, st.Card):
		return Status{}, ringwall.Errorf(ringwall.Unavailable, "the operator answered for another card")
	case a.State != Active && a.State != Suspended && a.State != Pending:
		return Status{}, ringwall.Errorf(ringwall.Unavailable, "the operator answered with an unknown state")
	case want != "" && a.State != want:
		return Status{}, ringwall.Errorf(ringwall.Unavailable, "the operator took the request, and the card is still %s", a.State)
	}
	return st, nil
}

// same reports whether an answer is about the card: each number that was asked
// for and is given back is the same, and one is given back.
func same(asked, got Card) bool {
	iccid := asked.ICCID != "" && got.ICCID != ""
	imsi := asked.IMSI != "" && got.IMSI != ""
	return (iccid || imsi) && (!iccid || asked.ICCID == got.ICCID) && (!imsi || asked.IMSI == got.IMSI)
}

// refusal turns a status into an error. What the operator wrote goes to the log
// only: it may repeat a card's number.
func refusal(res *http.Response, text []byte) error {
	code := ringwall.Unavailable
	switch s := res.StatusCode; {
	case s == http.StatusBadRequest, s == http.StatusUnprocessableEntity:
		code = ringwall.Invalid
	case s == http.StatusUnauthorized, s == http.StatusForbidden:
		code = ringwall.Forbidden
	case s == http.StatusNotFound && isProblem(res, text):
		code = ringwall.NotFound // the operator says so; a bare 404 is a wrong address
	case s == http.StatusConflict:
		code = ringwall.Conflict
	}
	return ringwall.Errorf(code, "the operator refused with status %d", res.StatusCode)
}

func isProblem(res *http.Response, text []byte) bool {
	media, _, err := mime.ParseMediaType(res.Header.Get("Content-Type"))
	var p problem
	return err == nil && media == "application/problem+json" && json.Unmarshal(text, &p) == nil
}

// retryAfter reads RFC 9110 section 10.2.3 in its form of seconds.
func retryAfter(h http.Header) time.Duration {
	n, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || n < 0 {
		return 0
	}
	return time.Duration(min(n, int(MaxPause/time.Second))) * time.Second
}
