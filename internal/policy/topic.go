package policy

import "strings"

// Topics of MQTT 5.0 section 4.7: levels between slashes; in a filter "+" stands
// for one level and "#", which is always the last, for all that follow and for
// the level above them. Neither stands for a first level that begins with "$".

const maxTopic = 1024 // octets; the standard allows 65535

// topicFilter reports whether f is a topic filter.
func topicFilter(f string) bool {
	if f == "" || len(f) > maxTopic || strings.ContainsAny(f, "\x00") {
		return false
	}
	for i := 0; i < len(f); i++ {
		if f[i] != '+' && f[i] != '#' {
			continue
		}
		alone := (i == 0 || f[i-1] == '/') && (i == len(f)-1 || f[i+1] == '/')
		if !alone || f[i] == '#' && i != len(f)-1 {
			return false
		}
	}
	return true
}

// topicName reports whether s is a topic that can be published to.
func topicName(s string) bool {
	return s != "" && len(s) <= 65535 && !strings.ContainsAny(s, "+#\x00")
}

// matchTopics compares the topic of a PUBLISH, or the filter of a SUBSCRIBE,
// with filters of a term. A subscription is allowed when one filter covers all
// that it asks for, and denied when one has anything in common with it.
func matchTopics(filters []string, topic string, subscribe, deny bool) bool {
	if subscribe {
		topic = unshared(topic)
		if !topicFilter(topic) {
			return deny
		}
	} else if !topicName(topic) {
		return deny
	}
	for _, f := range filters {
		switch {
		case !subscribe && covers(f, topic), subscribe && !deny && covers(f, topic), subscribe && deny && meets(f, topic):
			return true
		}
	}
	return false
}

// unshared returns the filter of a shared subscription (section 4.8.2).
func unshared(f string) string {
	rest, ok := strings.CutPrefix(f, "$share/")
	if !ok {
		return f
	}
	_, filter, ok := strings.Cut(rest, "/")
	if !ok {
		return ""
	}
	return filter
}

// level cuts off the first level; more is false when it was the last.
func level(s string) (first, rest string, more bool) { return strings.Cut(s, "/") }

// covers reports whether filter f matches everything that t, a topic or a
// filter, matches.
func covers(f, t string) bool {
	if f == "" || t == "" || t[0] == '$' && (f[0] == '+' || f[0] == '#') {
		return false
	}
	for {
		fl, fr, fmore := level(f)
		if fl == "#" {
			return true
		}
		tl, tr, tmore := level(t)
		if tl == "#" || fl != "+" && fl != tl {
			return false
		}
		switch {
		case !fmore && !tmore:
			return true
		case !tmore: // "a/#" stands for "a" too
			return fr == "#"
		case !fmore:
			// "a" does not cover "a/#", which goes further.
			return false
		}
		f, t = fr, tr
	}
}

// meets reports whether some topic matches both filters.
func meets(f, g string) bool {
	if f == "" || g == "" || f[0] == '$' && (g[0] == '+' || g[0] == '#') || g[0] == '$' && (f[0] == '+' || f[0] == '#') {
		return false
	}
	for {
		fl, fr, fmore := level(f)
		gl, gr, gmore := level(g)
		if fl == "#" || gl == "#" {
			return true
		}
		if fl != "+" && gl != "+" && fl != gl {
			return false
		}
		switch {
		case !fmore && !gmore:
			return true
		case !fmore:
			return gr == "#"
		case !gmore:
			return fr == "#"
		}
		f, g = fr, gr
	}
}
