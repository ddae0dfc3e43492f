package mudpolicy

import (
	"slices"

	"github.com/ringwall/ringwall/api"
)

// maxNotes bounds what is noted of one description.
const maxNotes = 256

// where are the parameters of a note about one entry.
func where(list, entry string, more ...string) map[string]string {
	p := map[string]string{"list": list, "entry": entry}
	for i := 0; i+1 < len(more); i += 2 {
		p[more[i]] = more[i+1]
	}
	return p
}

// say notes what could not be taken as it stands. The key ends in what it is
// about: the catalogue has a message "mudnote." with it, of the same parameters.
func (c *converter) say(key, text string, params map[string]string) {
	if params["entry"] != "" {
		text = `entry "` + params["entry"] + `" of list "` + params["list"] + `": ` + text
	}
	if len(c.notes) >= maxNotes || slices.ContainsFunc(c.notes, func(n api.Said) bool { return n.Text == text }) {
		return
	}
	c.notes = append(c.notes, api.Said{Key: "mudnote." + key, Params: params, Text: text})
}

// NoteKeys lists the keys of all notes, for translation.
func NoteKeys() []string {
	return []string{
		"mudnote.unsupported", "mudnote.protocol", "mudnote.lowports", "mudnote.wrong", "mudnote.dtls",
		"mudnote.left.icmp", "mudnote.left.port", "mudnote.left.peer", "mudnote.left.both", "mudnote.left.opener",
		"mudnote.more.icmp", "mudnote.more.port", "mudnote.more.peer", "mudnote.more.both", "mudnote.more.opener",
		"mudnote.tls.ciphers", "mudnote.tls.extensions", "mudnote.tls.alpn", "mudnote.tls.pins", "mudnote.tls.rest",
	}
}
