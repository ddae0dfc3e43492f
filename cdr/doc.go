// Package cdr reads and writes usage records: what a telecom operator's
// charging says one SIM did, once.
//
// The form is CSV as RFC 4180 describes it, one record a line, the first line
// naming the columns in any order. Columns that are not known are skipped; a
// Mapping says under which names another system writes ours. Only time, imsi
// and service are required. What is empty is unknown, never zero and good.
//
//	id,time,imsi,imei,service,direction,peer,apn,up,down,area,cell,duration,plmn,flags,address
//	r-1,2026-11-21T14:02:07Z,460001234567890,356938035643809,data,,198.51.100.20,iot.example,1200,800,4f01,9b2,0,46000,,10.1.2.3
//
// A Reader gives record after record and costs the memory of one line, of at
// most MaxLine bytes, whatever the input. A line that is wrong is an error of
// type *LineError with its number and the offending text; reading goes on with
// the next. A quoted field may hold commas and quotes, but no line break: a
// record is a line, so that a file that is still being written can be followed
// and a torn one resumed. Layout decodes single lines for that use.
//
// A Writer writes what a Reader reads, field for field.
//
// Nothing here is safe for concurrent use by several goroutines, but a Layout
// is. The fields are named after 3GPP TS 32.298 section 5.1: servedIMSI,
// servedIMEI, accessPointNameNI, dataVolumeGPRSUplink and -Downlink,
// locationAreaCode, cellIdentifier, duration and localSequenceNumber.
package cdr
