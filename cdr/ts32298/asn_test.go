package ts32298

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/ringwall/ringwall/internal/sharedtest"
)

// module is the text of an ASN.1 module without its comments.
type module string

func loadModule(t *testing.T, name string) module {
	t.Helper()
	b, err := os.ReadFile(sharedtest.Path(t, "cdr/asn1/"+name+"ChargingDataTypes.asn"))
	if err != nil {
		t.Fatal(err)
	}
	// A comment reaches to the next two hyphens or the end of its line.
	return module(regexp.MustCompile(`--([^\n-]|-[^\n-])*(--|\n)`).ReplaceAllString(string(b), "\n"))
}

var (
	blanks    = regexp.MustCompile(`\s+`)
	component = regexp.MustCompile(`^([a-zA-Z][\w-]*) \[(\d+)\] (.*?)( OPTIONAL)?$`)
)

// components returns the tagged components of a SET, SEQUENCE or CHOICE, by name:
// "tag type".
func (m module) components(name string) map[string]string {
	at := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + `\s*::=\s*(SET|SEQUENCE|CHOICE)\s*\{`).FindStringIndex(string(m))
	if at == nil {
		return nil
	}
	out := map[string]string{}
	depth, from := 0, at[1]
	flush := func(to int) {
		c := strings.TrimSpace(blanks.ReplaceAllString(string(m)[from:to], " "))
		c = strings.ReplaceAll(c, " [", "[")
		c = strings.ReplaceAll(strings.ReplaceAll(c, "[", " ["), "]", "] ")
		if f := component.FindStringSubmatch(blanks.ReplaceAllString(c, " ")); f != nil {
			out[f[1]] = f[2] + " " + f[3]
		}
		from = to + 1
	}
	for i := at[1]; i < len(m); i++ {
		switch m[i] {
		case '{', '(':
			depth++
		case ')':
			depth--
		case ',':
			if depth == 0 {
				flush(i)
			}
		case '}':
			if depth == 0 {
				flush(i)
				return out
			}
			depth--
		}
	}
	return nil
}

// number returns what a named number of an INTEGER or ENUMERATED is.
func (m module) number(typ, name string) string {
	at := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(typ) + `\s*::=\s*(INTEGER|ENUMERATED)\s*\{`).FindStringIndex(string(m))
	if at == nil {
		return ""
	}
	body := string(m)[at[1]:]
	body = body[:strings.IndexByte(body, '}')]
	f := regexp.MustCompile(`\b` + name + `\s*\((\d+)\)`).FindStringSubmatch(body)
	if f == nil {
		return ""
	}
	return f[1]
}

// TestTags_areThoseOfTheModules holds each tag, name and type of the tables
// against the text of the modules.
func TestTags_areThoseOfTheModules(t *testing.T) {
	modules := map[string]module{}
	for _, n := range []string{"CHF", "GPRS", "CS", "SMS", "Generic"} {
		modules[n] = loadModule(t, n)
	}
	checked := 0
	check := func(s structure) {
		m, got := modules[s.module], modules[s.module].components(s.name)
		if len(got) == 0 {
			t.Errorf("module %s has no %s", s.module, s.name)
		}
		_ = m
		for _, f := range s.fields {
			checked++
			if want := fmt.Sprint(f.tag, " ", f.typ); got[f.name] != want {
				t.Errorf("%s.%s is %q here, %q in its module", s.name, f.name, want, got[f.name])
			}
		}
	}
	choices := map[string]string{"CHF": "CHFRecord", "GPRS": "GPRSRecord", "CS": "CSRecord", "SMS": "SMSRecordType"}
	for _, r := range records {
		check(r.structure)
		want := fmt.Sprint(r.tag, " ", r.structure.name)
		if got := modules[r.structure.module].components(choices[r.structure.module])[r.choice]; got != want {
			t.Errorf("%s is %q here, %q in its module", r.choice, want, got)
		}
		if got := modules["Generic"].number("RecordType", r.choice); got != fmt.Sprint(r.recType) {
			t.Errorf("the recordType of %s is %d here, %q in its module", r.choice, r.recType, got)
		}
	}
	for _, s := range structures {
		check(s)
	}
	if checked < 150 {
		t.Errorf("only %d fields were held against the modules", checked)
	}
}

