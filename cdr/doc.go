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
// The hot path takes Events: 64 bytes without a pointer, in Batches. Keys makes
// them of records, with one secret for all machines; a Source gives batches (CSV of
// lines, Records of memory; other formats stand in the packages below this one), a
// position to go on from, and tells a function of Bad records; a Batch's Detail reads
// the whole record behind an event when somebody has to see it. CSV and Decoder make
// events of lines without making records, and say exactly what Layout.Decode and
// Keys.Event say. AppendBatch and DecodeBatch carry batches through logs.
//
// Nothing here is safe for concurrent use by several goroutines, but Layout and Keys
// are. The fields are named after 3GPP TS 32.298 section 5.1: servedIMSI,
// servedIMEI, accessPointNameNI, dataVolumeGPRSUplink and -Downlink,
// locationAreaCode, cellIdentifier, duration and localSequenceNumber.
package cdr
