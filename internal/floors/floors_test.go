// Package floors holds the picture of the house as a test: who may import whom.
//
// A package stands on one floor and imports downwards only. Packages on one
// floor do not know each other, but for the exceptions listed here, each with
// its reason. The test parses files, for every build target at once; it does
// not ask the go command.
package floors

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/ringwall/ringwall"

// floorOf lists the floors from the ground up. A pattern names a package
// relative to the module, or a tree of packages when it ends in "/...".
var floorOf = [][]string{
	0: {"."},
	1: {
		"api", "cdr/...", "flow", "firmware/...", "mud", "internal/audit", "internal/task", "internal/durable", "internal/retry",
		"internal/packet", "internal/capture", "internal/sharedtest", "internal/passivedns", "internal/zeeklog", "internal/powercut/...", "internal/floors", "internal/netns/...", "internal/i18n", "internal/digest", "internal/known", "internal/radius", "internal/httpone", "internal/enrol", "internal/resolved", "internal/rulefile", "internal/strict",
	},
	2: {
		"internal/meter/...", "internal/registry/...", "internal/assess/...", "internal/identity/...", "internal/trust/...", "internal/policy/...",
		"internal/enforce/...", "internal/usage/...", "internal/detect/...", "internal/incident/...", "internal/vuln/...", "internal/declare/...",
	},
	3: {
		"internal/sqlstore/...", "internal/spine/...", "internal/broker/...", "internal/segment/...", "internal/nft/...",
		"internal/dnsguard/...", "internal/tap/...", "internal/probe/...", "internal/onvif/...", "internal/rtsp/...",
		"internal/operatorport/...", "internal/tunnel/...", "internal/webhook/...", "internal/mudfetch/...", "internal/wal/...", "internal/inspect/...", "internal/inspector/...", "internal/posture/...", "internal/portmap/...", "internal/report/...", "internal/mqttport/...", "internal/fastpath/...", "internal/kafka/...", "internal/gtpprime/...", "internal/radiusport/...",
	},
	4: {"internal/httpapi/...", "internal/console/...", "client/...", "sdk/..."},
	5: {"internal/trial/...", "internal/platform/...", "internal/agent/...", "internal/lab/...", "internal/usagenode/..."},
	6: {"internal/cli/...", "cmd/..."},
}

// neighbours lists the imports between packages of one floor that are allowed,
// with the reason. A tree may always import within itself.
var neighbours = map[[2]string]string{
	{"internal/platform", "internal/lab"}:    "the demo runs the range",
	{"internal/lab", "internal/agent"}:       "the range runs a gateway in process in its tests",
	{"internal/trial", "internal/platform"}:  "a trial brings the platform up",
	{"internal/trial", "internal/agent"}:     "a trial asks the gateway itself what is in force",
	{"internal/trial", "internal/lab"}:       "a trial drives the range",
	{"internal/probe", "internal/onvif"}:     "the ONVIF probe speaks through the ONVIF client",
	{"internal/probe", "internal/rtsp"}:      "the RTSP probe speaks through the RTSP client",
	{"internal/broker", "internal/spine"}:    "the embedded server grants subjects as the spine names them",
	{"internal/fastpath", "internal/nft"}:    "the fast path caches what the packet filter has allowed, and nothing else",
	{"internal/dnsguard", "internal/nft"}:    "a DNS answer is bound in the kernel before it is released",
	{"cmd", "internal/cli"}:                  "the programs are their command lines",
	{"internal/console", "internal/httpapi"}: "the console is served behind the same request wrapper and sessions",
}

// agentForbids lists trees that neither agent program may reach, directly or
// through others: the agent never imports the platform's floors.
var agentForbids = []string{
	"internal/platform", "internal/sqlstore", "internal/broker", "internal/httpapi", "internal/console", "internal/lab",
	"internal/incident", "internal/registry", "internal/segment", "internal/cli", "internal/probe", "internal/assess",
}

// confined lists outside modules that only one tree may import.
var confined = map[string][]string{
	"github.com/danielgtaylor/huma":    {"internal/httpapi"},
	"modernc.org/sqlite":               {"internal/sqlstore"},
	"github.com/pressly/goose":         {"internal/sqlstore"},
	"github.com/nats-io/nats-server":   {"internal/broker"},
	"github.com/nats-io/nats.go":       {"internal/spine"},
	"github.com/google/nftables":       {"internal/nft", "internal/cli/gatewaybench"},              // the bench makes the yardsticks that the filter is held against
	"github.com/ti-mo/conntrack":       {"internal/nft", "internal/fastpath", "internal/dnsguard"}, // a flow is cached only when connection tracking vouches for it
	"github.com/cilium/ebpf":           {"internal/fastpath"},
	"github.com/twmb/franz-go":         {"internal/kafka"},
	"github.com/miekg/dns":             {"internal/dnsguard", "internal/lab"},
	"github.com/cedar-policy/cedar-go": {"internal/audit"},
	"github.com/bluenviron":            {"internal/rtsp", "internal/lab"},
	"github.com/spf13/cobra":           {"internal/cli"},
	"github.com/mochi-mqtt":            {"internal/mqttport"},
	"github.com/eclipse/paho.golang":   {"sdk"},
	"github.com/vishvananda":           {"internal/netns", "internal/lab", "internal/agent"},
	"golang.zx2c4.com/wireguard":       {"internal/tunnel"},
	"gvisor.dev/gvisor":                {"internal/tunnel"},
	"github.com/gopacket":              {},
	"github.com/smallstep/pkcs7":       {"mud"},
}

