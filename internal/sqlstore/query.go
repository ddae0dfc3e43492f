package sqlstore

import (
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// Paging says which page of a list is wanted.
type Paging struct {
	Cursor string // Next of the page before; "" = the first
	Limit  int    // 0 or too many = maxPage
}

// maxPage bounds one page.
const maxPage = 500

func (p Paging) limit() int {
	if p.Limit <= 0 || p.Limit > maxPage {
		return maxPage
	}
	return p.Limit
}

// after reads a cursor: n columns of the last row of the page before.
func (p Paging) after(n int) ([]string, error) {
	if p.Cursor == "" {
		return make([]string, n), nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(p.Cursor)
	if err != nil || len(raw) > 1024 {
		return nil, ringwall.Errorf(ringwall.Invalid, "cursor is none of this list")
	}
	cols := strings.Split(string(raw), "\x00")
	if len(cols) != n {
		return nil, ringwall.Errorf(ringwall.Invalid, "cursor is none of this list")
	}
	return cols, nil
}

func cursor(cols ...string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strings.Join(cols, "\x00")))
}

// descending reads a cursor of a list that comes newest first: a time and an id.
func (p Paging) descending() (micros int64, id string, err error) {
	cols, err := p.after(2)
	if err != nil {
		return 0, "", err
	}
	if cols[0] == "" {
		return 1<<63 - 1, "", nil
	}
	if _, err := fmt.Sscanf(cols[0], "%d", &micros); err != nil {
		return 0, "", ringwall.Errorf(ringwall.Invalid, "cursor is none of this list")
	}
	return micros, cols[1], nil
}

// micros is how a time is kept.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// at reads a kept time.
func at(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}

// placeholder names the n-th argument.
func placeholder(n int) string { return fmt.Sprintf("$%d", n) }

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func encode(v any) (string, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("encoding a %T: %w", v, err)
	}
	return string(b), nil
}

func decode[T any](doc string) (v T, err error) {
	if err := json.Unmarshal([]byte(doc), &v); err != nil {
		return v, fmt.Errorf("reading a stored %T: %w", v, err)
	}
	return v, nil
}

// stmt returns the prepared statement of a text within the transaction; nil
// when there is none yet. Rows of a statement must have been read before it is
// run again: no callback of rows asks the database anything.
func (tx *Tx) stmt(query string) *sql.Stmt {
	st := tx.pool.prepared(query)
	if st == nil {
		tx.missing = append(tx.missing, query)
		return nil
	}
	return tx.tx.StmtContext(tx.ctx, st)
}

func (tx *Tx) exec(query string, args ...any) (int64, error) {
	var r sql.Result
	var err error
	if st := tx.stmt(query); st != nil {
		r, err = st.ExecContext(tx.ctx, args...)
	} else {
		r, err = tx.tx.ExecContext(tx.ctx, query, args...)
	}
	if err != nil {
		return 0, fail(err)
	}
	n, err := r.RowsAffected()
	if err != nil {
		return 0, fail(err)
	}
	return n, nil
}

// row scans one row; NotFound of kind and id when there is none.
func (tx *Tx) row(kind, id, query string, args []any, dest ...any) error {
	var row *sql.Row
	if st := tx.stmt(query); st != nil {
		row = st.QueryRowContext(tx.ctx, args...)
	} else {
		row = tx.tx.QueryRowContext(tx.ctx, query, args...)
	}
	err := row.Scan(dest...)
	if errors.Is(err, sql.ErrNoRows) {
		return notFound(kind, id)
	}
	return fail(err)
}

// rows calls f for each row.
func (tx *Tx) rows(query string, args []any, f func(scan func(...any) error) error) error {
	var rs *sql.Rows
	var err error
	if st := tx.stmt(query); st != nil {
		rs, err = st.QueryContext(tx.ctx, args...)
	} else {
		rs, err = tx.tx.QueryContext(tx.ctx, query, args...)
	}
	if err != nil {
		return fail(err)
	}
	defer rs.Close()
	for rs.Next() {
		if err := f(rs.Scan); err != nil {
			return err
		}
	}
	return fail(rs.Err())
}

// docs reads a query of one column of documents.
func docs[T any](tx *Tx, query string, args ...any) ([]T, error) {
	all := []T{}
	err := tx.rows(query, args, func(scan func(...any) error) error {
		var doc string
		if err := scan(&doc); err != nil {
			return fail(err)
		}
		v, err := decode[T](doc)
		all = append(all, v)
		return err
	})
	return all, err
}

// newestFirst reads a page of a query of (time, id, doc) that has been told to
// start behind the cursor and to return one row more than the page holds.
func newestFirst[T any](tx *Tx, limit int, query string, args ...any) (api.Page[T], error) {
	page := api.Page[T]{Items: []T{}}
	var lastTime int64
	var lastID string
	err := tx.rows(query, append(args, limit+1), func(scan func(...any) error) error {
		var t int64
		var id, doc string
		if err := scan(&t, &id, &doc); err != nil {
			return fail(err)
		}
		if len(page.Items) == limit {
			page.Next = cursor(fmt.Sprint(lastTime), lastID)
			return nil
		}
		v, err := decode[T](doc)
		page.Items = append(page.Items, v)
		lastTime, lastID = t, id
		return err
	})
	return page, err
}

// fail gives an error of the database a code.
func fail(err error) error {
	if err == nil {
		return nil
	}
	if strings.Contains(err.Error(), "constraint failed: UNIQUE") || strings.Contains(err.Error(), "UNIQUE constraint failed") {
		return ringwall.Errorf(ringwall.Conflict, "there is one already: %w", err)
	}
	if strings.Contains(err.Error(), "FOREIGN KEY constraint failed") {
		return ringwall.Errorf(ringwall.NotFound, "what it refers to does not exist: %w", err)
	}
	return fmt.Errorf("asking the database: %w", err)
}
