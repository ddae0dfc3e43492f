package ringwall

// Version is that of the programs built from this tree (semver.org).
const Version = "0.1.0"
