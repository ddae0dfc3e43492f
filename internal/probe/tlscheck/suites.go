package tlscheck

// Protocol versions on the wire. SSL 2 has a format of its own.
const (
	ssl2  = 0x0002
	ssl3  = 0x0300
	tls10 = 0x0301
	tls11 = 0x0302
	tls12 = 0x0303
	tls13 = 0x0304
)

func versionName(v uint16) string {
	switch v {
	case ssl2:
		return "SSL 2"
	case ssl3:
		return "SSL 3"
	case tls10:
		return "TLS 1.0"
	case tls11:
		return "TLS 1.1"
	case tls12:
		return "TLS 1.2"
	case tls13:
		return "TLS 1.3"
	}
	return "an unknown version"
}

// badness of what a server takes.
type weight uint8

const (
	fine  weight = iota
	aged         // to be turned off: counts in part
	wrong        // protects nothing, or can be broken today
)

// family is a set of cipher suites that stand or fall together. The numbers are
// those of the IANA registry "TLS Cipher Suites".
type family struct {
	name   string
	weight weight
	suites []uint16
}

// families returns those that are asked for, worst first.
func families() []family {
	return []family{
		{"no encryption (NULL)", wrong, []uint16{0x0001, 0x0002, 0x003b, 0x0000, 0xc006, 0xc010, 0xc001, 0xc00b, 0x002c, 0x00b4, 0x00b8, 0xc039}},
		{"no authentication (anonymous)", wrong, []uint16{0x0018, 0x001b, 0x0034, 0x003a, 0x006c, 0x006d, 0x00a6, 0x00a7, 0xc016, 0xc017, 0xc018, 0xc019, 0x0017, 0x0019, 0x001a}},
		{"export ciphers of 40 bits", wrong, []uint16{0x0003, 0x0006, 0x0008, 0x000b, 0x000e, 0x0011, 0x0014, 0x0062, 0x0064, 0x0063, 0x0065}},
		{"DES", wrong, []uint16{0x0009, 0x000c, 0x000f, 0x0012, 0x0015}},
		{"RC4", wrong, []uint16{0x0004, 0x0005, 0xc007, 0xc011, 0xc002, 0xc00c, 0x0066, 0x008a}},
		{"triple DES", aged, []uint16{0x000a, 0x0016, 0x0013, 0xc008, 0xc012, 0xc003, 0xc00d, 0x000d, 0x0010}},
		{"CBC suites", fine, cbcSuites()},
		{"key transport by RSA", fine, []uint16{0x002f, 0x0035, 0x003c, 0x003d, 0x009c, 0x009d, 0xc09c, 0xc09d, 0x0041, 0x0084}},
		{"suites with forward secrecy", fine, append([]uint16{0xc013, 0xc014, 0xc009, 0xc00a, 0xc023, 0xc024, 0xc027, 0xc028, 0x0033, 0x0039, 0x0067, 0x006b}, aeadSuites()...)},
		{"authenticated ciphers (AEAD)", fine, append([]uint16{0x009c, 0x009d, 0xc09c, 0xc09d}, aeadSuites()...)},
	}
}

func cbcSuites() []uint16 {
	return []uint16{0x002f, 0x0035, 0x003c, 0x003d, 0x0033, 0x0039, 0x0067, 0x006b, 0xc009, 0xc00a, 0xc013, 0xc014, 0xc023, 0xc024, 0xc027, 0xc028, 0x0041, 0x0084}
}

func aeadSuites() []uint16 {
	return []uint16{0xc02b, 0xc02c, 0xc02f, 0xc030, 0xcca8, 0xcca9, 0xccaa, 0x009e, 0x009f, 0xc0ac, 0xc0ad, 0xc09e, 0xc09f}
}

// classic returns suites of every family for versions before 1.3, best first.
func classic() []uint16 {
	out := append(aeadSuites(), 0x009c, 0x009d)
	out = append(out, cbcSuites()...)
	out = append(out, 0x000a, 0x0016, 0xc012, 0xc008, 0x0005, 0x0004, 0xc011, 0xc007, 0x0009, 0x0015, 0x0003, 0x0006, 0x0008, 0x0014, 0x0018, 0x001b, 0x0034, 0x0002, 0x0001, 0x003b)
	return append(out, 0x00ff) // secure renegotiation (RFC 5746 section 3.3)
}

// nonsense returns suites that nobody has: whoever takes one takes anything.
// They are reserved for just that (RFC 8701 section 2).
func nonsense() []uint16 { return []uint16{0x1a1a, 0x5a5a, 0x9a9a, 0xdada} }
