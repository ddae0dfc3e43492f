// Package sqlstore keeps the platform's state in a SQL database: SQLite inside
// the process. It implements the stores that the contexts declare.
//
// Every method takes an audit.Scope, needs it to permit the act, and reaches
// only rows of the scope's organisation: another organisation's id is answered
// with NotFound, exactly as one that does not exist. Only methods that say so
// reach across organisations, and need a scope of the platform's own.
//
// Update is one transaction; what it wrote is on the disk when it returns nil
// (WAL with synchronous=FULL). Events emitted in it are committed with it and
// wait in the outbox. A function given to Update or View must not keep the Tx.
//
// Numbers of SIM cards and equipment are sealed with AES-256-GCM under
// data.key, in the store's directory, and found by a keyed hash; they stand
// nowhere in clear.
//
// The SQL keeps to what SQLite and PostgreSQL share: $N placeholders, INSERT …
// ON CONFLICT, BIGINT and TEXT, times in microseconds; BLOB is the one word
// that a PostgreSQL migration has to read as BYTEA.
//
// A Store may be used from several goroutines: one writer at a time, readers
// beside it. It owns the files in its directory and starts no goroutine.
package sqlstore

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver registers itself

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/audit"
)

//go:embed migrations/*.sql
var migrations embed.FS

const (
	// readers bounds how many queries run beside the writer.
	readers = 8
	// busy is how long a statement waits for a lock that another process holds,
	// such as a backup.
	busy = 5 * time.Second
)

// Store is the database.
type Store struct {
	w, r *pool
	seal *sealer
	now  func() time.Time
}

// Open opens the store in dir and brings its schema up to date; both are made
// if they are missing.
func Open(ctx context.Context, dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the store's directory: %w", err)
	}
	file := filepath.Join(dir, "ringwall.db")
	if err := private(file); err != nil {
		return nil, fmt.Errorf("making database %q: %w", file, err)
	}
	w, err := sql.Open("sqlite", dsn(file, "immediate", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)"))
	if err != nil {
		return nil, fmt.Errorf("opening database %q: %w", file, err)
	}
	w.SetMaxOpenConns(1)
	if err := migrate(ctx, w); err != nil {
		return nil, errors.Join(fmt.Errorf("migrating database %q: %w", file, err), w.Close())
	}
	r, err := sql.Open("sqlite", dsn(file, "deferred", "query_only(1)", "foreign_keys(1)"))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening database %q: %w", file, err), w.Close())
	}
	r.SetMaxOpenConns(readers)
	r.SetMaxIdleConns(readers)
	s := &Store{w: &pool{db: w}, r: &pool{db: r}, now: time.Now}
	if s.seal, err = openSealer(ctx, filepath.Join(dir, "data.key"), w); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if err := s.reckonNumbers(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// private makes the database file readable by its owner alone, before SQLite
// would make it readable by all.
func private(file string) error {
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

func dsn(file, lock string, pragmas ...string) string {
	q := url.Values{"_txlock": {lock}}
	q.Add("_pragma", fmt.Sprintf("busy_timeout(%d)", busy.Milliseconds()))
	for _, p := range pragmas {
		q.Add("_pragma", p)
	}
	return "file:" + (&url.URL{Path: file}).EscapedPath() + "?" + q.Encode()
}

func migrate(ctx context.Context, db *sql.DB) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, files, goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return err
	}
	_, err = p.Up(ctx)
	return err
}

// Close closes the database.
func (s *Store) Close() error { return errors.Join(s.r.close(), s.w.close()) }

// maxStatements bounds the statements that a pool keeps prepared: more than
// there are texts in this package; a list's filters make some more.
const maxStatements = 512

// pool is a database handle with the statements that were prepared on it:
// preparing one costs as much as running it.
type pool struct {
	db *sql.DB

	mu    sync.Mutex
	stmts map[string]*sql.Stmt
}

// prepared returns the statement of a text; nil when there is none yet.
func (p *pool) prepared(query string) *sql.Stmt {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stmts[query]
}

// prepare prepares what a transaction found missing, after its end: inside of
// it the pool's only connection is taken. What cannot be prepared now is run as
// text, again.
func (p *pool) prepare(ctx context.Context, queries []string) {
	for _, q := range queries {
		p.mu.Lock()
		enough := p.stmts[q] != nil || len(p.stmts) >= maxStatements
		p.mu.Unlock()
		if enough {
			continue
		}
		st, err := p.db.PrepareContext(ctx, q)
		if err != nil {
			return
		}
		p.mu.Lock()
		if p.stmts == nil {
			p.stmts = map[string]*sql.Stmt{}
		}
		if p.stmts[q] == nil {
			p.stmts[q] = st
			st = nil
		}
		p.mu.Unlock()
		if st != nil { // another was faster
			_ = st.Close()
		}
	}
}

func (p *pool) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for _, st := range p.stmts {
		errs = append(errs, st.Close())
	}
	return errors.Join(append(errs, p.db.Close())...)
}

// Tx is one transaction. It lives within one call of Update or View, and so
// carries that call's context.
type Tx struct {
	ctx  context.Context
	tx   *sql.Tx
	seal *sealer
	now  func() time.Time

	pool    *pool
	missing []string // texts that were not prepared
}

// Update runs f in a transaction that may write. When f returns nil, all of it
// is committed and durable; otherwise nothing of it has happened.
func (s *Store) Update(ctx context.Context, f func(*Tx) error) error { return s.run(ctx, s.w, f) }

// View runs f in a transaction that reads one state of the database.
func (s *Store) View(ctx context.Context, f func(*Tx) error) error { return s.run(ctx, s.r, f) }

func (s *Store) run(ctx context.Context, p *pool, f func(*Tx) error) error {
	tx, err := p.db.BeginTx(ctx, nil)
	if err != nil {
		return ringwall.Errorf(ringwall.Unavailable, "the database is not available: %w", err)
	}
	defer tx.Rollback() // for a panic; after a commit this does nothing
	t := &Tx{ctx: ctx, tx: tx, seal: s.seal, now: s.now, pool: p}
	err = f(t)
	if err == nil {
		if err = tx.Commit(); err != nil {
			err = ringwall.Errorf(ringwall.Unavailable, "the database did not take the change: %w", err)
		}
	}
	_ = tx.Rollback() // the connection is needed for what follows
	if len(t.missing) > 0 {
		p.prepare(ctx, t.missing)
	}
	return err
}

// need checks that the scope permits act inside one organisation, and returns
// that organisation.
func need(scope audit.Scope, act audit.Act) (string, error) {
	if !scope.Permits(act) {
		return "", ringwall.Errorf(ringwall.Forbidden, "the scope does not permit %s", act)
	}
	if scope.Org() == "" {
		return "", ringwall.Errorf(ringwall.Forbidden, "the scope names no organisation")
	}
	return string(scope.Org()), nil
}

// needPlatform checks that the scope permits a system act across organisations.
func needPlatform(scope audit.Scope, act audit.Act) error {
	if !scope.Permits(act) {
		return ringwall.Errorf(ringwall.Forbidden, "the scope does not permit %s", act)
	}
	return nil
}

func notFound(kind, id string) error {
	return ringwall.Errorf(ringwall.NotFound, "no %s %.60q", kind, id)
}

// own checks that a value which names its organisation names the scope's.
func own(org string, of ringwall.OrgID, kind, id string) error {
	if of != "" && string(of) != org {
		return notFound(kind, id)
	}
	return nil
}
