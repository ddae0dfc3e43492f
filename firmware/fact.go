package firmware

// The names of facts that a part may have. Numbers are in decimal but for
// addresses, which are in hexadecimal with 0x; questions are answered with
// "true" and "false", checksums with "ok" and "wrong". Each variable of a
// U-Boot environment is a fact "env.NAME".
const (
	FactVersion       = "version"     // of the format
	FactCompression   = "compression" // how the content is compressed
	FactBlockSize     = "block-size"
	FactEndian        = "endian"          // "little" or "big"
	FactMade          = "made"            // when the image says it was built, RFC 3339
	FactChecksum      = "checksum"        // of the content
	FactHeaderSum     = "header-checksum" // when it does not decide whether the header is believed
	FactOS            = "os"
	FactArch          = "arch"
	FactType          = "type"
	FactLoad          = "load"
	FactEntry         = "entry"
	FactBootargs      = "bootargs"  // kernel command line, wherever it stands
	FactBootdelay     = "bootdelay" // seconds the boot loader waits for a key
	FactBootcmd       = "bootcmd"
	FactRedundant     = "redundant" // an environment of two copies: "true" or "false"
	FactDefault       = "default"   // an environment compiled into the boot loader
	FactKernel        = "kernel"    // the line "Linux version ..." of a kernel
	FactBootLoader    = "boot-loader"
	FactModel         = "model"      // of a device tree
	FactCompatible    = "compatible" // of a device tree
	FactSigned        = "signed"     // the image has a signature; that says nothing about who checks it
	FactSignAlgo      = "signature-algorithm"
	FactSignKey       = "signature-key-name"
	FactKeyRequired   = "required-keys" // public keys in a device tree that its loader demands signatures of
	FactVerity        = "verity"        // the image carries a hash tree for dm-verity
	FactHash          = "hash"          // algorithms of hashes, of a FIT
	FactEntropy       = "entropy"       // bits per byte, of what is unknown
	FactLooks         = "looks"         // what an unknown region looks like, see the Looks constants
	FactVendor        = "vendor"
	FactDescription   = "description"
	FactBoardID       = "board"
	FactConfig        = "configuration"
	FactOSVersion     = "os-version"
	FactPatchLevel    = "patch-level"
	FactPartialUpdate = "partial-update"
)

// What an unknown region looks like.
const (
	LooksEncrypted = "encrypted or compressed"
	LooksCode      = "code or data"
	LooksText      = "text"
	LooksSparse    = "mostly padding"
)
