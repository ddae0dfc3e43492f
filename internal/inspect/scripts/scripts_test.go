package scripts

import (
	"testing"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/inspect/hardening"
	"github.com/ringwall/ringwall/internal/inspect/view"
	"github.com/ringwall/ringwall/internal/inspect/viewtest"
)

func scan(t *testing.T, path, content string, bin *hardening.Binary) map[string]ringwall.Finding {
	t.Helper()
	v := viewtest.Of(t, map[string]string{path: content})
	var s Scan
	for f := range v.Regular {
		data := v.Data(f)
		b := bin
		if !view.IsELF(data) {
			b = nil
		}
		s.File(f, data, b, false)
	}
	out := map[string]ringwall.Finding{}
	for _, f := range s.Findings() {
		out[f.Indicator] = f
	}
	return out
}

func TestInput(t *testing.T) {
	for _, c := range []struct {
		name, path, content string
		want                ringwall.Outcome
	}{
		{"Lua, through a name", "usr/lib/lua/luci/controller/x.lua", "local c = http.formvalue(\"cmd\")\nlocal f = io.popen(tostring(c)..\" 2>&1\")\n", ringwall.Fail},
		{"Lua, direct", "usr/lib/lua/luci/controller/x.lua", "os.execute(\"ping \" .. luci.http.formvalue(\"host\"))\n", ringwall.Fail},
		{"PHP", "www/x.php", "<?php $h = $_GET['h']; \nsystem(\"ping \" . $h);\n", ringwall.Fail},
		{"shell", "www/cgi-bin/x.cgi", "#!/bin/sh\neval $QUERY_STRING\n", ringwall.Fail},
		{"shell, parsed by eval", "www/cgi-bin/x.cgi", "#!/bin/sh\neval \"`echo $QUERY_STRING | sed 's/&/;/g'`\"\n", ringwall.Fail},

		{"Lua, constant command", "usr/lib/lua/luci/controller/x.lua", "local c = http.formvalue(\"cmd\")\nio.popen(\"uptime\")\n", ringwall.Unknown},
		{"Lua, quoted", "usr/lib/lua/luci/controller/x.lua", "local c = http.formvalue(\"cmd\")\nio.popen(\"echo \" .. luci.util.shellquote(c))\n", ringwall.Unknown},
		{"Lua, comment", "usr/lib/lua/luci/controller/x.lua", "-- os.execute(luci.http.formvalue(\"x\"))\n", ringwall.Unknown},
		{"PHP, escaped", "www/x.php", "<?php $h = $_GET['h'];\nsystem(\"ping \" . escapeshellarg($h));\n", ringwall.Unknown},
		{"shell, no request", "www/cgi-bin/x.cgi", "#!/bin/sh\neval \"$(cat /etc/conf)\"\n", ringwall.Unknown},
		{"not on the web", "usr/bin/tool.lua", "local c = os.getenv(\"CMD\")\nos.execute(c)\n", ringwall.Unknown},
	} {
		if f := scan(t, c.path, c.content, nil)["AP-08"]; f.Outcome != c.want {
			t.Errorf("%s: AP-08 is %v: %q %v, want %v", c.name, f.Outcome, f.Title, f.Evidence, c.want)
		}
	}
}

func TestInput_programs(t *testing.T) {
	body := "\x7fELF\x00QUERY_STRING\x00REQUEST_METHOD\x00ping -c 3 %s > /tmp/out\x00"
	for _, c := range []struct {
		name, body string
		imports    []string
		want       ringwall.Outcome
	}{
		{"builds a command", body, []string{"getenv", "system"}, ringwall.Partial},
		{"runs no shell", body, []string{"getenv", "execve"}, ringwall.Unknown},
		{"takes no requests", "\x7fELF\x00ping -c 3 %s\x00", []string{"system"}, ringwall.Unknown},
		{"constant commands", "\x7fELF\x00QUERY_STRING\x00sync\x00reboot\x00", []string{"system"}, ringwall.Unknown},
	} {
		b := &hardening.Binary{Program: true, Imports: c.imports}
		if f := scan(t, "usr/www/cgi-bin/x.cgi", c.body, b)["AP-08"]; f.Outcome != c.want {
			t.Errorf("%s: AP-08 is %v %v, want %v", c.name, f.Outcome, f.Evidence, c.want)
		}
	}
}

func TestUnverified(t *testing.T) {
	for _, c := range []struct {
		path, content string
		fails         bool
	}{
		{"usr/bin/push.sh", "#!/bin/sh\ncurl -k https://api.example.org\n", true},
		{"usr/bin/push.sh", "#!/bin/sh\ncurl -s -X POST -sk https://api.example.org\n", true},
		{"usr/bin/push.sh", "#!/bin/sh\nwget -q --no-check-certificate https://api.example.org\n", true},
		{"etc/stunnel/x.conf", "client = yes\nverify = 0\n", true},
		{"usr/bin/app.py", "#!/usr/bin/python3\nrequests.get(url, verify=False)\n", true},
		{"usr/bin/app", "\x7fELF\x00curl -k -s https://%s/up -d @/tmp/x\x00", true},

		{"usr/bin/push.sh", "#!/bin/sh\n# curl -k https://api.example.org\n", false},
		{"usr/bin/push.sh", "#!/bin/sh\ncurl -s --cacert /etc/ca.pem https://api.example.org -o k\n", false},
		{"usr/bin/push.sh", "#!/bin/sh\ncurl --keepalive-time 5 https://api.example.org | grep -k x\n", false},
		{"etc/x.conf", "verify = 0\n", false},
		{"usr/lib/python3/dist-packages/requests/api.py", "requests.get(url, verify=False)\n", false},
		{"usr/share/doc/curl/README", "curl -k https://x\n", false},
		{"usr/bin/curl", "\x7fELF\x00curl -k, --insecure \x00", false},
	} {
		f := scan(t, c.path, c.content, &hardening.Binary{Program: true})["CO-08"]
		if (f.Outcome == ringwall.Fail) != c.fails || f.Outcome == ringwall.Pass {
			t.Errorf("%s %q: CO-08 is %v %v", c.path, c.content, f.Outcome, f.Evidence)
		}
	}
}
