package platform

import (
	"net"
	"testing"
)

func TestWhereGatewaysAreToldToEnrol(t *testing.T) {
	for _, tt := range []struct {
		names []string
		addr  string
		want  string
	}{
		{nil, "127.0.0.1:8443", "https://127.0.0.1:8443"},
		{nil, "192.0.2.1:9443", "https://192.0.2.1:9443"},
		{nil, "[2001:db8::1]:9443", "https://[2001:db8::1]:9443"},
		{nil, "0.0.0.0:8443", ""}, // the host that the browser asked
		{nil, "[::]:8443", ""},
		{[]string{"ringwall.example", "192.0.2.1"}, "0.0.0.0:8443", "https://ringwall.example:8443"},
		{[]string{"2001:db8::2"}, "[::]:9443", "https://[2001:db8::2]:9443"},
	} {
		addr, err := net.ResolveTCPAddr("tcp", tt.addr)
		if err != nil {
			t.Fatal(err)
		}
		if got := enrolAddress(tt.names, addr); got != tt.want {
			t.Errorf("enrolAddress(%v, %s) = %q, want %q", tt.names, tt.addr, got, tt.want)
		}
	}
}
