// Package store keeps a fixed line of 64 bytes for each card, for many cards,
// and finds the lines of a batch of records at the speed of memory.
//
// A Table is one address range of lines. A card's line is found in one of three
// ways, from fast to slow:
//
//   - by distance in the one Range, when cards are numbered without holes;
//   - by its block of 10,000 numbers. Operators issue numbers in blocks; the
//     table of blocks is so small that it stays in the second level of cache, and
//     the line is the only thing fetched from memory;
//   - as a stray, by open addressing: a slot of 8 bytes, then the line.
//
// Blocks are announced (Announce), or made by the Table itself of strays when
// three quarters of a block are there: nobody needs to know the numbering plan.
// Strays are bounded by Config.MaxStrays, lines by Config.MaxLines; what does not
// fit is refused with code Unavailable and nothing else changes.
//
// Find takes the lines of up to Width records at once and asks the processor to
// fetch them (PREFETCHT0, PRFM); by the time the first has been judged, the
// others have arrived. That is worth a factor of two.
//
// Up to 4 MiB of lines are ordinary memory. More are mapped apart from Go's heap
// (Linux), in pages of 2 MiB where the kernel has them: the garbage collector
// never looks at them, and growing copies nothing. Close gives the memory back;
// a Table that is no longer used gives it back too, later. Elsewhere than on
// Linux lines are ordinary memory and growing copies.
//
// A Copy is an image of a table that is taken while the table is in use, in
// pieces, and that is true at its end: see Table.BeginCopy.
//
// A Table belongs to one goroutine and starts none. A line's number (its place)
// stays the same while the card is there, with one exception that Config.Moved
// tells of: a stray whose block is made.
package store
