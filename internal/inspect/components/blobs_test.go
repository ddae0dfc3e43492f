package components

import (
	"bytes"
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// Made-up binaries: what a program would say of itself, between noise.

// blob lays strings out as a linker would, with machine code around them.
func blob(texts []string) []byte {
	r := rand.New(rand.NewPCG(7, 9))
	noise := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(r.Uint32())
			if printable(b[i]) {
				b[i] |= 0x80
			}
		}
		return b
	}
	out := append([]byte("\x7fELF\x01\x01\x01\x00"), noise(3000)...)
	for _, s := range texts {
		out = append(append(append(out, 0), s...), 0)
	}
	return append(out, noise(5000)...)
}

var positives = []struct {
	component, file, version string
	texts                    []string
}{
	{"alsa-lib", "libasound.so.2.0.0", "1.1.8", []string{"snd_pcm_open", "1.1.8", "ALSA lib %s:%i:(%s) "}},
	{"alsa-utils", "alsactl", "1.2.4", []string{"alsactl version 1.2.4"}},
	{"appweb", "appweb", "4.6.6", []string{"Embedthis-Appweb/4.6.6"}},
	{"avahi", "avahi-daemon", "0.7", []string{"avahi 0.7", "%s 0.7 starting up."}},
	{"axtls", "axhttpd", "1.5.3", []string{"axTLS 1.5.3"}},
	{"bash", "bash", "4.4.20", []string{"@(#)Bash version 4.4.20(1) release GNU"}},
	{"bind", "libisc.so", "9.16.50", []string{"libisc-9.16.50-Debian.so"}},
	{"bluez", "bluetoothd", "5.50", []string{"Bluetooth daemon %s", "5.50", "bluetooth"}},
	{"boa", "boa", "0.94.14rc21", []string{"Server: Boa/0.94.14rc21"}},
	{"boa", "httpd", "", []string{"/etc/boa/boa.conf", "DocumentRoot", "Unable to open access log"}},
	{"busybox", "busybox", "1.22.1", []string{"BusyBox v1.22.1 (2017-05-06 10:20:30 CST)", "Usage: busybox [function]"}},
	{"bzip2", "libbz2.so.1.0", "1.0.6", []string{"1.0.6, 6-Sept-2010", "1.0.6, 06-Sep-2010"}},
	{"chrony", "chronyd", "4.0", []string{"chronyd exiting", "4.0"}},
	{"civetweb", "webd", "1.15", []string{"CivetWeb V1.15 built on %s"}},
	{"cjson", "libcjson.so.1.7.14", "1.7.14", []string{"cJSON_Parse", "libcjson.so.1"}},
	{"coreutils", "ls", "8.32", []string{"GNU coreutils 8.32"}},
	{"cpio", "cpio", "2.13", []string{"GNU cpio", "2.13"}},
	{"curl", "curl", "7.60.0", []string{"curl 7.60.0 (arm-unknown-linux-gnu) %s", "curl/7.60.0", "curl: option %s: %s"}},
	{"cyassl", "libcyassl.so.5", "3.3.0", []string{"CyaSSL", "3.3.0"}},
	{"dbus", "libdbus-1.so.3", "1.12.16", []string{"libdbus 1.12.16", "LIBDBUS_PRIVATE_1.12.16"}},
	{"dhcpcd", "dhcpcd", "6.11.5", []string{"dhcpcd-6.11.5 starting"}},
	{"dnsmasq", "dnsmasq", "2.80", []string{"dnsmasq-2.80", "started, version %s cachesize %d"}},
	{"dosfstools", "mkfs.fat", "4.1", []string{"mkfs.fat 4.1 (2017-01-24)"}},
	{"dropbear", "dropbearmulti", "2017.75", []string{"SSH-2.0-dropbear_2017.75"}},
	{"dropbear", "dropbear", "2019.78", []string{"SSH-2.0-dropbear", "Dropbear server v%s https://matt.ucc.asn.au/dropbear/dropbear.html", "2019.78"}},
	{"dropbear", "dropbear", "0.52", []string{"SSH-2.0-dropbear_0.52"}},
	{"e2fsprogs", "libext2fs.so.2.4", "1.44.5", []string{"EXT2FS Library version 1.44.5"}},
	{"ethtool", "ethtool", "5.4", []string{"ethtool version 5.4"}},
	{"expat", "libexpat.so.1.6.0", "2.1.0", []string{"expat_2.1.0", "unclosed token"}},
	{"ffmpeg", "libavcodec.so.58", "4.1.3", []string{"FFmpeg version 4.1.3"}},
	{"ffmpeg", "libavutil.so.55", "3.3.9", []string{"FFmpeg version n3.3.9-2-gabcdef"}},
	{"fuse", "libfuse.so.2.9.7", "2.9.7", []string{"FUSE library version: %s", "fuse: ", "2.9.7"}},
	{"gdb", "gdbserver", "7.12", []string{"GNU gdbserver %s%s", "7.12"}},
	{"glib", "libgio-2.0.so.0.5800.3", "2.58.3", []string{"<!-- GDBus 2.58.3 -->"}},
	{"glibc", "libc-2.29.so", "2.29", []string{"GNU C Library (Buildroot) stable release version 2.29.", "NPTL 2.29"}},
	{"gnutls", "libgnutls.so.30", "3.6.7", []string{"Enabled GnuTLS 3.6.7 logging..."}},
	{"goahead", "webs", "2.5.0", []string{"Server: GoAhead-Webs/2.5.0"}},
	{"goahead", "httpd", "", []string{"Server: GoAhead-Webs", "/goform/"}},
	{"gsoap", "onvifd", "2.8.15", []string{"@(#) soapServer.c ver 2.8.15 2016-05-26 07:20:31 GMT", "gSOAP/2.8"}},
	{"gsoap", "ipcd", "2.7", []string{"gSOAP/2.7", "soap_serve"}},
	{"gstreamer", "libgstreamer-1.0.so.0", "1.14.4", []string{"GStreamer", "1.14.4", "gst_element_register"}},
	{"gzip", "gzip", "1.9", []string{"gzip: ", "1.9"}},
	{"haproxy", "haproxy", "2.2.9", []string{"haproxy", " version 2.2.9-2, released 2021/02/06"}},
	{"hiawatha", "hiawatha", "10.10", []string{"Hiawatha v10.10"}},
	{"hostapd", "hostapd", "2.7-devel", []string{"hostapd v2.7-devel", "User space daemon for IEEE 802.11 AP management,"}},
	{"hostapd", "hostapd", "2.10", []string{"hostapd v%s", "2.10", "User space daemon for IEEE 802.11 AP management,"}},
	{"igmpproxy", "igmpproxy", "0.3", []string{"igmpproxy 0.3"}},
	{"inadyn", "inadyn", "1.99.2", []string{"Inadyn version 1.99.2 -- Dynamic DNS update client."}},
	{"inetutils", "telnetd", "1.9.4", []string{"telnetd (GNU inetutils) %s", "1.9.4"}},
	{"intel-upnp", "upnpd", "1.2", []string{"%s/%s, UPnP/1.0, Intel SDK for UPnP devices /1.2"}},
	{"iproute2", "ip", "ss130903", []string{"ip utility, iproute2-ss130903"}},
	{"iproute2", "tc", "5.7.0", []string{"tc utility, iproute2-%s", "5.7.0"}},
	{"iptables", "xtables-multi", "1.4.21", []string{"iptables v%s: unknown", "1.4.21"}},
	{"isc-dhcp", "dhcpd", "4.1-ESV-R8", []string{"Internet Systems Consortium DHCP Server", "4.1-ESV-R8"}},
	{"jansson", "libjansson.so.4.11.1", "2.12", []string{"json_object_set", "2.12"}},
	{"json-c", "libjson-c.so.2.0.1", "0.12.1", []string{"json_object_new_object", "0.12.1"}},
	{"kmod", "kmod", "26", []string{"kmod version 26"}},
	{"ldns", "libldns.so.2", "1.7.0", []string{"ldns_rr", "1.7.0"}},
	{"libarchive", "libarchive.so.13", "3.3.3", []string{"libarchive 3.3.3"}},
	{"libav", "libavcodec.so.56", "11.12", []string{"Libav version 11.12"}},
	{"libcoap", "libcoap-2.so", "4.2.1", []string{"libcoap 4.2.1"}},
	{"libcurl", "libcurl.so.4", "7.40.0", []string{"libcurl/7.40.0", "CLIENT libcurl 7.40.0"}},
	{"libevent", "libevent-2.0.so.5", "2.0.22", []string{"2.0.22-stable", "event_base_new"}},
	{"libgcrypt", "libgcrypt.so.20", "1.8.4", []string{"This is Libgcrypt 1.8.4 - The GNU Crypto Library"}},
	{"libjpeg", "libjpeg.so.8", "8d", []string{"8d  15-Jan-2012", "Copyright (C) 2012, Thomas G. Lane, Guido Vollbeding"}},
	{"libjpeg-turbo", "libjpeg.so.62", "1.5.3", []string{"libjpeg-turbo version 1.5.3 (build 20171214)", "6b  27-Mar-1998", "Not a JPEG file: starts with 0x%02x 0x%02x"}},
	{"libmad", "libmad.so.0", "0.15.1", []string{"MPEG Audio Decoder 0.15.1 (beta)"}},
	{"libmicrohttpd", "libmicrohttpd.so.12", "0.9.70", []string{"MHD_start_daemon", "0.9.70"}},
	{"libpcap", "libpcap.so.1", "1.9.1", []string{"libpcap version 1.9.1 (with TPACKET_V3)"}},
	{"libpng", "libpng16.so.16", "1.6.37", []string{" libpng version 1.6.37 - April 14, 2019"}},
	{"libressl", "libcrypto.so.45", "2.9.2", []string{"LibreSSL 2.9.2", "libressl", "OPENSSLDIR"}},
	{"libsrtp", "libsrtp2.so.1", "2.3.0", []string{"libsrtp2 2.3.0"}},
	{"libssh", "libssh.so.4", "0.9.3", []string{"SSH-2.0-libssh_0.9.3"}},
	{"libssh", "libssh.so.4", "0.6.3", []string{"SSH-2.0-libssh-0.6.3"}},
	{"bind", "named", "9.11.5-P4", []string{"/etc/bind/named.conf", "9.11.5-P4-5.1"}},
	{"mp4v2", "libmp4v2.so.2", "2.0.0", []string{"MP4Create", "2.0.0"}},
	{"iperf", "iperf", "2.0.5", []string{"iperf version 2.0.5 (08 Jul 2010) single threaded"}},
	{"iperf3", "iperf3", "3.1.3", []string{"iperf 3.1.3"}},
	{"libssh2", "libssh2.so.1", "1.9.0", []string{"SSH-2.0-libssh2_1.9.0"}},
	{"libtiff", "libtiff.so.5", "4.0.10", []string{"LIBTIFF, Version 4.0.10"}},
	{"libupnp", "libupnp.so.6", "1.6.18", []string{"%s/%s, UPnP/1.0, Portable SDK for UPnP devices/1.6.18"}},
	{"libvpx", "libvpx.so.6", "1.8.2", []string{"WebM Project VP8 Decoder v1.8.2"}},
	{"libwebsockets", "libwebsockets.so.16", "4.0.1", []string{"lws_create_context", "4.0.1-unknown-build-hash"}},
	{"libxml2", "libxml2.so.2", "2.9.10", []string{"20910", "Start tag expected, '<' not found"}},
	{"libxml2", "libxml2.so.2", "2.12.7", []string{"21207", "Start tag expected, '<' not found"}},
	{"lighttpd", "lighttpd", "1.4.45", []string{"lighttpd/1.4.45 (ssl) - a light and fast webserver", "server.document-root"}},
	{"linux", "vmlinux", "3.10.14", []string{"Linux version 3.10.14-Archon (builder@host) (gcc version 4.7.2 (Ingenic r2.3.3 2016.12) ) #1 PREEMPT"}},
	{"linux", "wifi.ko", "3.4.35", []string{"vermagic=3.4.35 mod_unload ARMv5 "}},
	{"live555", "rtspd", "2013.08.31", []string{"(LIVE555 Streaming Media v2013.08.31)"}},
	{"live555", "libliveMedia.so", "2020.11.19", []string{"liveMedia", "2020.11.19"}},
	{"live555", "camd", "", []string{"(LIVE555 Streaming Media v", "m=video 0 RTP/AVP 96"}},
	{"logrotate", "logrotate", "3.14.0", []string{"logrotate 3.14.0 - Copyright (C) 1995-2001 Red Hat, Inc."}},
	{"lua", "liblua.so.5.1.5", "5.1.5", []string{"$Lua: Lua 5.1.5 Copyright (C) 1994-2012 Lua.org, PUC-Rio $"}},
	{"matrixssl", "webs", "3.2.1", []string{"PeerSec-MatrixSSL/3.2.1-OPEN"}},
	{"mbedtls", "libmbedcrypto.so.3", "2.16.3", []string{"mbed TLS 2.16.3", "mbedtls_aes_init"}},
	{"mbedtls", "libmbedtls.so.2.16.3", "2.16.3", []string{"mbedtls_ssl_init", "libmbedcrypto.so.3"}},
	{"mdnsresponder", "mdnsd", "878.70.2", []string{"mDNSResponder-878.70.2"}},
	{"memcached", "memcached", "1.5.6", []string{"memcached 1.5.6"}},
	{"mini_httpd", "mini_httpd", "1.19", []string{"mini_httpd/1.19 19dec2003"}},
	{"minidlna", "minidlnad", "1.2.1", []string{"Server: OpenWRT DLNADOC/1.50 UPnP/1.0 MiniDLNA/1.2.1"}},
	{"minissdpd", "minissdpd", "1.5", []string{"ssdp:alive", "1.5"}},
	{"miniupnpc", "libminiupnpc.so.17", "2.1", []string{"User-Agent: Linux, UPnP/1.1, MiniUPnPc/2.1"}},
	{"miniupnpd", "miniupnpd", "1.9", []string{"Server: OpenWRT/17 UPnP/1.1 MiniUPnPd/1.9"}},
	{"mongoose", "camhttp", "5.6", []string{"Mongoose/5.6"}},
	{"mosquitto", "mosquitto", "1.6.9", []string{"mosquitto version 1.6.9 (build date %s) starting"}},
	{"mosquitto", "mosquitto", "2.0.11", []string{"mosquitto version %s starting", "2.0.11", "127.0.0.1"}},
	{"mtd-utils", "ubinfo", "2.0.2", []string{"ubinfo version 2.0.2 - a tool to print UBI information."}},
	{"musl", "libc.so", "1.1.24", []string{"musl libc (armhf)", "1.1.24"}},
	{"nano", "nano", "3.2", []string{"GNU nano 3.2"}},
	{"ncurses", "libncurses.so.6.1", "6.1", []string{"TERMINFO_DIRS"}},
	{"net-snmp", "libnetsnmp.so.30", "5.7.3", []string{"netsnmp_init", "5.7.3"}},
	{"nghttp2", "libnghttp2.so.14", "1.41.0", []string{"nghttp2_session", "1.41.0"}},
	{"nginx", "nginx", "1.16.1", []string{"nginx version: nginx/1.16.1", "Server: nginx/1.16.1"}},
	{"ntfs-3g", "ntfs-3g", "2017.3.23", []string{"ntfs_mount", "2017.3.23"}},
	{"ntp", "ntpd", "4.2.8p10", []string{"ntpd 4.2.8p10@1.3728-o Sat Jan 1 00:00:00 UTC 2018 (1)"}},
	{"ntpsec", "ntpd", "1.2.3", []string{"ntpd ntpsec-1.2.3"}},
	{"openssh", "sshd", "7.9p1", []string{"OpenSSH_7.9p1", "SSH-2.0-OpenSSH_7.9p1"}},
	{"openssl", "libcrypto.so.1.0.0", "1.0.2k", []string{"OpenSSL 1.0.2k  26 Jan 2017", "AES part of OpenSSL 1.0.2k  26 Jan 2017"}},
	{"openssl", "camd", "1.0.1e", []string{"OpenSSL 1.0.1e 11 Feb 2013", "AES for ARMv4, CRYPTOGAMS by <appro@openssl.org>"}},
	{"openvpn", "openvpn", "2.4.7", []string{"OpenVPN 2.4.7 arm-openwrt-linux-gnu [SSL (OpenSSL)] [LZO]"}},
	{"opkg", "opkg", "0.4.2", []string{"opkg version %s", "0.4.2"}},
	{"opus", "libopus.so.0", "1.3", []string{"libopus 1.3"}},
	{"paho-mqtt", "libpaho-mqtt3c.so.1", "1.3.0", []string{"MQTTClientV3_Version 1.3.0"}},
	{"parted", "parted", "3.2", []string{"GNU Parted 3.2"}},
	{"pcre", "libpcre.so.1", "8.39", []string{"pcre_compile", "8.39 2016-06-14"}},
	{"pcre2", "libpcre2-8.so.0", "10.32", []string{"pcre2_compile_8", "10.32 2018-09-10"}},
	{"perl", "perl", "5.28.1", []string{"v5.28.1", "PERL5LIB"}},
	{"php", "php-cgi", "7.2.34", []string{"X-Powered-By: PHP/7.2.34"}},
	{"polarssl", "libpolarssl.so.7", "1.3.9", []string{"PolarSSL 1.3.9"}},
	{"pppd", "pppd", "2.4.7", []string{"pppd %s started by %s, uid %d", "2.4.7"}},
	{"pptp-client", "pptp", "1.10.0", []string{"pptp version 1.10.0"}},
	{"pptpd", "pptpd", "1.4.0", []string{"pptpd v%s", "1.4.0"}},
	{"procps-ng", "top", "3.3.15", []string{"procps-ng 3.3.15"}},
	{"proftpd", "proftpd", "1.3.6c", []string{"ProFTPD 1.3.6c"}},
	{"protobuf-c", "libprotobuf-c.so.1", "1.3.1", []string{"protobuf_c_version", "1.3.1"}},
	{"pure-ftpd", "pure-ftpd", "1.0.47", []string{"pure-ftpd v1.0.47 [privsep]"}},
	{"python", "python3.7", "3.7.3", []string{"3.7.3", "3.2.0", "PYTHONHOME"}},
	{"quagga", "zebra", "1.2.4", []string{"Quagga (version 1.2.4)", "Quagga version 1.2.4"}},
	{"radvd", "radvd", "2.17", []string{"radvd", "2.17"}},
	{"readline", "libreadline.so.8.0", "8.0", []string{"rl_insert"}},
	{"rp-pppoe", "pppoe", "3.13", []string{"Roaring Penguin PPPoE Version 3.13"}},
	{"rsync", "rsync", "3.1.3", []string{"rsync  version %s", "3.1.3"}},
	{"rsyslog", "rsyslogd", "8.1901.0", []string{"rsyslogd 8.1901.0 (aka %4d.%2.2d) compiled with:"}},
	{"samba", "smbd", "3.6.25", []string{"smbd version %s started.", "3.6.25"}},
	{"samba", "libsmbconf.so", "4.9.5", []string{"SAMBA_4.9.5"}},
	{"smartmontools", "smartctl", "6.6", []string{"smartmontools release 6.6 dated 2017-11-05"}},
	{"socat", "socat", "1.7.3.2", []string{"socat by Gerhard Rieger", "1.7.3.2"}},
	{"speex", "libspeex.so.1", "1.2.0", []string{"speex_encoder_init", "1.2.0"}},
	{"sqlite", "libsqlite3.so.0", "3.27.2", []string{"SQLite format 3", "sqlite_master", "3.27.2"}},
	{"squashfs-tools", "unsquashfs", "4.3", []string{"unsquashfs version 4.3 (2014/05/12)", "squashfs"}},
	{"squid", "squid", "4.6", []string{"squid/4.6"}},
	{"strace", "strace", "4.26", []string{"strace", "4.26"}},
	{"strongswan", "charon", "5.7.2", []string{"Status of IKE charon daemon (strongSwan 5.7.2, %s)"}},
	{"stunnel", "stunnel", "5.50", []string{"stunnel 5.50 on arm-linux platform"}},
	{"sudo", "sudo", "1.8.27", []string{"sudoers", "1.8.27"}},
	{"systemd", "systemd", "241", []string{"systemd 241 running in %ssystem mode."}},
	{"tar", "tar", "1.30", []string{"GNU tar", "1.30"}},
	{"tcpdump", "tcpdump", "4.9.3", []string{"tcpdump", "4.9.3", "pcap_open_live"}},
	{"thttpd", "thttpd", "2.25b", []string{"thttpd/2.25b 29dec2003"}},
	{"transmission", "transmission-daemon", "2.94", []string{"Transmission 2.94 (d8e60ee44f)"}},
	{"u-boot", "u-boot.bin", "2013.07", []string{"U-Boot 2013.07 (Mar 17 2017 - 11:43:39)"}},
	{"u-boot", "u-boot.bin", "1.1.4", []string{"U-Boot 1.1.4-g2ed6a0b5 (Jun  2 2015 - 15:03:50)"}},
	{"uclibc", "libuClibc-0.9.33.2.so", "0.9.33.2", []string{"_dl_app_init_array"}},
	{"uclibc-ng", "libuClibc-1.0.31.so", "1.0.31", []string{"_dl_app_init_array"}},
	{"unbound", "unbound", "1.9.0", []string{"unbound", "1.9.0"}},
	{"util-linux", "mount", "2.33.1", []string{"util-linux 2.33.1"}},
	{"vsftpd", "vsftpd", "3.0.3", []string{"(vsFTPd 3.0.3)"}},
	{"wget", "wget", "1.19.5", []string{"GNU Wget %s, a non-interactive network retriever.", "1.19.5", "1.0", "1.1"}},
	{"wireguard-tools", "wg", "1.0.20191226", []string{"wireguard-tools v%s", "1.0.20191226"}},
	{"wireless-tools", "iwconfig", "29", []string{"%-8.16s  Wireless-Tools version 29"}},
	{"wolfssl", "libwolfssl.so.24", "4.4.0", []string{"wolfSSL Entering %s", "4.4.0"}},
	{"wpa_supplicant", "wpa_supplicant", "2.6", []string{"wpa_supplicant v2.6", "Copyright (c) 2003-2016, Jouni Malinen <j@w1.fi> and contributors"}},
	{"wpa_supplicant", "wpa_supplicant", "0.7.3", []string{"wpa_supplicant v0.7.3"}},
	{"x264", "camd", "0.142.2431", []string{"x264 - core 142 r2431 a5831aa - H.264/MPEG-4 AVC codec"}},
	{"xl2tpd", "xl2tpd", "1.3.15", []string{"xl2tpd version xl2tpd-1.3.15 started on %s PID:%d"}},
	{"xz", "liblzma.so.5.2.4", "5.2.4", []string{"lzma_code"}},
	{"zlib", "libz.so.1", "1.2.8", []string{" deflate 1.2.8 Copyright 1995-2013 Jean-loup Gailly and Mark Adler "}},
}

