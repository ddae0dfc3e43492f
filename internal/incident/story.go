package incident

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// tell puts a line into the story at its time, with its English text. Lines
// past MaxStory are left out, unless the incident turns on them.
func (in *Incident) tell(l api.StoryLine, turning bool) {
	limit := MaxStory
	if turning {
		limit *= 2
	}
	if len(in.Story) >= limit || in.told(l.Ref, l.Key) {
		return
	}
	if l.Params["device"] == "" && in.Name != "" {
		p := map[string]string{"device": in.Name}
		for k, v := range l.Params {
			if v != "" {
				p[k] = v
			}
		}
		l.Params = p
	}
	l.Text = Sentence(l.Key, l.Params)
	i, _ := slices.BinarySearchFunc(in.Story, l.Time, func(a api.StoryLine, t time.Time) int {
		if a.Time.After(t) {
			return 1
		}
		return -1 // after all lines of the same time
	})
	in.Story = slices.Insert(in.Story, i, l)
}

// told reports whether a line of this kind about this thing was told. Lines of
// the incident itself may be told again.
func (in *Incident) told(ref, key string) bool {
	return ref != "" && ref != string(in.ID) && slices.ContainsFunc(in.Story, func(l api.StoryLine) bool { return l.Ref == ref && l.Key == key })
}

// retell replaces the line about the same alert.
func (in *Incident) retell(l api.StoryLine) {
	for i := range in.Story {
		if in.Story[i].Ref == l.Ref && in.Story[i].Key == l.Key {
			l.Text = Sentence(l.Key, l.Params)
			in.Story[i].Params, in.Story[i].Text = l.Params, l.Text
		}
	}
}

// alertLine is the line of an alert that was said count times, last at last.
func alertLine(a ringwall.Alert, device string, count int, last time.Time) api.StoryLine {
	p := make(map[string]string, len(a.Evidence.Facts)+6)
	for k, v := range a.Evidence.Facts {
		if !identifying(k, v) {
			p[k] = v
		}
	}
	set := func(k, v string) {
		if p[k] == "" && v != "" {
			p[k] = v
		}
	}
	if device != "" {
		p["device"] = device
	}
	set("device", a.Subject.ID)
	if a.Peer.IsValid() {
		p["peer"] = a.Peer.String()
	}
	if a.Evidence.Count > 0 {
		set("count", strconv.FormatUint(a.Evidence.Count, 10))
	}
	if d := a.Evidence.Last.Sub(a.Evidence.First); d >= time.Second && !a.Evidence.First.IsZero() {
		set("seconds", strconv.FormatInt(int64(d/time.Second), 10))
	}
	p["severity"] = a.Severity.String()
	if count > 1 {
		p["times"], p["last"] = strconv.Itoa(count), last.UTC().Format("15:04:05 MST")
	}
	key := templateOf(a)
	if key == "story.alert.other" {
		p["title"] = strings.TrimRight(a.Title, ".")
		p["rule"] = a.Rule
	}
	return api.StoryLine{Time: a.Time, Key: key, Params: p, Ref: string(a.ID)}
}

// templateOf is the key of the template that fits what an alert says.
func templateOf(a ringwall.Alert) string {
	which := a.Evidence.Facts["role"]
	switch {
	case a.Evidence.Facts["stream"] == "not yet":
		which = "try"
	case a.Evidence.Facts["peers"] != "":
		which = "many"
	case which == "source" && a.Stage == ringwall.Propagation && a.Rule == "binary-download":
		which = "spread"
	}
	for _, key := range []string{"story.alert." + a.Rule + "." + which, "story.alert." + a.Rule} {
		if _, ok := messages[key]; ok {
			return key
		}
	}
	return "story.alert.other"
}

// identifying reports whether a fact could name a subscriber. Detectors mask
// such numbers; a story does not rely on it.
func identifying(key, value string) bool {
	switch strings.ToLower(key) {
	case "imsi", "imei", "iccid", "msisdn", "boundimei", "seenimei":
		return !strings.Contains(value, "*")
	}
	run := 0
	for _, c := range []byte(value) {
		if c < '0' || c > '9' {
			run = 0
			continue
		}
		if run++; run >= 14 {
			return true
		}
	}
	return false
}

func responseKey(r api.Response) string { return "story.response." + r.Status + "." + r.Kind }

func responseLine(r api.Response, device string) api.StoryLine {
	t := r.Made
	switch r.Status {
	case Done:
		t = r.Done
	case Undone, Expired, Declined:
		t = r.Undone
	}
	by := r.By
	if r.Status != Proposed && r.Decided != "" {
		by = r.Decided
	}
	p := map[string]string{"by": by, "reason": r.Reason}
	if device != "" {
		p["device"] = device
	}
	if r.Error != "" {
		p["error"] = r.Error
	}
	if took := r.Done.Sub(r.Made); r.Status == Done && took > 0 && took < time.Minute {
		p["ms"] = strconv.FormatInt(took.Milliseconds(), 10)
	}
	if !r.Expires.IsZero() && r.Status == Done {
		p["until"] = r.Expires.UTC().Format(time.RFC3339)
	}
	return api.StoryLine{Time: t, Key: responseKey(r), Params: p, Ref: string(r.ID)}
}

// Tell returns a story as text that a person can read, a line a sentence, with
// times in loc.
func Tell(story []api.StoryLine, loc *time.Location) string {
	var b strings.Builder
	day := ""
	for _, l := range story {
		t := l.Time.In(loc)
		if d := t.Format(time.DateOnly); d != day {
			day = d
			b.WriteString(d + "\n")
		}
		b.WriteString("At " + t.Format(time.TimeOnly) + " " + l.Text + "\n")
	}
	return b.String()
}

// local reports whether an address lies behind a gateway, as far as an address
// can tell: private, link-local, loopback and multicast ones (RFC 1918, RFC
// 4193, RFC 6890).
func local(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsPrivate() || a.IsLinkLocalUnicast() || a.IsLoopback() || a.IsMulticast() || a.IsUnspecified() || netip.MustParsePrefix("100.64.0.0/10").Contains(a)
}
