// Package crypt tells how a stored password was hashed, and whether a candidate
// is that password.
//
// It knows the hashes that devices store: traditional DES, MD5 ($1$, $apr1$),
// SHA-256 ($5$), SHA-512 ($6$), bcrypt ($2a$, $2b$, $2y$), yescrypt ($y$) and
// scrypt ($7$), LDAP's {SHA}, NT hashes, and plain text. Scheme looks at the
// form alone and is strict: what has not the exact form of a hash is none.
// Every check has a Cost, so that a caller can bound what an image makes it do;
// a hash that asks for more work than the bounds here is not checked at all.
//
// A candidate never leaves Check. Forms are those of crypt(5) of libxcrypt and
// of smbpasswd(5).
package crypt

import (
	"crypto/sha1"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf16"

	"github.com/GehirnInc/crypt/apr1_crypt"
	"github.com/GehirnInc/crypt/md5_crypt"
	"github.com/GehirnInc/crypt/sha256_crypt"
	"github.com/GehirnInc/crypt/sha512_crypt"
	"github.com/openwall/yescrypt-go"
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/crypto/md4" //lint:ignore SA1019 NT hashes are MD4, which is the point of finding them
)

// Scheme is a way of hashing.
type Scheme string

// The schemes. None is what is no hash.
const (
	None     Scheme = ""
	DES      Scheme = "des"
	BSDi     Scheme = "bsdi-des"
	MD5      Scheme = "md5"
	APR1     Scheme = "apr1-md5"
	SHA256   Scheme = "sha256"
	SHA512   Scheme = "sha512"
	BCrypt   Scheme = "bcrypt"
	Yescrypt Scheme = "yescrypt"
	SCrypt   Scheme = "scrypt"
	LDAPSHA  Scheme = "sha1"
	NT       Scheme = "nt"
)

// Weak reports whether guessing passwords of this scheme is cheap: DES keeps
// eight characters, MD5-crypt has a fixed small number of rounds, the others
// none at all.
func (s Scheme) Weak() bool {
	switch s {
	case DES, BSDi, MD5, APR1, LDAPSHA, NT:
		return true
	}
	return false
}

var (
	desForm    = regexp.MustCompile(`^[./0-9A-Za-z]{13}$`)
	bsdiForm   = regexp.MustCompile(`^_[./0-9A-Za-z]{19}$`)
	md5Form    = regexp.MustCompile(`^\$(1|apr1)\$[^$:]{0,8}\$[./0-9A-Za-z]{22}$`)
	sha256Form = regexp.MustCompile(`^\$5\$(rounds=(\d{1,9})\$)?[^$:]{0,16}\$[./0-9A-Za-z]{43}$`)
	sha512Form = regexp.MustCompile(`^\$6\$(rounds=(\d{1,9})\$)?[^$:]{0,16}\$[./0-9A-Za-z]{86}$`)
	bcryptForm = regexp.MustCompile(`^\$2[abxy]\$(\d\d)\$[./0-9A-Za-z]{53}$`)
	yesForm    = regexp.MustCompile(`^\$y\$[./A-Za-z0-9]+\$[./A-Za-z0-9]{0,86}\$[./A-Za-z0-9]{43}$`)
	scryptForm = regexp.MustCompile(`^\$7\$[./A-Za-z0-9]{11,97}\$[./A-Za-z0-9]{43}$`)
	ldapForm   = regexp.MustCompile(`^\{SHA\}[A-Za-z0-9+/]{27}=$`)
	ntForm     = regexp.MustCompile(`^[0-9A-Fa-f]{32}$`)
)

// SchemeOf returns the scheme of a field of a password file.
func SchemeOf(field string) Scheme {
	switch {
	case desForm.MatchString(field):
		return DES
	case bsdiForm.MatchString(field):
		return BSDi
	case strings.HasPrefix(field, "$apr1$") && md5Form.MatchString(field):
		return APR1
	case md5Form.MatchString(field):
		return MD5
	case sha256Form.MatchString(field):
		return SHA256
	case sha512Form.MatchString(field):
		return SHA512
	case bcryptForm.MatchString(field):
		return BCrypt
	case yesForm.MatchString(field):
		return Yescrypt
	case scryptForm.MatchString(field):
		return SCrypt
	case ldapForm.MatchString(field):
		return LDAPSHA
	case ntForm.MatchString(field):
		return NT
	}
	return None
}

// Cost of one check, in units of about a tenth of a millisecond on a machine
// of 2020. Zero means that a hash of this scheme is not checked.
func Cost(hash string) int {
	switch s := SchemeOf(hash); s {
	case LDAPSHA, NT:
		return 1
	case DES:
		return 2
	case MD5, APR1:
		return 4
	case SHA256, SHA512:
		form := sha256Form
		if s == SHA512 {
			form = sha512Form
		}
		rounds := 5000
		if m := form.FindStringSubmatch(hash); m[2] != "" {
			rounds, _ = strconv.Atoi(m[2])
		}
		if rounds > 100_000 {
			return 0
		}
		return max(rounds/70, 1)
	case BCrypt:
		cost, _ := strconv.Atoi(bcryptForm.FindStringSubmatch(hash)[1])
		if cost < 4 || cost > 12 {
			return 0
		}
		return 10 << max(cost-4, 0)
	case Yescrypt:
		// The parameters of Debian and its kin; others may ask for gigabytes.
		if strings.HasPrefix(hash, "$y$j9T$") || strings.HasPrefix(hash, "$y$j75$") {
			return 300
		}
	}
	return 0
}

// Check reports whether password is what hash was made of; false for a hash
// with no Cost.
func Check(hash, password string) bool {
	if Cost(hash) == 0 || strings.ContainsRune(password, 0) {
		return false
	}
	var err error
	switch SchemeOf(hash) {
	case DES:
		return equal(des(password, hash[:2]), hash)
	case MD5:
		err = md5_crypt.New().Verify(hash, []byte(password))
	case APR1:
		err = apr1_crypt.New().Verify(hash, []byte(password))
	case SHA256:
		err = sha256_crypt.New().Verify(hash, []byte(password))
	case SHA512:
		err = sha512_crypt.New().Verify(hash, []byte(password))
	case BCrypt:
		err = bcrypt.CompareHashAndPassword([]byte(hash), []byte(password))
	case Yescrypt:
		got, e := yescrypt.Hash([]byte(password), []byte(hash))
		return e == nil && equal(string(got), hash)
	case LDAPSHA:
		sum := sha1.Sum([]byte(password))
		return equal("{SHA}"+base64.StdEncoding.EncodeToString(sum[:]), hash)
	case NT:
		h := md4.New()
		for _, c := range utf16.Encode([]rune(password)) {
			h.Write([]byte{byte(c), byte(c >> 8)})
		}
		return equal(hex.EncodeToString(h.Sum(nil)), strings.ToLower(hash))
	default:
		err = errors.ErrUnsupported
	}
	return err == nil
}

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
