package dnsguard

import (
	"strings"

	"github.com/ringwall/ringwall/internal/policy"
)

// canaries are names by which clients ask whether they may resolve past us, or
// hide where they go; no such name means they may not: Firefox, Apple's private
// relay, and the discovery of encrypted resolvers (RFC 9462 section 4).
func canary(name string) bool {
	switch name {
	case "use-application-dns.net", "mask.icloud.com", "mask-h2.icloud.com", "mask-api.icloud.com", "resolver.arpa":
		return true
	}
	return strings.HasSuffix(name, ".resolver.arpa")
}

// hiders are resolvers over HTTPS or TLS that clients carry in their settings.
// Who reaches one is told names that we never see. They are refused below
// wildcards too; a term that names one in full opens it.
var hiders = [...]string{
	"dns.google", "dns.google.com", "dns64.dns.google", "8888.google",
	"one.one.one.one", "*.one.one.one.one", "cloudflare-dns.com", "*.cloudflare-dns.com", "*.cloudflare-gateway.com", "odoh.cloudflare-dns.com",
	"*.quad9.net", "doh.opendns.com", "dns.opendns.com", "doh.familyshield.opendns.com", "dns.umbrella.com", "doh.umbrella.com",
	"dns.adguard.com", "*.adguard.com", "*.adguard-dns.com", "adguard-dns.com", "*.nextdns.io", "*.controld.com", "*.cleanbrowsing.org",
	"*.mullvad.net", "*.libredns.gr", "doh.dns.sb", "*.dns.sb", "dot.sb", "*.dnsforge.de", "dns.digitale-gesellschaft.ch", "*.applied-privacy.net", "doh.applied-privacy.net",
	"dns.alidns.com", "*.alidns.com", "doh.pub", "*.doh.pub", "dot.pub", "*.dot.pub", "doh.360.cn", "dot.360.cn", "dns.pub", "doh.onedns.net", "dot.onedns.net", "*.onedns.net", "dns.tuna.tsinghua.edu.cn",
	"doh.xfinity.com", "dot.xfinity.com", "dns.twnic.tw", "doh.dnslify.com", "*.dnslify.com", "dns.switch.ch", "*.canadianshield.cira.ca",
	"doh.tiarap.org", "*.tiar.app", "doh.li", "doh.ffmuc.net", "dot.ffmuc.net", "*.dns0.eu", "dns0.eu", "*.joindns4.eu", "dns.njal.la", "doh.powerdns.org", "*.rethinkdns.com",
}

func hidesNames(name string) bool {
	for _, p := range hiders {
		if policy.MatchName(p, name) {
			return true
		}
	}
	return false
}
