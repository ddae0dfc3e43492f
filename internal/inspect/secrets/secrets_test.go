package secrets

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/inspect/shell"
	"github.com/ringwall/ringwall/internal/inspect/view"
	"github.com/ringwall/ringwall/internal/inspect/viewtest"
)

var now = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

func scan(t *testing.T, files map[string]string, commands ...shell.Command) (*Scan, *view.View, map[string]ringwall.Finding) {
	t.Helper()
	files["etc/passwd"], files["etc/inittab"] = "root:*:0:0::/:/bin/sh\n", "::sysinit:/bin/true\n"
	v := viewtest.Of(t, files)
	s := NewScan()
	for f := range v.Regular {
		s.File(v, f, v.Data(f))
	}
	s.Served(v, commands)
	out := map[string]ringwall.Finding{}
	for _, f := range s.Findings(v, now) {
		out[f.Indicator] = f
	}
	return s, v, out
}

func pemOf(t *testing.T, kind string, der []byte, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func TestKeys(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pkcs1 := x509.MarshalPKCS1PrivateKey(rsaKey)
	sec1, err := x509.MarshalECPrivateKey(ecKey)
	pkcs8, err8 := x509.MarshalPKCS8PrivateKey(ecKey)
	sshBlock, errSSH := ssh.MarshalPrivateKey(edKey, "host")
	locked, errLocked := ssh.MarshalPrivateKeyWithPassphrase(edKey, "host", []byte("a long passphrase"))
	if errSSH != nil || errLocked != nil {
		t.Fatal(errSSH, errLocked)
	}
	rsaPEM := pemOf(t, "RSA PRIVATE KEY", pkcs1, nil)
	for _, c := range []struct {
		name, content, kind, mark string
		outcome                   ringwall.Outcome
	}{
		{"RSA in PEM", rsaPEM, "RSA 2048", Mark(&rsaKey.PublicKey), ringwall.Fail},
		{"EC in PEM", pemOf(t, "EC PRIVATE KEY", sec1, err), "EC P-256", Mark(&ecKey.PublicKey), ringwall.Fail},
		{"PKCS #8", pemOf(t, "PRIVATE KEY", pkcs8, err8), "EC P-256", Mark(&ecKey.PublicKey), ringwall.Fail},
		{"OpenSSH", string(pem.EncodeToMemory(sshBlock)), "Ed25519", Mark(edKey.Public()), ringwall.Fail},
		{"OpenSSH, locked", string(pem.EncodeToMemory(locked)), "OpenSSH, encrypted", "", ringwall.Partial},
		{"inside a program", "\x7fELF\x01\x01\x00 text\x00" + rsaPEM + "\x00more", "RSA 2048", Mark(&rsaKey.PublicKey), ringwall.Fail},
		{"with CRLF", strings.ReplaceAll(rsaPEM, "\n", "\r\n"), "RSA 2048", Mark(&rsaKey.PublicKey), ringwall.Fail},
		{"as a string of a program", "key = \"" + strings.ReplaceAll(rsaPEM, "\n", `\n`) + "\"", "RSA 2048", Mark(&rsaKey.PublicKey), ringwall.Fail},
		{"RSA in DER inside a program", "\x7fELF\x01\x01\x00 text\x00" + string(pkcs1) + "\x00more", "RSA 2048", Mark(&rsaKey.PublicKey), ringwall.Fail},
		{"EC in DER", string(sec1), "EC P-256", Mark(&ecKey.PublicKey), ringwall.Fail},
		{"Dropbear", dropbearRSA(rsaKey), "RSA 2048", Mark(&rsaKey.PublicKey), ringwall.Fail},

		{"words of a library", "\x7fELF\x01\x01\x00-----BEGIN RSA PRIVATE KEY-----\x00-----END RSA PRIVATE KEY-----\x00", "", "", ringwall.Pass},
		{"words with text between", "-----BEGIN PRIVATE KEY-----\nyour key here\n-----END PRIVATE KEY-----\n", "", "", ringwall.Pass},
		{"a public key", pemOf(t, "PUBLIC KEY", mustPKIX(t, &rsaKey.PublicKey), nil), "", "", ringwall.Pass},
		{"a public SSH key", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB0 me\n", "", "", ringwall.Pass},
		{"half a key", rsaPEM[:len(rsaPEM)/2], "", "", ringwall.Pass},
		{"numbers like a key", "\x7fELF" + strings.Repeat("\x30\x82\x02\x5c\x02\x01\x00\x02\x82\x01", 50), "", "", ringwall.Pass},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, _, f := scan(t, map[string]string{"etc/key": c.content})
			if f["FS-02"].Outcome != c.outcome {
				t.Fatalf("FS-02 is %v: %v, want %v", f["FS-02"].Outcome, f["FS-02"].Evidence, c.outcome)
			}
			if c.kind == "" {
				return
			}
			if len(s.Keys) != 1 || s.Keys[0].Kind != c.kind || s.Keys[0].Mark != c.mark {
				t.Errorf("keys %+v, want one of kind %s", s.Keys, c.kind)
			}
			b, _ := json.Marshal(f)
			if strings.Contains(string(b), rsaPEM[40:80]) {
				t.Error("a finding holds a part of the key")
			}
		})
	}
}

