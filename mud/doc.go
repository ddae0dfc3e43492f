// Package mud reads, checks and writes Manufacturer Usage Descriptions: the
// file in which a manufacturer says whom its device needs to talk to (RFC
// 8520), with the TLS profiles of RFC 9761.
//
// A description is taken whole or refused. What would change the meaning of an
// access list is never skipped: an unknown match or action is an error, since
// leaving a match out widens what is allowed. Unknown members of the
// description itself are an error too, unless they carry the prefix of another
// YANG module; those are listed in File.Notes and otherwise left alone, as RFC
// 8520 section 3.9 wants it for extensions.
//
// Files in the field differ from the standard in known ways, which Parse
// accepts and Write never produces; each leaves a note: the container
// "access-lists" of an early draft for "acls", the member names and the text
// "true" of the example in RFC 9761 section 7, which disagree with its own
// YANG modules, and actions inside matches as in the same example.
//
// Parse checks form, not truth. The signature (RFC 8520 section 13) is a CMS
// structure in another file; CheckSignature says what is known of it, and keeps
// "does not hold", "by somebody unknown" and "could not be looked at" apart. A
// description can only ever narrow what an owner allows, signed or not, until a
// person has approved it.
//
// Names are not resolved, no address is asked: the package does no I/O, keeps
// no state and starts no goroutine. Standards: RFC 8520 sections 2, 3 and 8;
// RFC 8519 (access lists); RFC 7951 (YANG in JSON); RFC 9761 sections 5 and 6.
package mud