// Texts that tempt: each looks like a component and is none, or is another.
var negatives = []struct {
	name, file string
	texts      []string
	but        string // the only component that may be named
}{
	{"a compiler's comment", "prog", []string{"GCC: (GNU) 3.3.2", "GCC: (Buildroot 2016.08) 4.9.4", "GCC: (Debian 8.3.0-6) 8.3.0"}, ""},
	{"OpenSSL's version in a program that links to it", "wpa_supplicant", []string{"wpa_supplicant v2.9", "OpenSSL 1.0.2k  26 Jan 2017", "libssl.so.1.0.0", "libcrypto.so.1.0.0"}, "wpa_supplicant"},
	{"OpenSSL's version with nothing of OpenSSL", "notes", []string{"OpenSSL 1.0.2k  26 Jan 2017"}, ""},
	{"OpenSSL's version formatted at run time", "curl", []string{"OpenSSL/%lx.%lx.%lx%s", "curl: %s"}, ""},
	{"a user agent of curl in another program", "updater", []string{"User-Agent: curl/7.35.0", "libcurl.so.4", "Mozilla/5.0"}, ""},
	{"libcurl's name in a message", "camd", []string{"please update to libcurl 7.61.0"}, ""},
	{"wpa_supplicant's control interface used by hostapd", "hostapd_cli", []string{"wpa_supplicant", "hostapd_cli v2.6"}, "hostapd"},
	{"a kernel requirement", "iptables", []string{"iptables v1.4.21", "requires Linux version 2.6.14 or later"}, "iptables"},
	{"busybox's name without a version", "install.bin", []string{"BusyBox v%s", "busybox tar"}, ""},
	{"zlib's header version in its user", "camd", []string{"1.2.11", "inflateInit2_", "libz.so.1"}, ""},
	{"the SSH banner of the peer", "sshguard", []string{"OpenSSH_2.*,OpenSSH_3.0*,OpenSSH_3.1*", "dropbear_0.4*"}, ""},
	{"PNG's version in its user", "camgui", []string{"1.6.37", "png_create_read_struct", "libpng16.so.16"}, ""},
	{"a date that is no live555", "camd", []string{"2020.11.19", "Build date"}, ""},
	{"FFmpeg from git", "libavcodec.so", []string{"FFmpeg version git-2015-06-01-abcdef"}, ""},
	{"an nginx banner in a scanner", "scan", []string{"nginx/1.4.0", "Apache/2.2.22"}, ""},
	{"a device named U-Boot", "fw", []string{"U-Boot environment 2013.07", "Invalid U-Boot 99.1 image"}, ""},
	{"x264 inside libavcodec", "libavcodec.so.58", []string{"x264 - core 0000", "x264 - core %d"}, ""},
	{"a library's name alone", "libxml2.so.2.9.4", []string{"hello"}, ""},
	{"a file named as uClibc", "libuClibc-0.9.33.2.so", []string{"hello"}, ""},
	{"Samba's version node in its client", "player", []string{"SAMBA_4.9.5", "libsmbclient.so.0"}, ""},
	{"two versions that could be meant", "pppd", []string{"pppd version %s", "2.4.7", "2.4.5"}, ""},
	{"libjpeg-turbo answers as libjpeg 6b", "libjpeg.so.62", []string{"libjpeg-turbo version 1.5.3 (build 20171214)", "6b  27-Mar-1998", "Not a JPEG file: starts with 0x%02x 0x%02x"}, "libjpeg-turbo"},
	{"avahi's answer for compatibility", "libavahi-client.so.3", []string{"avahi 0.6"}, ""},
	{"an IP address and a float", "mosquitto", []string{"mosquitto version %s", "10.0.0.1", "239.255.255.250", "1.5f"}, ""},
	{"LibreSSL is no OpenSSL", "libcrypto.so.45", []string{"LibreSSL 2.9.2", "OPENSSLDIR"}, "libressl"},
	{"pcre's version in its user", "haproxy", []string{"10.36 2020-12-04", "libpcre2-8.so.0"}, ""},
	{"mini_httpd is not thttpd", "mini_httpd", []string{"mini_httpd/1.30 26Oct2018"}, "mini_httpd"},
	{"Boa constrictor", "zoo", []string{"Boa constrictor 1.2.3", "Jiboa/0.94.13"}, ""},
}

