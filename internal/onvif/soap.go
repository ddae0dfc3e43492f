package onvif

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/ringwall/ringwall"
)

// ReadBody reads at most MaxBody bytes; a longer body is an error.
func ReadBody(r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, MaxBody+1))
	if err != nil {
		return nil, err
	}
	if len(b) > MaxBody {
		return nil, ringwall.Errorf(ringwall.Invalid, "SOAP message is longer than %d bytes", MaxBody)
	}
	return b, nil
}

// Check walks b once and refuses what no ONVIF message needs: document type
// declarations, undeclared entities, more than one root, depth and length
// beyond the bounds. Nothing is kept, so its memory is that of one token.
func Check(b []byte) error {
	if len(b) > MaxBody {
		return ringwall.Errorf(ringwall.Invalid, "SOAP message is longer than %d bytes", MaxBody)
	}
	d := xml.NewDecoder(bytes.NewReader(b))
	depth, tokens, roots := 0, 0, 0
	for {
		t, err := d.RawToken()
		if errors.Is(err, io.EOF) {
			if roots != 1 || depth != 0 {
				return ringwall.Errorf(ringwall.Invalid, "XML ends at byte %d inside %d open elements", d.InputOffset(), depth)
			}
			return nil
		}
		if err != nil {
			return ringwall.Errorf(ringwall.Invalid, "XML at byte %d: %w", d.InputOffset(), err)
		}
		if tokens++; tokens > MaxTokens {
			return ringwall.Errorf(ringwall.Invalid, "XML has more than %d tokens", MaxTokens)
		}
		switch t := t.(type) {
		case xml.StartElement:
			if depth == 0 {
				roots++
			}
			if depth++; depth > MaxDepth {
				return ringwall.Errorf(ringwall.Invalid, "XML is more than %d elements deep", MaxDepth)
			}
		case xml.EndElement:
			depth--
		case xml.Directive:
			return ringwall.Errorf(ringwall.Invalid, "XML carries a document type declaration at byte %d", d.InputOffset())
		case xml.ProcInst:
			if t.Target != "xml" {
				return ringwall.Errorf(ringwall.Invalid, "XML carries a processing instruction at byte %d", d.InputOffset())
			}
		}
		if roots > 1 || depth < 0 {
			return ringwall.Errorf(ringwall.Invalid, "XML is not one document")
		}
	}
}

// Message is one parsed SOAP envelope.
type Message struct {
	Operation xml.Name       // the first element of the body
	Token     *UsernameToken // of the security header, if any
	raw       []byte
}

// envelope decodes the outside of a message; namespaces of the inside resolve
// because the whole document is decoded at once.
type envelope struct {
	XMLName xml.Name `xml:"http://www.w3.org/2003/05/soap-envelope Envelope"`
	Header  struct {
		Security struct {
			Token *UsernameToken `xml:"http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd UsernameToken"`
		} `xml:"http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd Security"`
	} `xml:"http://www.w3.org/2003/05/soap-envelope Header"`
	Body struct {
		Any struct {
			XMLName xml.Name
		} `xml:",any"`
	} `xml:"http://www.w3.org/2003/05/soap-envelope Body"`
}

// ParseMessage checks b and reads its envelope.
func ParseMessage(b []byte) (Message, error) {
	if err := Check(b); err != nil {
		return Message{}, err
	}
	var e envelope
	if err := xml.Unmarshal(b, &e); err != nil {
		return Message{}, ringwall.Errorf(ringwall.Invalid, "reading SOAP envelope: %w", err)
	}
	return Message{Operation: e.Body.Any.XMLName, Token: e.Header.Security.Token, raw: b}, nil
}

// Decode reads the operation element into v.
func (m Message) Decode(v any) error {
	d := xml.NewDecoder(bytes.NewReader(m.raw))
	inBody := false
	for {
		t, err := d.Token()
		if err != nil {
			return ringwall.Errorf(ringwall.Invalid, "reading %s: %w", m.Operation.Local, err)
		}
		s, ok := t.(xml.StartElement)
		switch {
		case !ok:
		case inBody:
			if err := d.DecodeElement(v, &s); err != nil {
				return ringwall.Errorf(ringwall.Invalid, "reading %s: %w", m.Operation.Local, err)
			}
			return nil
		case s.Name == xml.Name{Space: NSSoap, Local: "Body"}:
			inBody = true
		}
	}
}

// Fault is a SOAP fault: the peer understood that it was spoken to and said no.
type Fault struct {
	Code    string   // local name of the code, such as "Sender"
	Subcode []string // local names, outermost first, such as "NotAuthorized"
	Reason  string
}

