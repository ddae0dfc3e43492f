// Package assess grades devices: it finds them, runs probes against them,
// gathers the findings of every kind of evidence, and turns them into one
// grade with its interval, coverage and reasons.
//
// The rubric is data: 49 indicators over the five modules, each with its
// weight, standards and what can measure it (rubric.json, versioned). Grade is
// a pure function of rubric, findings and time: the same evidence gives the
// same result in any order, byte for byte. An indicator that nobody measured
// is unknown; it counts as half a fault in the expected risk, as none in the
// best case and as a whole one in the worst, and it is never drawn as good.
//
// A Probe is one way to measure, in a package of its own. Its Definition says
// what it needs and how far it goes; the Runner decides whether it runs, and
// owns every goroutine: Run returns when all have ended. Probes reach the
// world through a Network only, so that a namespace, a gateway or a test can
// stand in for the machine's own.
//
// Guessing passwords can lock an owner out. Ledger is the one purse from which
// every probe takes its tries at one device; when it is empty, the answer is
// unknown, not good.
//
// Standards are named per indicator in rubric.json. The result "pass, fail,
// inconclusive" follows ETSI TS 103 701 clause 4.4; knock-outs, coverage and
// interval are ours (see Grade).
package assess
