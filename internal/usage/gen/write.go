package gen

import (
	"bufio"
	"encoding/json"
	"io"
	"strconv"
	"strings"

	"github.com/ringwall/ringwall/cdr"
)

// WriteTruth writes the truth, one JSON object a line.
func (w *World) WriteTruth(out io.Writer) error { return writeLines(out, w.truth) }

// WriteNotices writes what the operator was told of single cards or did to them,
// one JSON object a line.
func (w *World) WriteNotices(out io.Writer) error { return writeLines(out, w.notices) }

func writeLines[T any](out io.Writer, list []T) error {
	b := bufio.NewWriter(out)
	e := json.NewEncoder(b)
	for i := range list {
		if err := e.Encode(&list[i]); err != nil {
			return err
		}
	}
	return b.Flush()
}

// ReadTruth reads what WriteTruth wrote.
func ReadTruth(in io.Reader) ([]Truth, error) {
	var out []Truth
	d := json.NewDecoder(in)
	for {
		var t Truth
		switch err := d.Decode(&t); err {
		case nil:
			out = append(out, t)
		case io.EOF:
			return out, nil
		default:
			return nil, err
		}
	}
}

// WriteBook writes what the cards are to be judged by, as JSON.
func (w *World) WriteBook(out io.Writer) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(w.Book())
}

// WriteCards writes the cards with their bindings, allowed uses and the numbers of
// their settings in the Book, as usage.ReadCards reads them. Without the Book the
// numbers mean nothing, and the allowed uses stand.
func (w *World) WriteCards(out io.Writer) error {
	b := bufio.NewWriterSize(out, 1<<16)
	b.WriteString("imsi,imei,services,peers,settings\n")
	for _, cu := range w.fleet.customers {
		t := &cu.Tariff
		peers := append(append(append([]string(nil), t.Peers...), t.Numbers...), t.APN)
		rest := "," + strings.Join(t.Services, " ") + "," + strings.Join(peers, " ") + "," + strconv.FormatUint(uint64(cu.Settings()), 10) + "\n"
		for n := range uint32(cu.Cards) {
			b.WriteString(cdr.IMSIOf(w.cardKey(cu, cu.first+n)))
			b.WriteByte(',')
			if t.Bound && !t.Pool {
				b.WriteString(cdr.IMEIOf(cu.imei(cu.first+n) + 1))
			}
			if _, err := b.WriteString(rest); err != nil {
				return err
			}
		}
	}
	return b.Flush()
}
