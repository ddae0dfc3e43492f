// Package policytest holds what tests of policies share: a World in which random
// policies and flows often meet, and Judge, which does by plain lookups in a
// compiled plan what the kernel does with its sets. Package policy is tested with
// both against its own decision function, package nft with the World against the
// kernel.
//
// Everything comes from the random source that the caller gives, so that a
// failing seed can be run again. Nothing here is used outside of tests.
package policytest
