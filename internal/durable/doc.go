// Package durable writes to disk so that what it has acknowledged is still
// there after the power was cut.
//
// A Disk is the one way to an fsync. WriteFile replaces a small file whole. A
// Journal is an append-only log in segment files: each frame carries its
// index, its length and a CRC-32C (Castagnoli) over both and the payload.
// Many goroutines may append at once; those that wait for the disk at the same
// time share one fsync.
//
// What a Journal promises: after Sync(n) returned nil, every frame up to n is
// read back by every later Open, in order, once, whatever happens to the
// process or the power. A frame that was not synced is read back whole or not
// at all. Frames become readable only when they are durable: a frame that was
// shown to somebody and then lost would let another take its index.
//
// What it refuses: to go on after a failed write or fsync. When fsync fails,
// Linux marks the dirty pages clean and reports the error once; a second fsync
// then succeeds although the data never reached the disk, and reading it back
// shows the page cache, not the disk. So the journal stops: every later call
// returns the first error, until the owner opens it anew, which reads what the
// disk has, cuts off a torn tail and syncs what it decided to keep. A process
// that was only killed has left pages that were never synced, so Open syncs
// before it shows anything.
//
// A bad frame at the end of the last segment is a torn tail: the power went
// before it was acknowledged. A bad frame anywhere else is damage, and Open or
// Read say so with ErrDamaged; they never skip it in silence. Damage to frames
// in the last segment cannot be told from a torn tail and is cut off with it.
//
// Each call site of an fsync has a name (Site), and the power-cut tests prove
// of each that leaving it out loses data.
//
// A Journal owns its directory: one process, one Journal. It starts no
// goroutines. All methods may be called concurrently.
package durable
