// Package spool follows a file of usage records while it is being written.
//
// Follow reads records as lines are completed, waits for more at the end, and
// survives what mediation systems do to files: appended to, renamed and begun
// anew (rotation; the renamed one is read to its end first, and is looked for in
// the same directory after a restart), or cut to nothing and written again from
// the start. A last line without a line break is not a record yet.
//
// A Cursor says how far reading came. The caller keeps it together with what it
// made of the records, and hands it back after a restart: then no record is
// left out and none is handed over twice. A file that has shrunk below the
// cursor, or whose first line has changed, is another file and is read from its
// start; records carry ids, by which package usage judges those that come again
// only once. One that was cut and has grown past the cursor again before anybody
// looked cannot be told from one that only grew: rotate by renaming. Files that
// were renamed while nobody looked are read in the order of the times at which
// they were last written to, so not more than one in a clock tick.
//
// A Dir is a source of the files that come into a directory: each is read when it
// is complete (it was renamed, has a marker, or has not changed for a while), in
// the order of names, whatever its form (package cdrfile). A ledger of their
// digests, one fsync a file, keeps a file that is sent twice from being judged
// twice; it is told as such. Positions hold where in which file reading stood and
// what the ledger said: from one, everything that came after it is read again,
// though the ledger has it since. Files leave the directory only when Commit says
// that what came of them is durable. A file that vanishes or changes is told.
//
// Follow runs in its caller's goroutine, opens files for reading only and
// closes what it opens. It polls: that works on every file system, a network's
// included, and costs one stat each Config.Poll.
package spool
