package onvif

import (
	"bytes"
	"encoding/xml"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
)

func TestCheck_refusesHostileXML(t *testing.T) {
	env := func(inner string) string {
		return `<s:Envelope xmlns:s="` + NSSoap + `"><s:Body>` + inner + `</s:Body></s:Envelope>`
	}
	for _, tt := range []struct{ name, in string }{
		{"billion laughs", `<!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>` + env(`<x>&b;</x>`)},
		{"external entity", `<!DOCTYPE l [<!ENTITY x SYSTEM "file:///etc/passwd">]>` + env(`<x>&x;</x>`)},
		{"undeclared entity", env(`<x>&lol;</x>`)},
		{"too deep", env(strings.Repeat("<a>", MaxDepth) + strings.Repeat("</a>", MaxDepth))},
		{"too many tokens", env(strings.Repeat("<a/>", MaxTokens/2))},
		{"too long", env(`<x>` + strings.Repeat("a", MaxBody) + `</x>`)},
		{"processing instruction", env(`<?php system() ?><x/>`)},
		{"truncated", env(`<x/>`)[:60]},
		{"two roots", env(`<x/>`) + env(`<x/>`)},
		{"not XML", "HTTP/1.1 200 OK"},
		{"empty", ""},
	} {
		_, err := ParseMessage([]byte(tt.in))
		if ringwall.CodeOf(err) != ringwall.Invalid {
			t.Errorf("%s: error is %v, want code invalid", tt.name, err)
		}
	}
	if _, err := ParseMessage([]byte(env(`<x/>`))); err != nil {
		t.Errorf("a harmless message is refused: %v", err)
	}
}

func TestUsernameToken_vector(t *testing.T) {
	// ONVIF Application Programmer's Guide section 6.1.1.3.
	tok := &UsernameToken{Username: "user", Nonce: "LKqI6G/AikKCQrN0zqZFlg==", Created: "2010-09-16T07:50:45Z"}
	tok.Password.Type = typeDigest
	tok.Password.Value = "tuOSpGlFlIXsozq4HFNeeGeFLEI="
	if !tok.Proves("userpassword") {
		t.Error("the programmer's guide's token does not prove its password")
	}
	if tok.Proves("other") {
		t.Error("the token proves another password")
	}
}

func TestEnvelope_roundTrip(t *testing.T) {
	at := time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)
	b, err := Envelope(SetUserRequest{Users: []User{{Username: `a<&"b`, Password: "p", Level: "Operator"}}}, NewToken("admin", "secret", at))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(b, []byte("secret")) {
		t.Error("the token's password stands in the message")
	}
	m, err := ParseMessage(b)
	if err != nil {
		t.Fatal(err)
	}
	if want := (xml.Name{Space: NSDevice, Local: "SetUser"}); m.Operation != want {
		t.Errorf("operation = %v, want %v", m.Operation, want)
	}
	if m.Token == nil || !m.Token.Proves("secret") || m.Token.Username != "admin" {
		t.Errorf("token = %+v", m.Token)
	}
	var r SetUserRequest
	if err := m.Decode(&r); err != nil || len(r.Users) != 1 || r.Users[0].Username != `a<&"b` || r.Users[0].Level != "Operator" {
		t.Errorf("request = %+v, %v", r, err)
	}
}

func TestFault_isMapped(t *testing.T) {
	m, err := ParseMessage(FaultEnvelope("Sender", "account is locked, too many attempts", "NotAuthorized", "AccountLocked"))
	if err != nil {
		t.Fatal(err)
	}
	f := m.Fault()
	if f == nil || f.Code != "Sender" || !f.NotAuthorized() || !f.Locked() || f.Unsupported() {
		t.Errorf("fault = %+v", f)
	}
}

func FuzzParseMessage(f *testing.F) {
	b, _ := Envelope(DeviceRequest("GetUsers"), NewToken("a", "b", time.Unix(0, 0)))
	f.Add(b)
	f.Add(FaultEnvelope("Sender", "no", "NotAuthorized"))
	f.Add([]byte(`<!DOCTYPE l [<!ENTITY a "ha">]><s/>`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseMessage(b)
		if err != nil {
			return
		}
		m.Fault()
		m.filled()
		var users UsersResponse
		_ = m.Decode(&users)
		if m.Token != nil {
			m.Token.Proves("x")
		}
	})
}

func FuzzParseMatches(f *testing.F) {
	f.Add(MatchEnvelope(Match{Endpoint: "urn:uuid:1", Scopes: []string{"onvif://www.onvif.org/name/x"}, Addresses: []string{"http://1.2.3.4/"}}, "id"))
	p, _ := NewProbe()
	f.Add(p)
	f.Fuzz(func(t *testing.T, b []byte) {
		ms, err := ParseMatches(b, "id")
		if err == nil {
			for _, m := range ms {
				m.Scope("name")
			}
		}
		_, _, _ = ParseProbe(b)
	})
}
