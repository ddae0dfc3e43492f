package ports

import "slices"

// Default returns the TCP ports that are looked at when nobody says otherwise:
// where cameras, recorders, meters, locks and their bridges are known to
// listen, and where their makers hide telnet.
func Default() []uint16 {
	return []uint16{
		21, 22, 23, 24, 25, 26, 53, 80, 81, 82, 83, 84, 85, 88, 99, 102, 111, 139, 322, 443, 445, 502, 513, 514, 515, 541, 548, 554, 555, 631, 873, 888,
		1024, 1080, 1883, 1900, 1935, 2000, 2002, 2121, 2222, 2323, 2332, 2404, 3000, 3128, 3306, 3389, 3702, 4321, 4433, 4567, 4786,
		5000, 5001, 5060, 5061, 5357, 5431, 5543, 5554, 5555, 5683, 5900, 6000, 6379, 6600, 6667, 6668, 6789, 7000, 7001, 7070, 7100, 7443, 7547, 7681,
		8000, 8001, 8008, 8009, 8010, 8022, 8060, 8080, 8081, 8082, 8083, 8086, 8088, 8089, 8090, 8091, 8099, 8100, 8123, 8181, 8222, 8322, 8443, 8554,
		8555, 8600, 8800, 8881, 8883, 8888, 8899, 9000, 9001, 9008, 9010, 9080, 9090, 9100, 9443, 9527, 9530, 9988, 9999, 10000, 10001, 10080, 10554, 12345,
		13013, 17000, 18004, 20000, 20880, 22222, 23231, 28017, 30005, 32764, 34567, 34568, 34599, 37215, 37777, 37778, 40080, 44158, 48101, 49152, 49153, 49154,
		50000, 51880, 52869, 55443, 55555, 56000, 60001, 60023, 61001, 65533, 65534, 65535,
	}
}

// All returns every port, those of Default first: they are known to answer one
// way or the other, and the scan learns its pace from answers.
func All() []uint16 {
	out := Default()
	first := make([]bool, 1<<16)
	for _, p := range out {
		first[p] = true
	}
	out = slices.Grow(out, 1<<16)
	for p := 1; p < 1<<16; p++ {
		if !first[p] {
			out = append(out, uint16(p))
		}
	}
	return out
}

// isTelnetPort reports whether this is where a login prompt may be slow to come: it waits for the
// peer's name to be looked up.
func isTelnetPort(p uint16) bool {
	return slices.Contains([]uint16{23, 24, 26, 2323, 2332, 23231, 60023, 65534}, p)
}

// firstGreeting is what a port is most likely to understand; it decides the
// order in which things are tried only, never the name.
func firstGreeting(port uint16) string {
	switch port {
	case 554, 555, 5554, 8554, 8555, 10554, 5543, 7070:
		return "rtsp"
	case 443, 322, 4433, 5061, 7443, 8322, 8443, 8883, 9443:
		return "tls"
	case 1883:
		return "mqtt"
	case 5555:
		return "adb"
	case 502:
		return "modbus"
	case 1935:
		return "rtmp"
	case 80, 81, 82, 83, 84, 85, 88, 631, 888, 3000, 5000, 5001, 5357, 7547, 49152, 52869:
		return "http"
	}
	if port >= 8000 && port < 9100 {
		return "http"
	}
	return ""
}
