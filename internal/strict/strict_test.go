package strict

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/ringwall/ringwall"
)

func TestJSON_refuses_and_names_the_line(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"empty", "", "line 1: the document ends too early"},
		{"cut", "{\n\"a\":\n[1,", "line 3: the document ends too early"},
		{"twice", "{\"a\":1,\n\n\"a\":2}", `line 3: member "a" is given twice`},
		{"behind", "{}\n{}", "line 2: something stands behind"},
		{"deep", strings.Repeat("[", 40) + strings.Repeat("]", 40), "nested deeper than 32"},
		{"wide", "[" + strings.Repeat("1,", 100) + "1]", "more than 50 values"},
		{"big", `"` + strings.Repeat("a", 3000) + `"`, "more than 2000"},
		{"not UTF-8", "\"\xff\"", "not valid UTF-8"},
		{"garbage", "{\n  nope}", "line 2:"},
	} {
		_, err := JSON([]byte(c.in), Limits{Bytes: 2000, Nodes: 50})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
		if err != nil && ringwall.CodeOf(err) != ringwall.Invalid {
			t.Errorf("%s: code %q", c.name, ringwall.CodeOf(err))
		}
	}
}

func TestReader(t *testing.T) {
	read := func(in string) (map[string]any, error) {
		n, err := JSON([]byte(in), Limits{})
		if err != nil {
			t.Fatal(err)
		}
		r := &Reader{MaxText: 20}
		got := map[string]any{}
		r.Root(n).Fields(func(get func(string) Value) {
			got["text"] = get("text").Text()
			got["word"] = get("word").OneOf("yes", "no")
			got["n"] = get("n").Int(1, 10)
			got["b"] = get("b").Bool()
			got["time"] = get("time").Time()
			got["url"] = get("url").URL("https")
			got["list"] = get("list").Texts(2)
		}, func(name string, _ Value) bool { return strings.HasPrefix(name, "x-") })
		return got, r.Err()
	}
	got, err := read(`{"text":" a ","word":"YES","n":3,"b":true,"time":"2026-11-21","url":"https://a.example/b","list":["q"],"x-y":[{}]}`)
	if err != nil || got["text"] != "a" || got["word"] != "yes" || got["n"] != 3 || got["b"] != true {
		t.Errorf("%v, error %v", got, err)
	}
	for _, c := range []struct{ in, want string }{
		{`{"text":1}`, "line 1: text: is a number, not a text"},
		{`{"text":"` + strings.Repeat("a", 21) + `"}`, "longer than 20"},
		{"{\"text\":\"a\\u0007\"}", "control character"},
		{`{"word":"perhaps"}`, `"perhaps" is none of`},
		{"{\n\"n\":11}", "line 2: n: \"11\" is no whole number from 1 to 10"},
		{`{"n":1.5}`, "no whole number"},
		{`{"b":"true"}`, "is a text, not a boolean"},
		{`{"time":"yesterday"}`, "no date"},
		{`{"url":"javascript:alert(1)"}`, "no URL with scheme https"},
		{`{"url":"https://u:p@a.b/"}`, "no URL"},
		{`{"list":["a","b","c"]}`, "has 3 items, more than 2"},
		{`{"list":["a",2]}`, "list[1]: is a number"},
		{"{\n\n\"other\":1}", `line 3: member "other" is not known here`},
		{`[]`, "is a list, not an object"},
	} {
		if _, err := read(c.in); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.in, err, c.want)
		}
	}
}

func FuzzJSON(f *testing.F) {
	for _, s := range []string{`{"a":[1,true,null,"x"]}`, `[[[]]]`, `{"a":{"a":{}}}`, "\"\u2028\"", `1e400`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := JSON(b, Limits{Bytes: 1 << 16})
		if err != nil {
			return
		}
		if n == nil || !json.Valid(b) {
			t.Fatalf("took %q", b)
		}
		var count func(*Node) int
		count = func(n *Node) int {
			c := 1
			for _, i := range n.Items {
				c += count(i)
			}
			for _, m := range n.Members {
				c += count(m.Value)
			}
			return c
		}
		if count(n) > 100_000 {
			t.Fatal("more nodes than the limit")
		}
	})
}
