/* The program that the Go tests drive; not part of the SDK. Plain sockets; what
 * stands for TLS is a relay of the test, and Ed25519 is asked of the test over
 * standard input. */
#include "../../ringwall.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static size_t load(const char *path, uint8_t *buf, size_t cap)
{
	FILE *f = fopen(path, "rb");
	size_t n;

	if (f == NULL) {
		perror(path);
		exit(2);
	}
	n = fread(buf, 1, cap, f);
	fclose(f);
	return n;
}

static void hex(const uint8_t *b, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		printf("%02x", b[i]);
}

/* ---- decide: flows from standard input, a verdict a line ---- */

static int run_decide(const char *path)
{
	static uint8_t buf[RW_MAX_POLICY + 1];
	size_t n = load(path, buf, sizeof buf);
	uint8_t *exact = malloc(n); /* so that the sanitizer sees one byte too many */
	struct rw_policy p;
	char addr[64], name[300];
	unsigned dir, proto, port;
	uint64_t now;

	memcpy(exact, buf, n);
	if (rw_policy_read(&p, exact, n) != RW_OK) {
		puts("invalid");
		free(exact);
		return 0;
	}
	while (scanf("%u %u %63s %u %299s %" SCNu64, &dir, &proto, addr, &port, name, &now) == 6) {
		struct rw_flow f;
		struct rw_verdict v;

		memset(&f, 0, sizeof f);
		f.direction = (uint8_t)dir;
		f.proto = (uint8_t)proto;
		f.port = (uint16_t)port;
		f.name = strcmp(name, "-") == 0 ? NULL : name;
		if (inet_pton(AF_INET, addr, f.addr) == 1)
			f.addr_len = 4;
		else if (inet_pton(AF_INET6, addr, f.addr) == 1)
			f.addr_len = 16;
		v = rw_decide(&p, &f, now);
		printf("%d %d %s\n", v.pass, v.would, v.reason);
	}
	free(exact);
	return 0;
}

/* ---- a client over memory or a socket ---- */

struct world {
	int fd;
	const uint8_t *in; /* fed from memory when fd < 0 */
	size_t left;
	int yes; /* what verify says without asking; -1 = ask */
	FILE *keep;
	uint64_t now;
	unsigned long changes, acks;
};

static int w_read(void *ctx, uint8_t *buf, size_t cap, int timeout_ms)
{
	struct world *w = ctx;
	struct pollfd p;
	ssize_t n;

	if (w->fd < 0) {
		n = (ssize_t)(w->left < cap ? w->left : cap);
		if (n > 3)
			n = 3; /* in small pieces */
		if (n == 0)
			return -1;
		memcpy(buf, w->in, (size_t)n);
		w->in += n;
		w->left -= (size_t)n;
		return (int)n;
	}
	p.fd = w->fd;
	p.events = POLLIN;
	if (poll(&p, 1, timeout_ms) <= 0)
		return 0;
	n = recv(w->fd, buf, cap, 0);
	return n <= 0 ? -1 : (int)n;
}

static int w_write(void *ctx, const uint8_t *buf, size_t len)
{
	struct world *w = ctx;

	while (w->fd >= 0 && len > 0) {
		ssize_t n = send(w->fd, buf, len, MSG_NOSIGNAL);

		if (n <= 0)
			return -1;
		buf += n;
		len -= (size_t)n;
	}
	return 0;
}

static uint64_t w_now(void *ctx)
{
	struct world *w = ctx;
	return w->now != 0 ? w->now : (uint64_t)time(NULL);
}

