// Package gen makes worlds of SIM cards in devices, and the usage records that
// they leave: for tests, for benchmarks, and to know how many alarms rules give
// that are false, and what they miss.
//
// A world has a cell plan (towns, tracking areas, cells that overlap, roads, a
// border with other countries' networks), customers with tariffs (cameras that
// stream or wait for motion, meters, trackers, cars, payment terminals, lifts),
// and things that happen to honest cards: neighbouring cells take turns, masts
// are repaired and areas planned anew, devices are replaced, moved, suspended and
// activated, with notice or without; waves of new software, outages and what is
// sent after them, weather that sets off every camera of a town, people who look
// on for an hour; charging gateways whose clocks are off, whose files come hours
// late or twice. Into it, misuse of every kind is put, and a truth tells of each
// case which rules must find it and by when. Where even a careful analyst with
// the operator's books could not tell, the truth says why.
//
// The world is made from what networks and devices do, not from what rules look
// for: when a rule fails on it, either may be wrong. Rates of honest events are
// guesses, as no operator publishes them.
//
// Everything follows from the seed and the numbers in Config, and from nothing
// else. A card has no state: what it does at a time is computed from the seed, so
// that a hundred million cards cost no more memory than a hundred, apart from the
// cell plan and a bit a card. Records come in the order in which they would be
// delivered: by the time at which a session ends, the sessions of a card up to an
// hour out of order by the time at which they began, and some files hours late.
//
// A World may be shared; a Source belongs to one goroutine. Nothing here opens
// files. The numbers are made up: the network 460-04 has no such blocks, the
// addresses are from ranges for documentation, tests and shared use (RFC 5737,
// RFC 2544, RFC 6598), and the type allocation codes belong to nobody known.
package gen
