package zeeklog_test

import (
	"errors"
	"io"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/sharedtest"
	"github.com/ringwall/ringwall/internal/zeeklog"
)

const tsv = "#separator \\x09\n#set_separator\t,\n#path\tconn\n" +
	"#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tservice\tduration\torig_bytes\tresp_bytes\tconn_state\thistory\torig_pkts\tresp_pkts\n" +
	"#types\ttime\tstring\taddr\tport\taddr\tport\tenum\tstring\tinterval\tcount\tcount\tstring\tstring\tcount\tcount\n" +
	"1547150789.067208\tCz\t192.168.1.199\t59222\t46.101.251.172\t80\ttcp\thttp\t1.5\t149\t171750\tSF\tShADadfF\t122\t121\n" +
	"1547150790.7\tCy\tfe80::1\t59224\t2001:db8::1\t80\ttcp\t-\t-\t-\t-\tS0\tS\t3\t0\n#close\t2020\n"

const csvText = "ts,uid,id.orig_h,id.orig_p,id.resp_h,id.resp_p,proto,conn_state,label\n1547150789.067208,Cz,192.168.1.199,59222,46.101.251.172,80,tcp,S0,\"Malicious, very\"\n"

const jsonText = `{"ts":1547150789.067208,"uid":"Cz","id.orig_h":"192.168.1.199","id.orig_p":59222,"id.resp_h":"46.101.251.172","id.resp_p":80,"proto":"tcp","conn_state":"S0","orig_pkts":3}` + "\n"

func read(s string) (out []zeeklog.Conn, err error) {
	r, err := zeeklog.NewReader(strings.NewReader(s))
	if err != nil {
		return nil, err
	}
	for {
		c, err := r.Next()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return out, err
		}
		out = append(out, c)
	}
}

func TestReader_threeForms(t *testing.T) {
	at := time.Unix(1547150789, 67208000).UTC()
	src, dst := netip.MustParseAddrPort("192.168.1.199:59222"), netip.MustParseAddrPort("46.101.251.172:80")
	for name, tt := range map[string]struct {
		text string
		want []zeeklog.Conn
	}{
		"TSV": {tsv, []zeeklog.Conn{
			{Line: 6, Start: at, Duration: 1500 * time.Millisecond, Orig: src, Resp: dst, Proto: "tcp", Service: "http", State: "SF", History: "ShADadfF", OrigPkts: 122, RespPkts: 121, OrigLen: 149, RespLen: 171750},
			{Line: 7, Start: time.Unix(1547150790, 7e8).UTC(), Orig: netip.MustParseAddrPort("[fe80::1]:59224"), Resp: netip.MustParseAddrPort("[2001:db8::1]:80"), Proto: "tcp", State: "S0", History: "S", OrigPkts: 3},
		}},
		"CSV":  {csvText, []zeeklog.Conn{{Line: 2, Start: at, Orig: src, Resp: dst, Proto: "tcp", State: "S0", Label: "Malicious, very"}}},
		"JSON": {jsonText, []zeeklog.Conn{{Line: 1, Start: at, Orig: src, Resp: dst, Proto: "tcp", State: "S0", OrigPkts: 3}}},
	} {
		got, err := read(tt.text)
		if err != nil || len(got) != len(tt.want) {
			t.Fatalf("%s: %d records, %v", name, len(got), err)
		}
		for i := range got {
			if got[i] != tt.want[i] {
				t.Errorf("%s: record %d\n%+v, want\n%+v", name, i, got[i], tt.want[i])
			}
		}
	}
}

func TestReader_badInput(t *testing.T) {
	head := "ts,id.orig_h,id.orig_p,id.resp_h,id.resp_p,proto\n"
	for name, tt := range map[string]struct{ text, want string }{
		"empty":          {"", "zeeklog: the file is empty"},
		"no such fields": {"a,b,c\n", `zeeklog: line 1: not a log of connections: there is no field "ts"`},
		"no fields":      {"#path\tconn\n", "zeeklog: line 2: the log ends before its fields are named"},
		"time":           {head + "now,1.1.1.1,1,2.2.2.2,2,tcp\n", `zeeklog: line 2: time "now" is not in seconds since 1970`},
		"address":        {head + "1,1.1.1,1,2.2.2.2,2,tcp\n", `zeeklog: line 2: address "1.1.1" cannot be read`},
		"port":           {head + "1,1.1.1.1,99999,2.2.2.2,2,tcp\n", `zeeklog: line 2: port "99999" is not a number up to 65535`},
		"short":          {head + "1,1.1.1.1\n", `zeeklog: line 2: field "id.orig_p" is missing`},
		"long":           {head + strings.Repeat("x", 100000), "zeeklog: line 2: the line is longer than 65536 bytes"},
		"JSON":           {"{\"ts\":1,\n", "zeeklog: line 1: the line is not a JSON object: unexpected EOF"},
	} {
		if _, err := read(tt.text); err == nil || err.Error() != tt.want || ringwall.CodeOf(err) != ringwall.Invalid {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}

func TestReader_realLogs(t *testing.T) {
	for _, file := range sharedtest.Glob(t, "flows/iot-23/*.csv") {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		r, err := zeeklog.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for ; ; n++ {
			c, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			if c.Label == "" || c.State == "" || !c.Orig.Addr().IsValid() {
				t.Fatalf("%s: record %+v", file, c)
			}
		}
		if n < 100 {
			t.Errorf("%s: %d records", file, n)
		}
		f.Close()
	}
}

func FuzzReader(f *testing.F) {
	f.Add(tsv)
	f.Add(csvText)
	f.Add(jsonText)
	f.Fuzz(func(t *testing.T, s string) {
		all, err := read(s)
		if err != nil && ringwall.CodeOf(err) != ringwall.Invalid {
			t.Fatalf("code of %v", err)
		}
		for _, c := range all {
			if !c.Orig.IsValid() || !c.Resp.IsValid() {
				t.Fatalf("record without addresses: %+v", c)
			}
		}
	})
}