func scanBlob(t *testing.T, file string, texts []string) map[string][]string {
	t.Helper()
	b := Shipped()
	out, err := newScanner(b).scan(context.Background(), file, bytes.NewReader(blob(texts)))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{}
	for _, f := range out {
		n := b.prints[f.fingerprint].Name
		got[n] = append(got[n], f.version)
	}
	return got
}

func TestScan_tellsEachComponent(t *testing.T) {
	tested := map[string]bool{}
	for _, c := range positives {
		tested[c.component] = true
		got := scanBlob(t, c.file, c.texts)
		if v := got[c.component]; !slices.Equal(v, []string{c.version}) {
			t.Errorf("%s in %q (%s): versions %q, want %q", c.component, c.file, strings.Join(c.texts, " | "), v, c.version)
		}
		for other, v := range got {
			if other != c.component {
				t.Errorf("%s in %q is taken for %s %q as well", c.component, c.file, other, v)
			}
		}
	}
	for _, f := range Shipped().Fingerprints() {
		if !tested[f.Name] {
			t.Errorf("fingerprint %q has no made-up binary here", f.Name)
		}
	}
}

func TestScan_isNotTempted(t *testing.T) {
	for _, c := range negatives {
		for name, versions := range scanBlob(t, c.file, c.texts) {
			if name != c.but {
				t.Errorf("%s: taken for %s %q", c.name, name, versions)
			}
		}
	}
}

