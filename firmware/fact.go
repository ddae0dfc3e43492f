package firmware

// The names of facts that a part may have. Numbers are in decimal but for
// addresses, which are in hexadecimal with 0x; "true" and "false" answer what
// is a question.
const (
	FactVersion     = "version"     // of the format, or of the boot loader
	FactCompression = "compression" // how the content is compressed
	FactBlockSize   = "block-size"
	FactEndian      = "endian" // "little" or "big"
	FactMade        = "made"   // when the image says it was built, RFC 3339
)
