// Package vuln says which known weaknesses the components of a device and its
// model have, offline, from a bundle of data that can be exchanged.
//
// The data are ranges of versions by product (as CPE names them) and of firmware
// by vendor and model, the list of vulnerabilities known to be exploited (CISA
// KEV), and the dates at which upstream support of branches ended. A small seed
// is compiled in (seed.jsonl: facts we hold ourselves to be sure of); a bundle
// made with ImportNVD, ImportKEV and ImportCVE replaces it. A stored SBOM is matched
// again against new data without a look at the device: Diff tells what is new,
// Delta.Affected whom it concerns.
//
// It promises: the same data and components give the same answer; a version
// that is not known matches nothing; what a distribution may have corrected under
// an old number, what nothing exposed uses, and what a list names without
// affected versions is for a person to decide ("in_triage"), and says so. It
// refuses bundles whose checksum or signature does not hold, unbounded input, ids
// that are none.
//
// All functions are pure: no clock, no network, no files. Data is never
// written after it is made and may be used by many goroutines.
//
// Formats: CISA KEV catalogue JSON; NVD CVE API 2.0; CVE record format 5;
// CPE 2.3 (NISTIR 7695); CVSS 2.0 to 4.0 base scores; states as CycloneDX 1.6
// analysis.state.
package vuln
