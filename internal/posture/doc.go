// Package posture collects what a Linux device can say of its own state: which
// sockets wait for others and whose they are, accounts, mounts, how it booted,
// what is installed. A separate package, posture/judge, turns that into
// findings; it is not linked into the agent.
//
// Everything is read through an fs.FS that stands for the device's root, so
// that a container's root or a fixture is read like the real one. Nothing is
// run, nothing is written, no network is used. Each list is bounded (256), each
// file is read up to a limit, and the walk over processes ends after 4,096.
//
// A posture holds no secret: of a password only how it is hashed, of a file of
// secrets only whether others may read it, of the kernel's command line no
// value whose name sounds like a secret. What could not be read stands in
// Unread with the reason: silence is never taken for "nothing there".
//
// Sign and Verify bind a posture to the device's key, to the verifier's nonce
// and to a time. A verified posture is the device's own word: a taken device
// can lie. Where a TPM quotes the same state, believe the quote.
//
// Formats: proc(5), Linux Documentation/filesystems/proc.rst section 3.5
// (mountinfo), dm-verity and dm-crypt uuids as device-mapper writes them, UEFI
// specification section 3.3 (SecureBoot), shadow(5), crypt(5).
package posture