func mustPKIX(t *testing.T, pub any) []byte {
	t.Helper()
	b, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func dropbearRSA(k *rsa.PrivateKey) string {
	var b []byte
	put := func(v []byte) {
		b = binary.BigEndian.AppendUint32(b, uint32(len(v)))
		b = append(b, v...)
	}
	mp := func(n *big.Int) { put(append([]byte{0}, n.Bytes()...)) }
	put([]byte("ssh-rsa"))
	mp(big.NewInt(int64(k.E)))
	mp(k.N)
	mp(k.D)
	mp(k.Primes[0])
	mp(k.Primes[1])
	return string(b)
}

// testKey is the published key of OpenSSL's old test server (512 bits).
const testKey = `-----BEGIN RSA PRIVATE KEY-----
MIIBPAIBAAJBAJ+zw4Qnlf8SMVIPFe9GEcStgOY2Ww/dgNdhjeD8ckUJNP5VZkVD
TGiXav6ooKXfX3j/7tdkuD8Ey2//Kv7+ue0CAwEAAQJAN6W31vDEP2DjdqhzCDDu
OA4NACqoiFqyblo7yc2tM4h4xMbC3Yx5UKMN9ZkCtX0gzrz6DyF47bdKcWBzNWCj
gQIhANEoojVt7hq+SQ6MCN6FTAysGgQf56Q3TYoJMoWvdiXVAiEAw3e3rc+VJpOz
rHuDo6bgpjUAAXM+v3fcpsfZSNO6V7kCIQCtbVjanpUwvZkMI9by02oUk9taki3b
PzPfAfNPYAbCJQIhAJXNQDWyqwn/lGmR11cqY2y9nZ1+5w3yHGatLrcDnQHxAiEA
vnlEGo8K85u+KwIOimM48ZG8oTk7iFdkqLJR1utT3aU=
-----END RSA PRIVATE KEY-----
`

func TestKnownTestKeys(t *testing.T) {
	s, _, f := scan(t, map[string]string{"usr/lib/libmbedx509.so.0": "\x7fELF\x01\x01\x00\x00" + testKey + "\x00"})
	if f["FS-02"].Outcome != ringwall.Pass || len(f["FS-02"].Evidence) == 0 {
		t.Errorf("a self-test's key inside a library: %v %v", f["FS-02"].Outcome, f["FS-02"].Evidence)
	}
	if len(s.Keys) != 1 || !s.Keys[0].Harmless || s.Keys[0].Known.Name == "" {
		t.Fatalf("keys %+v", s.Keys)
	}
	if m := s.Marks(); len(m) != 1 || m[0].Known == "" {
		t.Errorf("marks %+v: the key is a known one", m)
	}
	// The same key in a server's configuration is one that anybody has.
	_, _, f = scan(t, map[string]string{"etc/server.pem": testKey, "etc/lighttpd/lighttpd.conf": "ssl.pemfile = \"/etc/server.pem\"\n"}, shell.Command{Name: "lighttpd", Args: []string{"-f", "/etc/lighttpd/lighttpd.conf"}})
	if f["FS-02"].Outcome != ringwall.Fail || f["FS-02"].Facts["served"] != "true" || !strings.Contains(strings.Join(f["FS-02"].Evidence, " "), "OpenSSL test") {
		t.Errorf("a published key that a server uses: %v %v %v", f["FS-02"].Outcome, f["FS-02"].Facts, f["FS-02"].Evidence)
	}
	if f["CO-06"].Outcome != ringwall.Fail {
		t.Errorf("CO-06 of a served key is %v", f["CO-06"].Outcome)
	}
}

func TestCertificates(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "camera"}, NotBefore: now.AddDate(-3, 0, 0), NotAfter: now.AddDate(-1, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	cert := pemOf(t, "CERTIFICATE", der, err)
	sec1, err := x509.MarshalECPrivateKey(key)
	_, _, f := scan(t, map[string]string{"etc/c.pem": cert + pemOf(t, "EC PRIVATE KEY", sec1, err)})
	if f["CO-06"].Outcome != ringwall.Fail || !strings.Contains(strings.Join(f["CO-06"].Evidence, " "), "expired") {
		t.Errorf("an expired certificate with its key: %v %v", f["CO-06"].Outcome, f["CO-06"].Evidence)
	}
	_, _, f = scan(t, map[string]string{"etc/ca.pem": cert})
	if f["CO-06"].Outcome != ringwall.Unknown || f["FS-02"].Outcome != ringwall.Pass {
		t.Errorf("a certificate of somebody else: CO-06 %v, FS-02 %v", f["CO-06"].Outcome, f["FS-02"].Outcome)
	}
}

func TestTokens(t *testing.T) {
	const jwt = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5MDIyfQ.SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c"
	for _, c := range []struct {
		name, content string
		outcome       ringwall.Outcome
	}{
		{"JSON Web Token", "token=" + jwt + "\n", ringwall.Fail},
		{"AWS with its secret", "id=AKIAQ3EGRIH2K5XJ7Z4D\nsecret=kWcrlUX5JEDGM/LtmEENI/aVmYvHNif5zB+d9+ct\n", ringwall.Fail},
		{"AWS id alone", "id=AKIAQ3EGRIH2K5XJ7Z4D\n", ringwall.Partial},
		{"AWS's example", "id=AKIAIOSFODNN7EXAMPLE\n", ringwall.Pass},
		{"base64 that begins like a token", "eyJmb28iOiJiYXIifQ==\neyJhbGciOm51bGx9.eyJ9.aaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n", ringwall.Pass},
		{"an alphabet", "ABCDEFGHAKIAIJKLMNOPQRSTUVWXYZ234567\nLTAIaaaaaaaaaaaaaaaa\n", ringwall.Pass},
	} {
		_, _, f := scan(t, map[string]string{"etc/cloud.conf": c.content})
		if f["FS-02"].Outcome != c.outcome {
			t.Errorf("%s: FS-02 is %v %v, want %v", c.name, f["FS-02"].Outcome, f["FS-02"].Evidence, c.outcome)
		}
	}
}

func TestClear(t *testing.T) {
	for _, c := range []struct {
		path, content string
		fails         bool
	}{
		{"etc/wpa_supplicant.conf", "network={\n ssid=\"home\"\n psk=\"correcthorse\"\n}\n", true},
		{"etc/hostapd.conf", "ssid=cam\nwpa_passphrase=camera12345\n", true},
		{"etc/config/wireless", "config wifi-iface\n option ssid 'x'\n option key 'hunter2hunter2'\n", true},
		{"configs/.user_config", "[NET]\nwifi_password=hunter2hunter2\n", true},
		{"etc/cloud.ini", "device_secret=8fj3kd93kdk3d9\n", true},

		{"etc/wpa_supplicant.conf", "network={\n #psk=\"correcthorse\"\n key_mgmt=NONE\n}\n", false},
		{"etc/wpa_supplicant.conf", "network={\n psk=\"$PSK\"\n}\n", false},
		{"etc/hostapd.conf", "wpa_key_mgmt=WPA-PSK\nwpa_pairwise=CCMP\nwpa_group_rekey=86400\n", false},
		{"etc/hostapd.conf", "wpa_passphrase=YOUR_PASSPHRASE\n", false},
		{"etc/config/wireless", "config wifi-iface\n option encryption 'none'\n option ssid 'x'\n option key ''\n", false},
		{"etc/ssh/sshd_config", "PasswordAuthentication no\nPermitEmptyPasswords no\n#HostKey /etc/k\n", false},
		{"etc/nsswitch.conf", "passwd: files\nshadow: files\n", false},
		{"etc/app.conf", "password=\nsecret=/etc/secret.key\ntoken=none\nsecret=${SECRET}\n", false},
		{"usr/share/doc/wpa/wpa_supplicant.conf", "psk=\"very secret passphrase\"\n", false},
		{"www/login.html", "<input name=password value=12345>\npassword=hunter2hunter2\n", false},
		{"etc/init.d/wifi", "#!/bin/sh\nwifi_password=hunter2\n", false},
	} {
		_, _, f := scan(t, map[string]string{c.path: c.content})
		got := f["DA-01"]
		if (got.Outcome == ringwall.Fail) != c.fails || got.Outcome == ringwall.Pass {
			t.Errorf("%s %q: DA-01 is %v %v", c.path, c.content, got.Outcome, got.Evidence)
		}
		if strings.Contains(strings.Join(got.Evidence, " "), "hunter2") || strings.Contains(strings.Join(got.Evidence, " "), "horse") {
			t.Errorf("a finding shows a secret: %v", got.Evidence)
		}
	}
}

func FuzzFile(f *testing.F) {
	f.Add([]byte(testKey))
	f.Add([]byte("\x00\x00\x00\x07ssh-rsa\x00\x00\x00\x03\x01\x00\x01"))
	f.Add([]byte("psk=\"abcdefgh\"\nAKIAQ3EGRIH2K5XJ7Z4D"))
	f.Add([]byte{0x30, 0x82, 0x02, 0x5c, 0x02, 0x01, 0x00, 0x02, 0x82})
	f.Fuzz(func(t *testing.T, data []byte) {
		s := NewScan()
		fl := &view.File{Path: "/etc/x"}
		v := &view.View{}
		s.keys(fl, data)
		s.certs(fl, data)
		s.tokens(fl, data)
		s.config(v, fl, string(data))
		s.Marks()
		s.Findings(v, now)
		if len(s.Keys) > 4*maxKeys {
			t.Fatalf("%d keys in one file", len(s.Keys))
		}
	})
}