type pkg struct {
	dir     string
	imports map[string]string // import path -> a file that has it
}

func under(dir, pattern string) bool {
	tree, isTree := strings.CutSuffix(pattern, "/...")
	return dir == tree || isTree && strings.HasPrefix(dir, tree+"/")
}

func floor(dir string) (int, string) {
	for n, patterns := range floorOf {
		for _, p := range patterns {
			if under(dir, p) {
				return n, strings.TrimSuffix(p, "/...")
			}
		}
	}
	return -1, ""
}

// house parses every Go file of the module, without tests.
func house(t *testing.T) map[string]pkg {
	t.Helper()
	root := filepath.Join("..", "..")
	house := map[string]pkg{}
	err := fs.WalkDir(os.DirFS(root), ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || p != "." && strings.HasPrefix(d.Name(), ".") || p == "bench" || p == "bin") {
			return fs.SkipDir
		}
		if !strings.HasSuffix(p, ".go") || strings.HasSuffix(p, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, p), nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		dir := path.Dir(p)
		if _, ok := house[dir]; !ok {
			house[dir] = pkg{dir: dir, imports: map[string]string{}}
		}
		for _, im := range f.Imports {
			s, err := strconv.Unquote(im.Path.Value)
			if err != nil {
				return err
			}
			house[dir].imports[s] = p
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(house) < 5 {
		t.Fatalf("only %d packages found: the walk is broken", len(house))
	}
	return house
}

func TestImportsGoDown(t *testing.T) {
	for dir, p := range house(t) {
		n, tree := floor(dir)
		if n < 0 {
			t.Errorf("package %s stands on no floor; give it one in floorOf", dir)
			continue
		}
		for im, file := range p.imports {
			rel, ours := strings.CutPrefix(im, module)
			if !ours {
				if n == 0 && strings.Contains(im, ".") {
					t.Errorf("%s imports %s: the vocabulary stands on the standard library alone", file, im)
				}
				continue
			}
			rel = strings.TrimPrefix(rel, "/")
			if rel == "" {
				rel = "."
			}
			m, other := floor(rel)
			switch {
			case m > n:
				t.Errorf("%s (floor %d) imports %s (floor %d): imports go down only", file, n, rel, m)
			case m == n && tree != other && neighbours[[2]string{tree, other}] == "" && n != 6 && n != 1:
				t.Errorf("%s imports %s on its own floor %d without a reason in neighbours", file, rel, n)
			}
		}
	}
}

func TestConfinedModules(t *testing.T) {
	for dir, p := range house(t) {
		for im, file := range p.imports {
			for mod, homes := range confined {
				if im != mod && !strings.HasPrefix(im, mod+"/") {
					continue
				}
				if !slices.ContainsFunc(homes, func(h string) bool { return under(dir, h+"/...") }) {
					t.Errorf("%s imports %s, which may stand in %v only", file, im, homes)
				}
			}
		}
	}
}

func TestAgentReachesNoPlatformFloor(t *testing.T) {
	all := house(t)
	start := "cmd/ringwall-agent"
	if _, ok := all[start]; !ok {
		t.Skip("SKIPPED, NOT TESTED: cmd/ringwall-agent does not exist yet")
	}
	seen := map[string]string{start: ""}
	queue := []string{start}
	for len(queue) > 0 {
		dir := queue[0]
		queue = queue[1:]
		for _, bad := range agentForbids {
			if under(dir, bad+"/...") {
				chain := dir
				for at := seen[dir]; at != ""; at = seen[at] {
					chain = at + " -> " + chain
				}
				t.Errorf("the agent reaches %s: %s", dir, chain)
			}
		}
		for im := range all[dir].imports {
			rel, ours := strings.CutPrefix(im, module)
			rel = strings.TrimPrefix(rel, "/")
			if rel == "" {
				rel = "."
			}
			if _, known := seen[rel]; ours && !known {
				seen[rel] = dir
				queue = append(queue, rel)
			}
		}
	}
}
