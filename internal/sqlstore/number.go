package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/ringwall/ringwall"
)

// errNumber refuses a number that is a card's already. It says the same of one of
// the organisation's own and of another's.
func errNumber() error {
	return &ringwall.Error{
		Code: ringwall.Conflict, Text: "the card's IMSI is registered on this platform already",
		Hint: "if it is not among your cards, ask who runs the platform",
	}
}

// numberKey is what a number is found by among those of all organisations.
func (s *sealer) numberKey(imsi ringwall.IMSI) []byte { return s.find("number", imsi.Reveal()) }

// taken reports whether a number is a card's, of whatever organisation.
func (tx *Tx) taken(imsi ringwall.IMSI) (bool, error) {
	var n int
	err := tx.row("SIM", imsi.String(), `SELECT COUNT(*) FROM sims WHERE number_key = $1`, []any{tx.seal.numberKey(imsi)}, &n)
	return n > 0, err
}

// numbersAtOnce bounds what reckonNumbers holds in memory.
const numbersAtOnce = 2000

// reckonNumbers gives cards that were registered before numbers were one card's
// alone what they are found by. Of those that have the same, the first that was
// registered has it, and the others go without: nobody can tell whose a record is.
func (s *Store) reckonNumbers(ctx context.Context) error {
	type row struct {
		org, id string
		imsi    []byte
	}
	for after := ""; ; {
		var rows []row
		read := func(r *sql.Rows, err error) error {
			if err != nil {
				return err
			}
			defer r.Close() // it was only read
			for r.Next() {
				var x row
				if err := r.Scan(&x.org, &x.id, &x.imsi); err != nil {
					return err
				}
				rows = append(rows, x)
			}
			return r.Err()
		}
		// Ids of cards begin with when they were made.
		if err := read(s.w.db.QueryContext(ctx, `SELECT org, id, imsi FROM sims WHERE number_key IS NULL AND id > $1 ORDER BY id, org LIMIT $2`, after, numbersAtOnce)); err != nil {
			return fmt.Errorf("reading numbers of cards: %w", err)
		}
		if len(rows) == 0 {
			return nil
		}
		after = rows[len(rows)-1].id
		tx, err := s.w.db.BeginTx(ctx, nil)
		if err != nil {
			return fmt.Errorf("reckoning numbers of cards: %w", err)
		}
		for _, x := range rows {
			text, err := s.seal.open(place("imsi", x.org, ringwall.SIMID(x.id)), x.imsi)
			if err != nil {
				continue // it cannot be judged either
			}
			if _, err := tx.ExecContext(ctx, `UPDATE sims SET number_key = $1 WHERE org = $2 AND id = $3 AND NOT EXISTS (SELECT 1 FROM sims WHERE number_key = $1)`,
				s.seal.numberKey(ringwall.IMSI(text)), x.org, x.id); err != nil {
				return errors.Join(fmt.Errorf("reckoning numbers of cards: %w", err), tx.Rollback())
			}
		}
		if err := tx.Commit(); err != nil {
			return fmt.Errorf("reckoning numbers of cards: %w", err)
		}
	}
}
