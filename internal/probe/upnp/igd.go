package upnp

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"

	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/probe/fetch"
)

// mapping is one door at a gateway.
type mapping struct {
	proto           string
	outside, inside uint16
	client          netip.Addr
	text            string
}

func (m mapping) String() string {
	return fmt.Sprintf("%s port %d to %v port %d (%s)", m.proto, m.outside, m.client, m.inside, m.text)
}

// maxMappings bounds how many are read from one gateway.
const maxMappings = 64

// mappings reads the list one by one, as the protocol wants it. answered reports
// whether the service answered at all, be it that the list is empty.
func mappings(ctx context.Context, n assess.Network, control, service string) (out []mapping, answered bool) {
	for i := range maxMappings {
		body := `<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" s:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body><u:GetGenericPortMappingEntry xmlns:u="` +
			service + `"><NewPortMappingIndex>` + strconv.Itoa(i) + `</NewPortMappingIndex></u:GetGenericPortMappingEntry></s:Body></s:Envelope>`
		r, err := fetch.Do(ctx, n, "POST", control, map[string]string{"SOAPAction": `"` + service + `#GetGenericPortMappingEntry"`, "Content-Type": `text/xml; charset="utf-8"`}, strings.NewReader(body))
		if err != nil {
			return out, answered
		}
		m, err := parseMapping(bytes.NewReader(r.Body))
		if errors.Is(err, errNoMore) {
			return out, true
		}
		if err != nil || len(out) > 0 && out[len(out)-1] == m {
			return out, answered // what says the same for ever has no list
		}
		answered = true
		out = append(out, m)
	}
	return out, answered
}

// errNoMore is the answer that there is no entry of that number (error 713), or
// none at all (714).
var errNoMore = errors.New("no such entry")

// parseMapping reads the answer to one GetGenericPortMappingEntry.
func parseMapping(r io.Reader) (m mapping, err error) {
	const maxDepth, maxTokens = 16, 512
	words := map[string]string{}
	var path []string
	var word strings.Builder
	x := xml.NewDecoder(io.LimitReader(r, 32<<10))
	x.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil } // the words that matter are ASCII
	for range maxTokens {
		tok, err := x.RawToken()
		if err != nil {
			break
		}
		switch tok := tok.(type) {
		case xml.StartElement:
			if path = append(path, tok.Name.Local); len(path) > maxDepth {
				return m, errors.New("upnp: an answer too deep")
			}
			word.Reset()
		case xml.CharData:
			if word.Len() < 256 {
				word.Write(tok[:min(len(tok), 256)])
			}
		case xml.EndElement:
			if len(path) == 0 {
				return m, errors.New("upnp: an element ends that did not begin")
			}
			words[path[len(path)-1]] = fetch.Clean(word.String(), 80)
			word.Reset()
			path = path[:len(path)-1]
		case xml.Directive:
			return m, errors.New("upnp: an answer with a document type")
		}
	}
	if c := words["errorCode"]; c == "713" || c == "714" {
		return m, errNoMore
	}
	outside, err1 := strconv.ParseUint(words["NewExternalPort"], 10, 16)
	inside, err2 := strconv.ParseUint(words["NewInternalPort"], 10, 16)
	client, err3 := netip.ParseAddr(words["NewInternalClient"])
	proto := strings.ToLower(words["NewProtocol"])
	if err := errors.Join(err1, err2, err3); err != nil || proto != "tcp" && proto != "udp" {
		return m, fmt.Errorf("upnp: an answer that is no mapping: %w", err)
	}
	return mapping{proto, uint16(outside), uint16(inside), client, words["NewPortMappingDescription"]}, nil
}
