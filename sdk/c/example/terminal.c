/*
 * A terminal on Linux with OpenSSL: mutual TLS to the platform's MQTT door,
 * Ed25519 by OpenSSL, the policy kept in a file.
 *
 *   cc -std=gnu99 -I.. -o terminal terminal.c ../policy.c ../client.c -lssl -lcrypto
 *   ./terminal HOST PORT ORG GATEWAY client.pem ca.crt KEYID KEY.hex policy.bin
 *
 * client.pem holds the key and the certificate that enrolment gave, ca.crt the
 * platform's authority; KEYID and KEY.hex are of "signingKeys" in the answer to
 * enrolment, the key as 64 hex digits.
 */
#include "../ringwall.h"

#include <netdb.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct terminal {
	SSL *ssl;
	int fd;
	const char *key_id, *file;
	uint8_t key[32];
};

static int tls_read(void *ctx, uint8_t *buf, size_t cap, int timeout_ms)
{
	struct terminal *t = ctx;
	struct pollfd p = {t->fd, POLLIN, 0};
	int n;

	if (SSL_pending(t->ssl) == 0 && poll(&p, 1, timeout_ms) <= 0)
		return 0;
	n = SSL_read(t->ssl, buf, cap > 65536 ? 65536 : (int)cap);
	return n > 0 ? n : -1;
}

static int tls_write(void *ctx, const uint8_t *buf, size_t len)
{
	struct terminal *t = ctx;

	return SSL_write(t->ssl, buf, (int)len) == (int)len ? 0 : -1;
}

static uint64_t now(void *ctx)
{
	(void)ctx;
	return (uint64_t)time(NULL);
}

static uint64_t ticks(void *ctx)
{
	struct timespec t;

	(void)ctx;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static int verify(void *ctx, const char *key_id, const uint8_t *msg, size_t len, const uint8_t sig[64])
{
	struct terminal *t = ctx;
	EVP_PKEY *key;
	EVP_MD_CTX *md;
	int ok = 0;

	if (strcmp(key_id, t->key_id) != 0)
		return 1;
	key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, t->key, sizeof t->key);
	md = EVP_MD_CTX_new();
	if (key != NULL && md != NULL && EVP_DigestVerifyInit(md, NULL, NULL, NULL, key) == 1)
		ok = EVP_DigestVerify(md, sig, 64, msg, len) == 1;
	EVP_MD_CTX_free(md);
	EVP_PKEY_free(key);
	return ok ? 0 : 1;
}

static int keep(void *ctx, const uint8_t *p, size_t len)
{
	struct terminal *t = ctx;
	char tmp[512];
	FILE *f;
	int bad;

	if (snprintf(tmp, sizeof tmp, "%s.new", t->file) >= (int)sizeof tmp || (f = fopen(tmp, "wb")) == NULL)
		return 1;
	bad = fwrite(p, 1, len, f) != len || fflush(f) != 0 || fsync(fileno(f)) != 0;
	if (fclose(f) != 0 || bad)
		return 1;
	return rename(tmp, t->file);
}

static void changed(void *ctx, const struct rw_policy *p, int restriction)
{
	(void)ctx;
	printf("policy %llu is in force, restriction %d\n", (unsigned long long)p->generation, restriction);
	fflush(stdout);
	/* Here: close every connection that rw_decide does not let pass any more. */
}

static int dial(const char *host, const char *port)
{
	struct addrinfo hints, *all, *a;
	int fd = -1;

	memset(&hints, 0, sizeof hints);
	hints.ai_socktype = SOCK_STREAM;
	if (getaddrinfo(host, port, &hints, &all) != 0)
		return -1;
	for (a = all; a != NULL && fd < 0; a = a->ai_next) {
		fd = socket(a->ai_family, a->ai_socktype, a->ai_protocol);
		if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen) != 0) {
			close(fd);
			fd = -1;
		}
	}
	freeaddrinfo(all);
	return fd;
}

int main(int argc, char **argv)
{
	static uint8_t buf[RW_MAX_POLICY + 512], a[RW_MAX_POLICY + 512], b[RW_MAX_POLICY + 512], kept[RW_MAX_POLICY + 512];
	struct terminal t;
	struct rw_config cfg;
	struct rw_client c;
	SSL_CTX *tls;
	FILE *f;
	int i, code;

	if (argc != 10 || strlen(argv[8]) != 64) {
		fprintf(stderr, "usage: %s HOST PORT ORG GATEWAY client.pem ca.crt KEYID KEY.hex policy.bin\n", argv[0]);
		return 2;
	}
	memset(&t, 0, sizeof t);
	t.key_id = argv[7];
	t.file = argv[9];
	for (i = 0; i < 32; i++) {
		unsigned v;

		if (sscanf(argv[8] + 2 * i, "%2x", &v) != 1)
			return 2;
		t.key[i] = (uint8_t)v;
	}
	memset(&cfg, 0, sizeof cfg);
	cfg.org = argv[3];
	cfg.gateway = argv[4];
	cfg.mqtt = 5;
	cfg.ctx = &t;
	cfg.read = tls_read;
	cfg.write = tls_write;
	cfg.now = now;
	cfg.ticks = ticks;
	cfg.verify = verify;
	cfg.keep = keep;
	cfg.changed = changed;
	cfg.buf = buf;
	cfg.buf_cap = sizeof buf;
	cfg.policy_a = a;
	cfg.policy_b = b;
	cfg.policy_cap = sizeof a;
	if (rw_init(&c, &cfg) != RW_OK)
		return 2;
	if ((f = fopen(t.file, "rb")) != NULL) { /* the last policy holds while the platform is away */
		size_t n = fread(kept, 1, sizeof kept, f);

		fclose(f);
		if (rw_restore(&c, kept, n) != RW_OK)
			fprintf(stderr, "the kept policy is not taken\n");
	}
	tls = SSL_CTX_new(TLS_client_method());
	if (tls == NULL || SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION) != 1 || SSL_CTX_load_verify_locations(tls, argv[6], NULL) != 1 ||
	    SSL_CTX_use_certificate_chain_file(tls, argv[5]) != 1 || SSL_CTX_use_PrivateKey_file(tls, argv[5], SSL_FILETYPE_PEM) != 1)
		return 2;
	SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
	for (;; sleep(5)) { /* whoever has many terminals waits by chance, and longer each time */
		t.fd = dial(argv[1], argv[2]);
		t.ssl = SSL_new(tls);
		/* The platform's certificate always carries this name. */
		if (t.fd >= 0 && t.ssl != NULL && SSL_set1_host(t.ssl, "spine.ringwall.internal") == 1 && SSL_set_fd(t.ssl, t.fd) == 1 && SSL_connect(t.ssl) == 1) {
			code = rw_connect(&c, 10000);
			while (rw_connected(&c))
				code = rw_poll(&c, 1000);
			fprintf(stderr, "the connection ended: %d\n", code);
		}
		SSL_free(t.ssl);
		if (t.fd >= 0)
			close(t.fd);
	}
}
