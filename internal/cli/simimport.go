package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/client"
)

// maxBlock bounds the cards of one line.
const maxBlock = 1_000_000

func simImport(k *conn) *cobra.Command {
	var trial bool
	c := &cobra.Command{
		Use: "import FILE.csv|-", Short: "Register many SIMs, one or a block of numbers a line", Args: exactArgs(1),
		Long: `Register many SIMs out of CSV. The first line names the columns: iccid and imsi, and any of count, imei, services,
peers, device, customer, tariff and seller. Services and peers are separated by blanks or semicolons.

count makes a block of a line: IMSI and ICCID are counted up by one for each further card; an ICCID whose last digit
is a check digit (Luhn, ITU-T E.118) keeps being so. A block has no imei and no device.

Lines that are wrong are told and the others are taken; what is registered already is left as it is, so that a file
can be sent again. Exit status 1 when a line was wrong.`,
		Example: "  ringwall sim import cards.csv\n  printf 'iccid,imsi,count,services,customer\\n8986…,46004…,100000,data,Water works\\n' | ringwall sim import -",
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := k.open()
			if err != nil {
				return err
			}
			in := &importer{k: k, c: cl, trial: trial}
			if err := in.run(cmd.Context(), args[0]); err != nil {
				return err
			}
			fmt.Fprintf(k.env.Stdout, "%d registered, %d were there, %d wrong\n", in.made, in.there, in.wrong)
			if in.wrong > 0 {
				return errFound
			}
			return nil
		},
	}
	c.Flags().BoolVar(&trial, "dry-run", false, "read and check the file, and register nothing")
	return c
}

// importer sends cards in batches.
type importer struct {
	k                  *conn
	c                  *client.Client
	trial              bool
	cards              []api.SIMCreate
	lines              []int
	made, there, wrong int
}

func (in *importer) run(ctx context.Context, file string) error {
	t, err := in.k.openTable(file, []string{"iccid", "imsi"}, []string{"count", "imei", "services", "peers", "device", "customer", "tariff", "seller"})
	if err != nil {
		return err
	}
	defer t.close()
	for {
		f, err := t.next()
		if errors.Is(err, io.EOF) {
			return in.send(ctx)
		}
		if err == nil {
			err = in.line(ctx, f, t.line)
		}
		switch ringwall.CodeOf(err) {
		case "":
		case ringwall.Invalid:
			in.tell(t.line, err.Error())
		default:
			return err
		}
	}
}

func (in *importer) tell(line int, why string) {
	in.wrong++
	fmt.Fprintf(in.k.env.Stderr, "ringwall: line %d: %s\n", line, safe(strings.TrimPrefix(why, fmt.Sprintf("line %d: ", line))))
}

// line takes the cards of one line.
func (in *importer) line(ctx context.Context, f map[string]string, line int) error {
	words := func(s string) []string {
		return strings.FieldsFunc(s, func(r rune) bool { return r == ';' || r == ' ' || r == '\t' })
	}
	card := api.SIMCreate{
		ICCID: digitsOf(f["iccid"]), IMSI: digitsOf(f["imsi"]), IMEI: digitsOf(f["imei"]), Device: ringwall.DeviceID(f["device"]), Services: words(f["services"]), Peers: words(f["peers"]),
		Customer: f["customer"], Tariff: f["tariff"], Seller: f["seller"],
	}
	n := 1
	if f["count"] != "" {
		var err error
		if n, err = strconv.Atoi(f["count"]); err != nil || n < 1 || n > maxBlock {
			return ringwall.Errorf(ringwall.Invalid, "the count is not 1 to %d", maxBlock)
		}
		if n > 1 && (card.IMEI != "" || card.Device != "") {
			return ringwall.Errorf(ringwall.Invalid, "a block of cards has no imei and no device")
		}
	}
	for i := range n {
		one := card
		var err error
		if one.IMSI, err = addDigits(card.IMSI, i); err != nil {
			return err
		}
		if one.ICCID, err = nextICCID(card.ICCID, i); err != nil {
			return err
		}
		in.cards, in.lines = append(in.cards, one), append(in.lines, line)
		if len(in.cards) == api.MaxBatch {
			if err := in.send(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// send registers what was read.
func (in *importer) send(ctx context.Context) error {
	if len(in.cards) == 0 {
		return nil
	}
	defer func() { in.cards, in.lines = in.cards[:0], in.lines[:0] }()
	if in.trial {
		in.made += len(in.cards)
		return nil
	}
	out, err := in.c.CreateSIMs(ctx, api.SIMBatch{Cards: in.cards})
	if err != nil && len(in.cards) == 1 {
		switch ringwall.CodeOf(err) {
		case ringwall.Invalid, ringwall.NotFound, ringwall.Conflict:
			in.tell(in.lines[0], err.Error())
			return nil
		}
	}
	if err != nil {
		return err
	}
	in.made, in.there = in.made+out.Made, in.there+out.There
	for _, w := range out.Wrong {
		if w.Index >= 0 && w.Index < len(in.lines) {
			in.tell(in.lines[w.Index], w.Why)
		}
	}
	return nil
}

func digitsOf(s string) string { return strings.Join(strings.Fields(s), "") }

// addDigits counts a number up, keeping its length.
func addDigits(s string, n int) (string, error) {
	if n == 0 {
		return s, nil
	}
	v, err := strconv.ParseUint(s, 10, 64)
	if err != nil || len(s) > 19 {
		return "", ringwall.Errorf(ringwall.Invalid, "a block begins with a number of up to 19 digits")
	}
	out := strconv.FormatUint(v+uint64(n), 10)
	if len(out) > len(s) {
		return "", ringwall.Errorf(ringwall.Invalid, "the block runs out of numbers of %d digits", len(s))
	}
	return strings.Repeat("0", len(s)-len(out)) + out, nil
}

// nextICCID counts an ICCID up; one that ends with a check digit gets the right
// one.
func nextICCID(s string, n int) (string, error) {
	if n == 0 {
		return s, nil
	}
	if len(s) < 2 {
		return "", ringwall.Errorf(ringwall.Invalid, "the ICCID is too short")
	}
	body := s[:len(s)-1]
	if luhn(body) != s[len(s)-1] {
		// The first digits name the issuer and do not count: the last 18 suffice.
		cut := max(0, len(s)-18)
		tail, err := addDigits(s[cut:], n)
		return s[:cut] + tail, err
	}
	cut := max(0, len(body)-18)
	tail, err := addDigits(body[cut:], n)
	if err != nil {
		return "", err
	}
	body = body[:cut] + tail
	return body + string(luhn(body)), nil
}

// luhn returns the check digit of digits (ISO/IEC 7812-1 annex B).
func luhn(s string) byte {
	sum := 0
	for i := range len(s) {
		d := int(s[len(s)-1-i] - '0')
		if i%2 == 0 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return byte('0' + (10-sum%10)%10)
}
