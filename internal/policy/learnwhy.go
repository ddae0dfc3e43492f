package policy

import (
	"fmt"
	"strings"

	"github.com/ringwall/ringwall/api"
)

// because is a reason of what is learned: a key with its parameters, pairs of name
// and value, and the same in English.
func because(key, english string, params ...any) api.Said {
	s := api.Said{Key: "learnwhy." + key}
	for i := 0; i+1 < len(params); i += 2 {
		name, value := fmt.Sprint(params[i]), fmt.Sprint(params[i+1])
		if s.Params == nil {
			s.Params = map[string]string{}
		}
		s.Params[name] = value
		english = strings.ReplaceAll(english, "{"+name+"}", value)
	}
	s.Text = english
	return s
}

// LearnKeys lists the keys of all reasons of what is learned and what is not, with
// the names of their parameters, for translation.
func LearnKeys() map[string][]string {
	return map[string][]string{
		"learnwhy.none": nil, "learnwhy.refused": nil, "learnwhy.unknown": nil, "learnwhy.ip6": nil, "learnwhy.kinds": nil, "learnwhy.alert": nil,
		"learnwhy.terms": {"most"}, "learnwhy.deny": {"term"}, "learnwhy.days": {"n", "least"}, "learnwhy.flows": {"n", "least"}, "learnwhy.ports": {"n", "most"},
		"learnwhy.some": {"n", "first", "last"}, "learnwhy.all": {"n", "first", "last"},
	}
}