static uint64_t w_ticks(void *ctx)
{
	struct timespec t;
	(void)ctx;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static int w_verify(void *ctx, const char *key_id, const uint8_t *msg, size_t len, const uint8_t sig[64])
{
	struct world *w = ctx;
	int answer = 1;

	if (w->yes >= 0)
		return w->yes;
	printf("verify %s ", key_id);
	hex(msg, len);
	printf(" ");
	hex(sig, 64);
	printf("\n");
	fflush(stdout);
	if (scanf("%d", &answer) != 1)
		return 1;
	return answer;
}

static int w_keep(void *ctx, const uint8_t *p, size_t len)
{
	struct world *w = ctx;

	if (w->keep == NULL)
		return 0;
	rewind(w->keep);
	return fwrite(p, 1, len, w->keep) == len && fflush(w->keep) == 0 ? 0 : 1;
}

static void w_changed(void *ctx, const struct rw_policy *p, int restriction)
{
	struct world *w = ctx;

	w->changes++;
	if (w->fd >= 0) {
		printf("changed %" PRIu64 " %d %d\n", p->generation, p->mode, restriction);
		fflush(stdout);
	}
}

static void w_acked(void *ctx, uint64_t epoch, uint64_t seq, const char *error)
{
	struct world *w = ctx;

	w->acks++;
	if (w->fd >= 0) {
		printf("acked %" PRIu64 " %" PRIu64 " %s\n", epoch, seq, error);
		fflush(stdout);
	}
}

static uint8_t *buf, *policy_a, *policy_b;
#define BUF (RW_MAX_POLICY + 512)

static void setup(struct rw_client *c, struct world *w, const char *org, const char *gw, int mqtt)
{
	struct rw_config cfg;

	memset(&cfg, 0, sizeof cfg);
	if (buf == NULL) {
		buf = malloc(BUF);
		policy_a = malloc(BUF);
		policy_b = malloc(BUF);
	}
	cfg.org = org;
	cfg.gateway = gw;
	cfg.mqtt = mqtt;
	cfg.ctx = w;
	cfg.read = w_read;
	cfg.write = w_write;
	cfg.now = w_now;
	cfg.ticks = w_ticks;
	cfg.verify = w_verify;
	cfg.keep = w_keep;
	cfg.changed = w_changed;
	cfg.acked = w_acked;
	cfg.buf = buf;
	cfg.buf_cap = BUF;
	cfg.policy_a = policy_a;
	cfg.policy_b = policy_b;
	cfg.policy_cap = BUF;
	if (rw_init(c, &cfg) != RW_OK)
		exit(2);
}

static int run_client(char **a) /* address port org gateway mqtt epoch keep */
{
	struct world w;
	struct rw_client c;
	struct sockaddr_in to;
	static uint8_t out[4096], kept[BUF];
	uint8_t rec[512];
	struct rw_batch b;
	struct rw_flow f;
	struct rw_flow_report r;
	struct rw_verdict v;
	size_t n;
	int code, len;

	memset(&w, 0, sizeof w);
	w.fd = -1;
	w.yes = -1;
	setup(&c, &w, a[2], a[3], atoi(a[4]));
	w.keep = fopen(a[6], "r+b");
	if (w.keep == NULL)
		w.keep = fopen(a[6], "w+b");
	n = fread(kept, 1, sizeof kept, w.keep);
	if (n > 0)
		printf("restored %d\n", rw_restore(&c, kept, n));
	w.fd = socket(AF_INET, SOCK_STREAM, 0);
	memset(&to, 0, sizeof to);
	to.sin_family = AF_INET;
	to.sin_port = htons((uint16_t)atoi(a[1]));
	if (inet_pton(AF_INET, a[0], &to.sin_addr) != 1 || connect(w.fd, (struct sockaddr *)&to, sizeof to) != 0) {
		perror("connect");
		return 2;
	}
	code = rw_connect(&c, 10000);
	printf("connected %d\n", code);
	fflush(stdout);
	if (code != RW_OK)
		goto out;
	memset(&f, 0, sizeof f);
	f.proto = 6;
	f.addr_len = 4;
	memcpy(f.addr, "\xcb\x00\x71\x05", 4); /* 203.0.113.5 */
	f.port = 443;
	f.name = "api.example";
	memset(&r, 0, sizeof r);
	r.start_us = (uint64_t)time(NULL) * 1000000;
	r.end_us = r.start_us + 5;
	r.packets_up = 1;
	r.remote_port = 443;
	v = rw_decide(rw_current(&c), &f, w_now(&w));
	rw_batch_begin(&b, out, sizeof out, strtoull(a[5], NULL, 10), 0, 1);
	code = rw_batch_add(&b, "health", (int64_t)time(NULL) * 1000000000, "{\"version\":\"c\"}", 15);
	len = rw_flow_record(rec, sizeof rec, rw_current(&c), &f, &v, &r);
	if (code == RW_OK && len > 0)
		code = rw_batch_add(&b, "flow", (int64_t)time(NULL) * 1000000000, rec, (size_t)len);
	if (code == RW_OK)
		code = rw_report(&c, &b);
	printf("reported %d\n", code);
	fflush(stdout);
	do {
		code = rw_poll(&c, 200);
		if (code != RW_OK && code != RW_ERR_TIMEOUT)
			printf("poll %d\n", code);
		fflush(stdout);
	} while (rw_connected(&c) && (rw_current(&c) == NULL || rw_restriction(rw_current(&c), w_now(&w)) != RW_CUTOFF));
	rw_disconnect(&c);
out:
	close(w.fd);
	fclose(w.keep);
	free(buf);
	free(policy_a);
	free(policy_b);
	return 0;
}

/* ---- wild: what comes is garbage, again and again ---- */

static uint64_t state = UINT64_C(88172645463325252);

static uint64_t rnd(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static size_t mutate(uint8_t *b, size_t n, size_t cap)
{
	unsigned k, edits = (unsigned)(rnd() % 8);

	for (k = 0; k < edits && n > 0; k++) {
		switch (rnd() % 5) {
		case 0:
			b[rnd() % n] ^= (uint8_t)(1u << (rnd() % 8));
			break;
		case 1:
			b[rnd() % n] = (uint8_t)rnd();
			break;
		case 2:
			n = rnd() % n;
			break;
		case 3:
			if (n + 16 < cap) {
				size_t m = rnd() % 16;
				while (m-- > 0)
					b[n++] = (uint8_t)rnd();
			}
			break;
		default:
			b[rnd() % n] = rnd() % 2 ? 0xff : 0;
		}
	}
	return n;
}

static int run_wild(const char *policy, const char *answer, unsigned long rounds) /* golden files */
{
	static uint8_t gold[BUF], gold2[BUF], b[BUF];
	static const char t[] = "rw/org_06e0g7z1qk2m3n4p5q6r7s8t9v/gw_06e0g7z1qk2m3n4p5q6r7s8t9v/desired";
	size_t n = load(policy, gold, sizeof gold), m = load(answer, gold2, sizeof gold2);
	unsigned long i, good = 0, taken = 0;
	struct rw_client c;

	for (i = 0; i < rounds; i++) {
		struct rw_policy p;
		struct world w;
		struct rw_flow f;
		uint8_t *exact;
		size_t len, at = 0, body;
		int mqtt = rnd() % 2 ? 5 : 4;

		/* a policy by itself */
		memcpy(b, gold, n);
		len = mutate(b, n, sizeof b);
		exact = malloc(len + 1);
		memcpy(exact, b, len);
		memset(&f, 0, sizeof f);
		f.addr_len = rnd() % 2 ? 4 : 16;
		f.proto = 6;
		f.name = rnd() % 2 ? "a.cloud.example" : "";
		f.port = (uint16_t)rnd();
		if (rw_policy_read(&p, exact, len) == RW_OK) {
			good++;
			(void)rw_decide(&p, &f, rnd() % 2 ? 0 : 1790000000);
		}
		free(exact);

		/* a connection: CONNACK, SUBACK, an answer, all of it bent */
		if (mqtt == 5) {
			memcpy(b, "\x20\x03\x00\x00\x00\x90\x06\x00\x02\x00\x00\x00\x00", 13);
			at = 13;
		} else {
			memcpy(b, "\x20\x02\x00\x00\x90\x05\x00\x01\x00\x00\x00", 11);
			at = 11;
		}
		if (mqtt == 5)
			b[8] = 1;
		body = 2 + sizeof t - 1 + (mqtt == 5 ? 1 : 0) + m;
		b[at++] = 0x30;
		do {
			b[at] = (uint8_t)(body & 0x7f);
			body >>= 7;
			b[at++] |= body ? 0x80 : 0;
		} while (body);
		b[at++] = 0;
		b[at++] = sizeof t - 1;
		memcpy(b + at, t, sizeof t - 1);
		at += sizeof t - 1;
		if (mqtt == 5)
			b[at++] = 0;
		memcpy(b + at, gold2, m);
		at += m;
		at = mutate(b, at, sizeof b);
		exact = malloc(at + 1);
		memcpy(exact, b, at);
		memset(&w, 0, sizeof w);
		w.fd = -1;
		w.in = exact;
		w.left = at;
		w.yes = 0;
		w.now = 1790000000;
		setup(&c, &w, "org_06e0g7z1qk2m3n4p5q6r7s8t9v", "gw_06e0g7z1qk2m3n4p5q6r7s8t9v", mqtt);
		if (rw_connect(&c, 1000) == RW_OK)
			while (rw_connected(&c))
				(void)rw_poll(&c, 0);
		taken += w.changes != 0;
		free(exact);
	}
	printf("%lu policies read, %lu taken over a connection, of %lu\n", good, taken, rounds);
	free(buf);
	free(policy_a);
	free(policy_b);
	return good > 0 && taken > 0 ? 0 : 1;
}

static int run_golden(const char *batch) /* writes the batch of the golden file */
{
	static uint8_t out[512], want[512];
	struct rw_batch b;
	size_t n = load(batch, want, sizeof want);

	rw_batch_begin(&b, out, sizeof out, 5, 1, 9);
	if (rw_batch_add(&b, "health", INT64_C(1790000001000000005), "{\"version\":\"c\"}", 15) != RW_OK)
		return 1;
	if (b.len != n || memcmp(out, want, n) != 0) {
		hex(out, b.len);
		puts("");
		return 1;
	}
	/* What does not fit leaves the batch as it was. */
	b.cap = b.len + 3;
	if (rw_batch_add(&b, "health", 1, "{}", 2) != RW_ERR_SPACE || b.len != n || memcmp(out, want, n) != 0)
		return 1;
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "decide") == 0)
		return run_decide(argv[2]);
	if (argc == 3 && strcmp(argv[1], "golden") == 0)
		return run_golden(argv[2]);
	if (argc == 5 && strcmp(argv[1], "wild") == 0)
		return run_wild(argv[2], argv[3], strtoul(argv[4], NULL, 10));
	if (argc == 9 && strcmp(argv[1], "client") == 0)
		return run_client(argv + 2);
	return 2;
}
