// Package powercut is a file system whose power can be cut, for tests.
//
// It is a FUSE file system in memory that keeps, beside what programs see, what
// a disk would still have: the content of files as of their last fsync and the
// names in directories as of the last fsync of the directory. Cut drops the
// rest, as a power cut does, and mounts what survived at the same place.
//
// Programs use it as any file system, through the kernel: what is proved is
// the order of their real system calls, not that of a model of them.
//
// What survives a cut is chosen by the Survival given to it:
//
//   - Strict keeps nothing that was not synced.
//   - Torn keeps, drawn from a seed, any subset of the unsynced sectors of each
//     file (512 bytes, so pages tear inside), any size between the old and the
//     new, and of each directory's unsynced changes any first part. Changes of
//     one directory keep their order and a rename is whole or not there, as
//     with the ordered journal of ext4.
//
// By default the name of a new file is durable only when its directory has
// been synced, as POSIX has it. With Config.NamesWithFiles the fsync of a file
// also makes its name and those of its parents durable, as ext4 does; software
// that we did not write and that stands on it is tested so.
//
// Promises beyond what a disk gives, none. Not kept: ownership, access times,
// extended attributes and special files. fcntl and flock locks are the
// kernel's own and work. mmap works; a page that is mapped shared and written
// reaches this file system when the kernel writes it back (msync, munmap,
// close), and counts as synced only after a later fsync. A program that maps
// files must not run in the process that serves the file system: a page fault
// stops a thread where Go's scheduler cannot help, and the two can wait for
// each other. In one process, open SQLite with PRAGMA locking_mode=EXCLUSIVE,
// which keeps the WAL index on the heap.
//
// It needs root and /dev/fuse (it mounts by mount(2), fusermount is not used).
// FS owns the goroutines that serve the mount; they end with the last file that
// is open in it, see Close.
package powercut
