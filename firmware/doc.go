// Package firmware opens a firmware image and shows what is inside: boot
// loader, kernel, device tree, file systems and archives, down to each file.
//
// An image is a tree of parts. Open looks for the headers of all known formats
// at every offset, believes a header only when its checksum or its structure
// holds, opens what it finds, and looks inside again. What stands between two
// parts is told apart as padding, text, code, or data that looks encrypted.
// A part that cannot be unpacked says why in Part.Err; it never fails the
// image.
//
// The package promises that it stays within the limits of Options whatever the
// input says: bytes held and yielded, number of files, depth of nesting, ratio
// of compression, and the time of the context. It never writes to disk, starts
// no goroutine, and follows no path out of a tree: a link is data, an absolute
// link starts at the root of its own tree, and an entry whose name leads
// outside is refused and noted. Device nodes are listed, never opened.
//
// It refuses to guess: it does not decrypt, tries no passwords, and reports an
// unknown region with its entropy instead of a format it merely resembles.
//
// File content is decompressed when it is read and kept in a bounded cache, so
// the io.ReaderAt given to Open must stay readable as long as the image is
// used. An Image and its trees may be read by several goroutines.
//
// The formats follow the headers of the Linux kernel (squashfs_fs.h, jffs2.h,
// ubifs-media.h, cramfs_fs.h, romfs_fs.h, ext4.h), of U-Boot (image.h, and the
// Devicetree Specification 0.4 section 5), of Android (bootimg.h,
// sparse_format.h, update_metadata.proto), POSIX.1-2001 pax, APPNOTE.TXT of
// zip, RFC 1952, RFC 8878 and the .xz file format 1.2.
package firmware