func (f *Fault) Error() string {
	return fmt.Sprintf("SOAP fault %s %s: %s", f.Code, strings.Join(f.Subcode, "/"), f.Reason)
}

// NotAuthorized reports whether the fault says that a right is missing.
func (f *Fault) NotAuthorized() bool {
	for _, s := range f.Subcode {
		switch s {
		case "NotAuthorized", "FailedAuthentication", "InvalidSecurity", "InvalidSecurityToken", "OperationProhibited":
			return true
		}
	}
	return false
}

// Unsupported reports whether the fault says that there is no such operation.
func (f *Fault) Unsupported() bool {
	for _, s := range f.Subcode {
		if s == "ActionNotSupported" || s == "NoSuchService" || s == "UnknownAction" {
			return true
		}
	}
	return false
}

// Locked reports whether the fault says that the account is locked.
func (f *Fault) Locked() bool {
	r := strings.ToLower(f.Reason)
	for _, s := range f.Subcode {
		if strings.Contains(strings.ToLower(s), "lock") {
			return true
		}
	}
	return strings.Contains(r, "locked") || strings.Contains(r, "too many")
}

type faultBody struct {
	XMLName xml.Name  `xml:"http://www.w3.org/2003/05/soap-envelope Fault"`
	Code    faultCode `xml:"http://www.w3.org/2003/05/soap-envelope Code"`
	Reason  struct {
		Text string `xml:"http://www.w3.org/2003/05/soap-envelope Text"`
	} `xml:"http://www.w3.org/2003/05/soap-envelope Reason"`
}

type faultCode struct {
	Value   string     `xml:"http://www.w3.org/2003/05/soap-envelope Value"`
	Subcode *faultCode `xml:"http://www.w3.org/2003/05/soap-envelope Subcode"`
}

// Fault returns the fault that m is, or nil.
func (m Message) Fault() *Fault {
	if m.Operation != (xml.Name{Space: NSSoap, Local: "Fault"}) {
		return nil
	}
	var b faultBody
	if err := m.Decode(&b); err != nil {
		return &Fault{Code: "Receiver", Reason: "a fault that cannot be read"}
	}
	f := &Fault{Code: local(b.Code.Value), Reason: shorten(strings.TrimSpace(b.Reason.Text), 200)}
	for c := b.Code.Subcode; c != nil; c = c.Subcode {
		f.Subcode = append(f.Subcode, local(c.Value))
	}
	return f
}

func local(qname string) string {
	_, after, found := strings.Cut(strings.TrimSpace(qname), ":")
	if !found {
		after = strings.TrimSpace(qname)
	}
	return shorten(after, 64)
}

func shorten(s string, n int) string {
	if len(s) > n {
		return s[:n] + "…"
	}
	return s
}

// Envelope returns the bytes of a message with this body element and, when
// token is not nil, a security header.
func Envelope(body any, token *UsernameToken) ([]byte, error) {
	inner, err := xml.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("writing SOAP body: %w", err)
	}
	var b bytes.Buffer
	b.WriteString(`<?xml version="1.0" encoding="UTF-8"?>` + "\n" + `<s:Envelope xmlns:s="` + NSSoap + `">`)
	if token != nil {
		b.WriteString(`<s:Header>`)
		token.write(&b)
		b.WriteString(`</s:Header>`)
	}
	b.WriteString(`<s:Body>`)
	b.Write(inner)
	b.WriteString(`</s:Body></s:Envelope>`)
	return b.Bytes(), nil
}

// FaultEnvelope returns the bytes of a fault. subcode are local names in the
// ONVIF error namespace.
func FaultEnvelope(code, reason string, subcode ...string) []byte {
	var b bytes.Buffer
	b.WriteString(`<?xml version="1.0" encoding="UTF-8"?>` + "\n" + `<s:Envelope xmlns:s="` + NSSoap + `" xmlns:ter="` + NSError + `"><s:Body><s:Fault><s:Code><s:Value>s:`)
	text(&b, code)
	b.WriteString(`</s:Value>`)
	for _, s := range subcode {
		b.WriteString(`<s:Subcode><s:Value>ter:`)
		text(&b, s)
		b.WriteString(`</s:Value>`)
	}
	for range subcode {
		b.WriteString(`</s:Subcode>`)
	}
	b.WriteString(`</s:Code><s:Reason><s:Text xml:lang="en">`)
	text(&b, reason)
	b.WriteString(`</s:Text></s:Reason></s:Fault></s:Body></s:Envelope>`)
	return b.Bytes()
}

// text writes s as character data; a bytes.Buffer does not fail.
func text(b *bytes.Buffer, s string) { _ = xml.EscapeText(b, []byte(s)) }
