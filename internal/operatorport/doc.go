// Package operatorport is how the platform asks a telecom operator to suspend
// and restore a SIM: a client, and a reference server to test against and to
// put before an operator's own system.
//
// # Promises
//
// An answer counts only when it says, for the card that was asked about, the
// state that was asked for. Everything else (no answer, a timeout, an answer
// that cannot be read, a server error, a state that is still "pending") is an
// error with code Unavailable: it is not known whether the operator acted. Ask
// again with the same idempotency key, which holds the response's id: the operator
// does once what it is asked often. Refusals are told apart from failures:
// NotFound (no such card of yours), Forbidden (the token), Invalid and Conflict
// are final for this request.
//
// The client tries again by itself, a bounded number of times with growing
// pauses, and never past its context. It follows no redirects, so the token
// goes nowhere but to the operator, and reads no more than 64 KiB of an answer.
// Card numbers and tokens stand in the body and header of a request, never in
// its URL, an error or a log.
//
// # Protocol
//
// JSON over HTTP, POST, with "Authorization: Bearer TOKEN":
//
//	POST /v1/sim/suspend   {"iccid": "...", "imsi": "...", "reason": "..."}   Idempotency-Key: suspended:rsp_...
//	POST /v1/sim/restore   {"iccid": "...", "imsi": "...", "reason": "..."}   Idempotency-Key: active:rsp_...
//	POST /v1/sim/state     {"iccid": "...", "imsi": "..."}
//
// One of iccid (ITU-T E.118) and imsi (TS 23.003) names the card; when both are
// given they must belong together. The answer to all three is
//
//	{"iccid": "...", "imsi": "...", "state": "active|suspended|pending", "since": "RFC 3339"}
//
// with status 200, or 202 when the state is pending; errors are problems as RFC
// 9457 describes them. A key used again for something else is a 409 (draft
// draft-ietf-httpapi-idempotency-key-header section 2.7 asks for a 4xx).
//
// What a card may be used for at all goes the same way: see Client.Configure; to
// reduce a card without suspending it, see Client.Restrict.
//
// A Client and a Handler may be used by several goroutines. Neither starts any.
package operatorport