// A literal must be found, and its text read, wherever the windows of the
// scanner happen to end.
func TestScan_windowsDoNotMatter(t *testing.T) {
	b := Shipped()
	want := "BusyBox v1.22.1 (2017-05-06 10:20:30 CST)"
	s := newScanner(b)
	size := cap(s.buf)
	for _, at := range []int{0, 1, window - 20, window, size - 300, size - reach - 5, size - reach, size - 20, size - 1, size, size + 1, 2*size - reach - 10, 3 * size} {
		data := append(append(bytes.Repeat([]byte{0x91}, at), want...), bytes.Repeat([]byte{0}, 700)...)
		out, err := s.scan(context.Background(), "busybox", bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		if len(out) != 1 || out[0].version != "1.22.1" {
			t.Errorf("text at %d: found %v", at, out)
		}
	}
}

// The automaton agrees with a naive search.
func TestAutomaton_findsWhatIsThere(t *testing.T) {
	literals := []string{"abc", "bcd", "abcd", "cd", "aaa", "a", "dca"}
	a, err := newAutomaton(literals)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		p := make([]byte, 50)
		for i := range p {
			p[i] = "abcde"[r.IntN(5)]
		}
		type hit struct{ l, at int }
		var got, want []hit
		cut := r.IntN(len(p))
		state := a.feed(0, p[:cut], func(l uint16, last int) { got = append(got, hit{int(l), last}) })
		a.feed(state, p[cut:], func(l uint16, last int) { got = append(got, hit{int(l), cut + last}) })
		for i := range p {
			for l, lit := range literals {
				if bytes.HasSuffix(p[:i+1], []byte(lit)) {
					want = append(want, hit{l, i})
				}
			}
		}
		order := func(x, y hit) int { return (x.at-y.at)*100 + x.l - y.l }
		slices.SortFunc(got, order)
		slices.SortFunc(want, order)
		if !slices.Equal(got, want) {
			t.Fatalf("in %q: found %v, want %v", p, got, want)
		}
	}
}
