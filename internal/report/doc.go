// Package report writes an assessment down for those who have to act on it:
// as a page that stands alone (HTML), as a document (PDF), in English and
// Chinese, and in the formats that other tools read: SARIF 2.1.0, OSCAL
// assessment results 1.1, CycloneDX 1.6 with VEX, CSV. It also compares a fleet
// and shows how it changes.
//
// Every writer is a pure function of its input: the same input gives the same
// bytes, on every machine. No clock is read; identifiers in SARIF, OSCAL and
// CycloneDX are derived from what they name.
//
// Device names, banners and evidence come from devices and are hostile: HTML is
// escaped by html/template, tables for spreadsheets cannot hold a formula, a
// PDF shows a character that its fonts do not have as □. Pages load nothing
// from elsewhere and run no script. Lists are bounded, and what was left out is
// counted; no secret is in what assessments hold.
//
// What is unknown is drawn as unknown. The title and evidence of a finding are
// shown in the words of the probe that found it (English); what is asked, why,
// and what to do are told in the reader's language.
//
// The package keeps no state, starts no goroutine and touches no file. Standards: SARIF
// 2.1.0 (OASIS) sections 3.13 to 3.35; OSCAL 1.1.2 assessment-results model;
// CycloneDX 1.6; RFC 4180 (CSV); RFC 9562 section 5.5 (UUID version 5).
package report
