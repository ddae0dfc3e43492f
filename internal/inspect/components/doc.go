// Package components tells which software lies in an unpacked image, and in
// which version, from the binaries themselves.
//
// Camera and router images seldom have a package database, and their binaries
// are stripped: what is left is the text that programs print about
// themselves. The fingerprints (fingerprints.json, our own) say where that text
// holds a version. One pass of an automaton over all their literals finds the
// places; an expression is tried only there. A fingerprint wants context, so
// that software which merely speaks of other software is not taken for it: the
// product's own texts in the same file, the absence of a link to the library
// spoken of, the kind of file. A version in a file's name counts only beside such
// texts. Where a package database is present (dpkg, opkg, apk) or a binary
// carries the note its packager wrote into it (FDO package metadata for ELF),
// that is first-class evidence.
//
// It promises: the same tree gives the same answer, byte for byte; files are
// streamed in windows of 256 KiB, so memory does not grow with them; nothing is
// executed, nothing is written. It refuses to guess: two versions that could both
// be meant give none. Compilers (the "GCC:" comments) and texts about software
// (documentation, scripts, pages) are no components. RPM databases are not
// read.
//
// It starts no goroutines. Names are CPE 2.3 (NISTIR 7695) and package URLs
// (ECMA-427).
package components
