// Package peek reads what stands in clear inside flows: the hello of TLS,
// requests of HTTP and RTSP, packets of MQTT and CoAP messages.
//
// Its readers are incremental: they take the bytes that have come so far and
// answer ErrShort until there are enough. They keep nothing of what they are
// given but what they say they keep, and what they need is bounded by the
// constants of this package. They read as the strictest server would: what two
// servers could read in two ways is Malformed, and who asks must refuse it,
// since a policy can be enforced only on what everybody reads alike.
//
// The package decides nothing, has no goroutines, no clock and no state of its
// own. Results that are byte slices point into what was given and hold only
// until that changes.
//
// Standards: TLS RFC 8446 section 4.1.2 and RFC 5246 section 7.4.1.2, SNI RFC
// 6066 section 3, ECH RFC 9849, GREASE RFC 8701; HTTP/1 RFC 9112; RTSP 1.0 RFC
// 2326 and 2.0 RFC 7826; MQTT 3.1.1 and 5.0 (OASIS); CoAP RFC 7252.
package peek