// The numbers that the code knows without a table.
func TestNumbers_areThoseOfTheModules(t *testing.T) {
	generic, sms, chf := loadModule(t, "Generic"), loadModule(t, "SMS"), loadModule(t, "CHF")
	for _, tt := range []struct {
		m               module
		typ, name, want string
	}{
		{sms, "SMMessageType", "submission", "0"}, {sms, "SMMessageType", "delivery", "3"},
		{generic, "SubscriptionIDType", "eND-USER-IMSI", "1"}, {generic, "SubscriberEquipmentType", "iMEISV", "0"},
		{generic, "CauseForRecClosing", "partialRecord", "1"}, {generic, "CauseForRecClosing", "volumeLimit", "16"},
		{generic, "CauseForRecClosing", "mOExceptionDataCounterReceipt", "27"}, {generic, "CauseForRecClosing", "listofDownstreamNodeChange", "59"},
		{generic, "CauseForTerm", "partialRecordCallReestablishment", "2"}, {generic, "CauseForRecClosing", "timeLimit", "17"},
		{chf, "NetworkFunctionality", "sMF", "1"}, {chf, "NetworkFunctionality", "sMSF", "3"}, {chf, "SMFTrigger", "endOfPDUSession", "503"},
		{generic, "RecordType", "mSCsRVCCRecord", fmt.Sprint(srvccType)}, {chf, "RATType", "nR", "51"}, {sms, "SMAddressType", "alphanumericShortCode", "5"},
	} {
		if got := tt.m.number(tt.typ, tt.name); got != tt.want {
			t.Errorf("%s.%s is %q in its module, want %q", tt.typ, tt.name, got, tt.want)
		}
	}
	for name, want := range map[string]string{"iPBinV4Address": "0 IPBinV4Address"} {
		if got := generic.components("IPBinaryAddress")[name]; got != want {
			t.Errorf("%s is %q", name, got)
		}
	}
	for name, want := range map[string]string{"iPBinV6Address": "1 IPBinV6Address", "iPBinV6AddressWithPrefix": "4 IPBinV6AddressWithPrefixLength"} {
		if got := generic.components("IPBinV6AddressWithOrWithoutPrefixLength")[name]; got != want {
			t.Errorf("%s is %q", name, got)
		}
	}
	for name, want := range map[string]string{"iPTextV4Address": "2 IA5String (SIZE(7..15))", "iPTextV6Address": "3 IA5String (SIZE(15..45))"} {
		if got := generic.components("IPTextRepresentedAddress")[name]; got != want {
			t.Errorf("%s is %q", name, got)
		}
	}
	for _, tt := range []struct{ name, field, want string }{
		{"ChangeOfCharCondition", "changeCondition", "5 ChangeCondition"}, {"ChangeOfCharCondition", "changeTime", "6 TimeStamp"},
	} {
		if got := loadModule(t, "GPRS").components(tt.name)[tt.field]; got != tt.want {
			t.Errorf("%s is %q", tt.field, got)
		}
	}
}

// TestModule_negativeControl: the reading of modules notices what is wrong.
func TestModule_negativeControl(t *testing.T) {
	m := module("Thing ::= SET\n{\n\ta [0] INTEGER,\n\tb\t[1] SEQUENCE OF X OPTIONAL,\n\tc[2]\tY\n}\n")
	got := m.components("Thing")
	if len(got) != 3 || got["a"] != "0 INTEGER" || got["b"] != "1 SEQUENCE OF X" || got["c"] != "2 Y" {
		t.Errorf("%q", got)
	}
	if m.components("Other") != nil || m.number("Thing", "a") != "" {
		t.Error("something was found that is not there")
	}
}
