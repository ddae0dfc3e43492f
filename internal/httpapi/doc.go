// Package httpapi is the HTTP face of the platform: JSON under /v1 for
// programs, described by api/openapi.yaml, which is generated from this code
// and diffed in a test.
//
// A handler decodes, asks the Service, and returns; one border (problem.go)
// turns errors into problems of RFC 9457 and keeps their inner cause for the
// log; one wrapper (wrap.go) stands around every route, the console's too:
// request id, size and time limits, http.CrossOriginProtection, metrics, and
// one log event for each request without secrets, queries or ids in paths.
//
// Every operation but enrolment, login and health names an actor, found by
// bearer token or session cookie before the input is even looked at, and hands
// it to the Service as a typed argument. The Service decides what the actor may
// see; this package promises only that nobody reaches it without an actor.
//
// POSTs take an Idempotency-Key: the answer to the first is given again to
// those that follow with the same credential, key and body, for an hour and as
// far as memory allows. Answers are kept in memory alone, since some hold
// secrets that are shown once; a restart of the platform forgets them.
//
// The package starts no goroutines of its own; those of the server end with
// their requests. All memory that a caller can cause to be kept is bounded.
package httpapi
