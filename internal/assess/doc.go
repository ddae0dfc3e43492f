// Package assess grades devices: it finds them, runs probes against them,
// gathers the findings of every kind of evidence, and turns them into one
// grade with its interval, coverage and reasons.
//
// The rubric is data: 49 indicators over the five modules, each with its
// weight, standards by edition, what can measure it, and who can remedy it
// (rubric.json, versioned), and the profiles by which it is applied to classes
// of devices and their use (profiles.json). Grade is a pure function of rubric,
// profile, findings and time: the same evidence gives the same result in any
// order, byte for byte. An indicator that nobody measured is unknown; it counts
// as half a fault in the expected risk, as none in the best case and as a whole
// one in the worst, and it is never drawn as good. Evidence is the border at
// which it is decided in whose name a finding is said; rank says who is
// believed over whom. A Bundle holds all that a grade follows from, signed, and
// is judged again anywhere.
//
// What follows a grade is pure too: Prescribe, Remedials, SupervisionOf, Due,
// GateAllows, Maker.
//
// A Probe is one way to measure, in a package of its own. Its Definition says
// what it needs and how far it goes; the Runner decides whether it runs, and
// owns every goroutine: Run returns when all have ended. Probes reach the
// world through a Network only, so that a namespace, a gateway or a test can
// stand in for the machine's own; the one they get keeps to a rate, and to the
// addresses that the assessment is of. Nothing is sent where Consent does not
// reach.
//
// Guessing passwords can lock an owner out. Ledger is the one purse from which
// every probe takes its tries at one device; when it is empty, or a service
// hints at a lock, the answer is unknown, not good.
//
// Standards are named per indicator in rubric.json. The result "pass, fail,
// inconclusive" follows ETSI TS 103 701 clause 4.4; knock-outs, coverage and
// interval are ours (see Grade). Bundles are sealed as DSSE envelopes with
// Ed25519 (RFC 8032).
package assess
