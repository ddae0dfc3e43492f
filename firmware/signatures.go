package firmware

// signatures lists what the carver looks for. Where several formats share the
// first bytes the more telling one stands first.
func signatures() []signature {
	all := []signature{
		{0, "\x27\x05\x19\x56", openUImage},
		{0x24, "\x18\x28\x6f\x01", openZImage},
		{0x24, "\x01\x6f\x28\x18", openZImage},
		{0x38, "ARMd", openArm64},
		{0, "070701", openCPIO}, {0, "070702", openCPIO}, {0, "070707", openCPIO},
		{257, "ustar", openTar},
		{0, "\x85\x19", openJFFS2},
		{0, "\x19\x85", openJFFS2},
		{0, "\x45\x3d\xcd\x28", openCramFS},
		{0, "\x28\xcd\x3d\x45", openCramFS},
		{0, "-rom1fs-", openRomFS},
		{0, "UBI#", openUBI},
		{0, "\x31\x18\x10\x06", openUBIFS},
		{0, "\xd0\x0d\xfe\xed", openFDT},
		{0, "ANDROID!", openAndroidBoot},
		{0, "VNDRBOOT", openVendorBoot},
		{0, "AVB0", openVBMeta},
		{0, "\x3a\xff\x26\xed", openSparse},
		{0, "CrAU", openPayload},
		{0, "HDR0", openTRX},
		{0, "\x5e\xa3\xa4\x17", openSeama},
		{0, "*#$^", openCHK},
		{0, "\x01\x00\x00\x00TP-LINK", openTPLink},
		{0, "DH\x03\x04", openDahua},
		{1080, "\x53\xef", openExt},
		{54, "FAT12   ", openFAT},
		{54, "FAT16   ", openFAT},
		{82, "FAT32   ", openFAT},
		{0, "PK\x03\x04", openZip},
		{0, "\x1f\x8b\x08", streamOpener("gzip")},
		{0, "\xfd7zXZ\x00", streamOpener("xz")},
		{0, "BZh", streamOpener("bzip2")},
		{0, "\x28\xb5\x2f\xfd", streamOpener("zstd")},
		{0, "\x04\x22\x4d\x18", streamOpener("lz4")},
		{0, "\x02\x21\x4c\x18", streamOpener("lz4-legacy")},
		{0, "\x89LZO\x00\r\n\x1a\n", streamOpener("lzop")},
		{0, "\x5d\x00\x00", streamOpener("lzma")},
		{0, "\x6d\x00\x00", streamOpener("lzma")},
	}
	for _, magic := range []string{"hsqs", "sqsh", "shsq", "qshs", "hsqt", "tqsh", "sqlz", "zlqs"} {
		all = append(all, signature{0, magic, openSquashFS})
	}
	return append(all, unreadSignatures()...)
}
