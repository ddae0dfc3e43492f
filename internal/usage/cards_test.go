package usage

import (
	"strings"
	"testing"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/cdr"
)

func TestReadCards(t *testing.T) {
	text := "\ufeffIMSI, imei,services,peers,sim\r\n" +
		"460001234567890,356938035643809,data;sms,198.51.100.20 iot.example,sim_1\n\n" +
		`460001234567891,,,"",` + "\n"
	cards, err := ReadCards(strings.NewReader(text), []byte("k"))
	if err != nil || len(cards) != 2 {
		t.Fatalf("%d cards, %v", len(cards), err)
	}
	a, b := cards[0], cards[1]
	if a.SIM != "sim_1" || a.IMSI != "460001234567890" || a.IMEI != bound || !a.Services.Has(cdr.SMS) || a.Services.Has(cdr.Voice) || a.Peers == nil {
		t.Errorf("first card %+v", a)
	}
	if !ringwall.ValidID("sim", string(b.SIM)) || b.Services != 0 || b.Peers != nil {
		t.Errorf("second card %+v", b)
	}
	again, _ := ReadCards(strings.NewReader(text), []byte("other"))
	if again[1].SIM == b.SIM {
		t.Error("a derived id does not depend on the key")
	}
}

func TestReadCards_refuses(t *testing.T) {
	head := "imsi,imei,services,peers\n"
	for text, want := range map[string]string{
		"":                                  "is empty",
		"\n\n":                              "is empty",
		"sim,imei\n":                        `line 1: there is no column "imsi"`,
		"imsi,imsi\n":                       `line 1: column "imsi" is there twice`,
		"imsi,name\n":                       `line 1: column "name" is none of`,
		head + "460001234567890\n":          "line 2: 1 fields, the header has 4",
		head + "46000x,,,\n":                "line 2: its IMSI is not 6 to 15 digits",
		head + "460001,,,\n460001,,,\n":     "line 3: its IMSI is not 6 to 15 digits, or there twice",
		head + "460001,123,,\n":             "line 2: imei of 3 characters",
		head + "460001,,fax,\n":             `line 2: service "fax" is none of`,
		head + "460001,,,a:b\n":             `line 2: peer "a:b" is no address`,
		head + "\"460001,,,\n":              "line 2: its quotes or fields are wrong",
		head + strings.Repeat("x", 2<<20):   "line 2: longer than",
		"imsi,sim\n460001,not an id here\n": `line 2: sim "not an id here" is not an id`,
	} {
		_, err := ReadCards(strings.NewReader(text), nil)
		if ringwall.CodeOf(err) != ringwall.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("ReadCards(%.40q) = %v, want an invalid error with %q", text, err, want)
		}
	}
}

func TestCheck(t *testing.T) {
	good := api.SIMCreate{ICCID: "89860012345678901234", IMSI: imsi, IMEI: bound, Services: []string{"data"}, Peers: []string{"198.51.100.20"}}
	if err := Check(good); err != nil {
		t.Error(err)
	}
	for name, f := range map[string]func(*api.SIMCreate){
		"service": func(c *api.SIMCreate) { c.Services = []string{"fax"} }, "peer": func(c *api.SIMCreate) { c.Peers = []string{"*"} },
		"IMEI": func(c *api.SIMCreate) { c.IMEI = "12" }, "IMSI": func(c *api.SIMCreate) { c.IMSI = "46000x" },
	} {
		c := good
		f(&c)
		if ringwall.CodeOf(Check(c)) != ringwall.Invalid {
			t.Errorf("a wrong %s was taken", name)
		}
	}
}

func FuzzReadCards(f *testing.F) {
	f.Add("imsi,imei,services,peers,sim\n460001234567890,356938035643809,data,198.51.100.20,sim_1\n")
	f.Add("imsi\n\"460001\"\n")
	f.Fuzz(func(t *testing.T, text string) {
		cards, err := ReadCards(strings.NewReader(text), nil)
		if err != nil {
			if ringwall.CodeOf(err) != ringwall.Invalid {
				t.Fatal(err)
			}
			return
		}
		e := New(Config{})
		for _, c := range cards {
			if err := e.SetCard(c); err != nil {
				t.Fatalf("a card that was read cannot be set: %v", err)
			}
		}
	})
}
