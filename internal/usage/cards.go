package usage

import (
	"bufio"
	"encoding/csv"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/internal/usage/rules"
)

// Bounds of a list of cards.
const (
	maxCardLine = 1 << 20
	maxCardList = 10_000_000
)

var cardColumns = []string{"sim", "imsi", "imei", "services", "peers", "settings", "life", "since"}

// ReadCards reads a list of cards with their allowed uses: CSV whose first line
// names the columns sim, imsi, imei, services, peers, settings, life and since, in
// any order; only imsi is required. Services and peers are separated by blanks or
// semicolons; an empty list of services is unknown, of peers any. Settings are a
// number in the Book; life is stock, active, suspended or terminated, since a time
// as RFC 3339 has it. Without sim, a card's id is derived from its IMSI and key. A line is a card: a quoted field holds no line
// break. The error has code Invalid and names the line.
func ReadCards(r io.Reader, key []byte) ([]Card, error) {
	in := bufio.NewScanner(r)
	in.Buffer(make([]byte, 0, 4096), maxCardLine)
	var at []int
	var cards []Card
	ids := New(Config{Key: key})
	seen := map[uint64]bool{}
	n := 0
	bad := func(format string, args ...any) error {
		return ringwall.Errorf(ringwall.Invalid, "list of cards: line %d: "+format, append([]any{n}, args...)...)
	}
	for in.Scan() {
		n++
		line := strings.TrimPrefix(in.Text(), "\ufeff")
		if strings.TrimSpace(line) == "" {
			continue
		}
		fields, err := csv.NewReader(strings.NewReader(line)).Read()
		if err != nil {
			return nil, bad("its quotes or fields are wrong")
		}
		if at == nil {
			if at, err = cardHeader(fields); err != nil {
				return nil, bad("%v", err)
			}
			continue
		}
		if len(fields) != len(at) {
			return nil, bad("%d fields, the header has %d", len(fields), len(at))
		}
		c, err := card(fields, at)
		if err != nil {
			return nil, bad("%v", err)
		}
		if k := cdr.CardKey(c.IMSI.Reveal()); k == 0 || seen[k] {
			return nil, bad("its IMSI is not 6 to 15 digits, or there twice")
		} else {
			seen[k] = true
		}
		if c.SIM == "" {
			c.SIM = ids.derivedID(cdr.CardKey(c.IMSI.Reveal()))
		}
		if cards = append(cards, c); len(cards) > maxCardList {
			return nil, bad("more than %d cards", maxCardList)
		}
	}
	if err := in.Err(); err != nil {
		n++
		if errors.Is(err, bufio.ErrTooLong) {
			return nil, bad("longer than %d bytes", maxCardLine)
		}
		return nil, ringwall.Errorf(ringwall.Unavailable, "reading the list of cards: %w", err)
	}
	if at == nil {
		return nil, ringwall.Errorf(ringwall.Invalid, "the list of cards is empty; its first line must name the columns %s", strings.Join(cardColumns, ", "))
	}
	return cards, nil
}

// cardHeader returns, for each position, the column that stands there.
func cardHeader(fields []string) ([]int, error) {
	var at []int
	for _, f := range fields {
		c := slices.Index(cardColumns, strings.ToLower(strings.TrimSpace(f)))
		if c < 0 {
			return nil, ringwall.Errorf(ringwall.Invalid, "column %.40q is none of %s", f, strings.Join(cardColumns, ", "))
		}
		if slices.Contains(at, c) {
			return nil, ringwall.Errorf(ringwall.Invalid, "column %q is there twice", cardColumns[c])
		}
		at = append(at, c)
	}
	if !slices.Contains(at, 1) {
		return nil, ringwall.Errorf(ringwall.Invalid, `there is no column "imsi"; the first line must name the columns`)
	}
	return at, nil
}

func card(fields []string, at []int) (c Card, err error) {
	for i, f := range fields {
		f = strings.TrimSpace(f)
		switch cardColumns[at[i]] {
		case "sim":
			if f != "" && !ringwall.ValidID(ringwall.PrefixSIM, f) {
				return c, ringwall.Errorf(ringwall.Invalid, `sim %.40q is not an id such as "sim_1"`, f)
			}
			c.SIM = ringwall.SIMID(f)
		case "imsi":
			c.IMSI = ringwall.IMSI(f)
		case "imei":
			if c.IMEI = ringwall.IMEI(f); f != "" && EquipmentOf(c.IMEI) == 0 {
				return c, ringwall.Errorf(ringwall.Invalid, "imei of %d characters, want 14 to 16 digits", len(f))
			}
		case "services":
			c.Services, err = ParseServices(list(f))
		case "peers":
			c.Peers, err = ParsePeers(list(f))
		case "settings":
			c.Settings, err = settingsNumber(f)
		case "life":
			c.Life, err = life(f)
		case "since":
			c.Since, err = since(f)
		}
		if err != nil {
			return c, err
		}
	}
	return c, nil
}

func settingsNumber(s string) (uint32, error) {
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n >= rules.MaxSettings {
		return 0, ringwall.Errorf(ringwall.Invalid, "settings %.40q are no number below %d", s, rules.MaxSettings)
	}
	return uint32(n), nil
}

func life(s string) (rules.Life, error) {
	for l := rules.LifeUnknown; l <= rules.LifeTerminated; l++ {
		if strings.ToLower(s) == l.String() {
			return l, nil
		}
	}
	return 0, ringwall.Errorf(ringwall.Invalid, "life %.40q is none of stock, active, suspended, terminated", s)
}

func since(s string) (t time.Time, err error) {
	if s == "" {
		return t, nil
	}
	if t, err = time.Parse(time.RFC3339, s); err != nil {
		return t, ringwall.Errorf(ringwall.Invalid, "since %.40q is not a time such as 2026-11-21T14:00:00Z", s)
	}
	return t, nil
}

func list(s string) []string {
	return strings.FieldsFunc(s, func(c rune) bool { return c == ' ' || c == ';' || c == '\t' })
}
