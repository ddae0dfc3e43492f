// Package run holds the index of flow reports: runs, each of which covers the
// frames of one stretch of the evidence store, sorted by organisation, device and
// start, in columns.
//
// A run has of each report what queries filter, order and sum by, and where the
// report itself is (frame, record). It is made by a Builder, which also answers
// queries over what it has so far, and is read with Open. A run is never
// changed. It only saves time: it is not synced, says of every page of 16 KiB
// whether it is whole (CRC-32C), and can be made again from the frames; whoever
// reads a damaged one gets ErrDamaged and makes it again.
//
// Every key begins with the organisation: rows of another are never looked at.
//
// What is bounded: the rows and the text of a Builder (Full says when), the
// directory that an open run keeps in memory (4 bytes a page), and what a query
// holds (a page of rows). A query reads the columns it needs and no others; a
// value that a run does not have costs a binary search in its dictionary.
//
// A Builder is used by one goroutine at a time; a Run by any number.
package run
