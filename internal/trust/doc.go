// Package trust decides what a device may do now: T0 to T4.
//
// Trust is the minimum over its inputs, never a weighted sum. Each input
// (enrolment, root, attestation, posture, behaviour, binding, the owner's gate)
// allows a level and says why; the lowest wins. What a device lacks and what
// it failed are kept apart: a camera that cannot attest is not a camera whose
// attestation failed. A lack caps and is forgotten when it is made good. A
// fault caps and leaves a debt: after the fault is gone, the level it had
// forced rises by one step for each clean period, shown as the input
// "recovery" with the time when the next step is due. So trust drops at once
// and rises slowly.
//
// Unknown is never good. The zero Inputs is a device nobody enrolled, T0;
// posture that was never assessed keeps a device from T4; a gateway that is not
// heard from cannot vouch.
//
// A clean period counts only while somebody looks: time between two evaluations
// further apart than Config.MaxGap counts as MaxGap. So evaluate each indebted
// device at least that often (State.Indebted says which); a platform that was
// away for a day, or a clock that jumps ahead, gives nobody a day of good
// behaviour, and a clock that jumps back takes none away.
//
// The package is pure: it holds no state, starts no goroutine and reads no
// clock. All functions may be called concurrently. The table of levels is
// DESIGN's, "Two axes, never mixed"; the decisions behind it are in
// docs/decisions.
package trust
