// Package ts32298 reads and writes the charging records of 3GPP TS 32.298 in BER,
// as an operator's network elements write them, by hand-made walks that make
// events of package cdr without allocating.
//
// Read are the records that say what a SIM used:
//
//   - chargingFunctionRecord of the CHF with PDU session or SMS information
//     (section 5.2.5, module CHFChargingDataTypes);
//   - SGW, PGW, SGSN-PDP, TDF, IP-Edge, ePDG and TWAG records, and SMS over SGSN
//     or MME (section 5.2.2, GPRSChargingDataTypes);
//   - mobile originated and terminated calls and short messages of the circuit
//     switched domain (section 5.2.3.2, CSChargingDataTypes);
//   - short messages of the SMS service node and of the IP-SM-GW (section 5.2.4.8,
//     SMSChargingDataTypes).
//
// Other records of the modules are passed over and counted (ErrKind): they are
// right, but say nothing that is judged. Fields and tags that are not known are
// passed over. Lengths may be definite or indefinite. A record without a card, a
// time or with a value that its type does not allow is an error that names the
// field, never its value.
//
// What an event says: time is when the record was opened (of a call, when it was
// answered); volume is the sum over all rating groups and traffic containers;
// the network is the serving node's, else that of the location; the place is the
// last in the record that names one (TS 29.274 section 8.21, TS 29.061 section
// 16.4.7.2 and the structured form of TS 29.571). The id of a record is its
// recorder and local sequence number, else what else keeps it apart.
//
// A record is read in one of three ways, which find the same. The slow walk
// (decode.go) reads any form, and says what is wrong with it. The quick one (quick.go)
// reads definite lengths in one loop. And since the records of one network element
// have the same fields in the same order, a Decoder remembers the shapes of records
// that were walked, up to eight: a record of a shape is held against it, eight octets
// at a time, and not walked (shape.go, learn.go). Of one of data, an event is then
// made directly (direct.go). Shapes change how long a record takes, never what it
// says; what is not exactly of a shape is walked.
//
// tags.go lists each tag with the name and type that the module gives it, and a
// test holds it against the modules' text. Appender writes such records, for
// generators and for tests.
//
// A Decoder belongs to one goroutine.
package ts32298
