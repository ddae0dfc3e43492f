/* The terminal's connection to the platform: MQTT, reports, policies. See
 * ringwall.h. */
#include "ringwall.h"

#include <string.h>

#define CONTEXT "ringwall terminal policy v1" /* with its NUL, before the payload in what is signed */
#define FORM 1                                /* version of the form of terminals */

enum { STATUS = 1, BATCH = 2, ACK = 3, ANSWER = 4 };
enum { CONNECT = 1, CONNACK = 2, PUBLISH = 3, PUBACK = 4, SUBSCRIBE = 8, SUBACK = 9, PINGREQ = 12, PINGRESP = 13, DISCONNECT = 14 };

#define MAX_TOPIC (3 + 2 * RW_MAX_ID + 16)

/* ---- writing ---- */

struct out {
	uint8_t *p;
	size_t cap, len;
	int full;
};

static void put(struct out *o, const void *b, size_t n)
{
	if (n > o->cap - o->len) {
		o->full = 1;
		return;
	}
	if (n > 0)
		memcpy(o->p + o->len, b, n);
	o->len += n;
}

static void put8(struct out *o, unsigned v)
{
	uint8_t b = (uint8_t)v;
	put(o, &b, 1);
}

static void put16(struct out *o, unsigned v)
{
	put8(o, v >> 8);
	put8(o, v);
}

static void put64(struct out *o, uint64_t v)
{
	int i;

	for (i = 56; i >= 0; i -= 8)
		put8(o, (unsigned)(v >> i));
}

static void put_varint(struct out *o, uint64_t v)
{
	while (v >= 0x80) {
		put8(o, (unsigned)(v & 0x7f) | 0x80);
		v >>= 7;
	}
	put8(o, (unsigned)v);
}

/* put_short writes a text with its length in one byte, cut to 255. */
static void put_short(struct out *o, const char *s, size_t n)
{
	if (n > 255)
		n = 255;
	put8(o, (unsigned)n);
	put(o, s, n);
}

/* put_mqtt writes a text as MQTT has it. */
static void put_mqtt(struct out *o, const char *s)
{
	size_t n = strlen(s);

	put16(o, (unsigned)n);
	put(o, s, n);
}

/* ---- batches and flow reports ---- */

void rw_batch_begin(struct rw_batch *b, uint8_t *buf, size_t cap, uint64_t epoch, uint64_t lost, uint64_t first)
{
	struct out o = {buf, cap, 0, 0};

	put8(&o, FORM);
	put8(&o, BATCH);
	put64(&o, epoch);
	put64(&o, lost);
	put64(&o, first);
	put16(&o, 0);
	b->buf = buf;
	b->cap = cap;
	b->len = o.len;
	b->count = 0;
	b->err = o.full ? RW_ERR_SPACE : RW_OK;
}

int rw_batch_add(struct rw_batch *b, const char *kind, int64_t ns, const void *data, size_t len)
{
	struct out o;
	size_t n = strlen(kind);
	int flow = strcmp(kind, "flow") == 0;

	if (b->err != RW_OK)
		return b->err;
	if (n == 0 || n > 127 || b->count >= 1000)
		return RW_ERR_INVALID;
	o.p = b->buf;
	o.cap = b->cap;
	o.len = b->len;
	o.full = 0;
	put8(&o, (unsigned)n | (flow ? 0x80u : 0u));
	put(&o, kind, n);
	put_varint(&o, (uint64_t)ns << 1 ^ (ns < 0 ? ~UINT64_C(0) : 0)); /* zigzag */
	put_varint(&o, len);
	put(&o, data, len);
	if (o.full)
		return RW_ERR_SPACE; /* the batch is as it was */
	b->len = o.len;
	b->count++;
	b->buf[26] = (uint8_t)(b->count >> 8);
	b->buf[27] = (uint8_t)b->count;
	return RW_OK;
}

static void put_addr(struct out *o, const uint8_t *a, unsigned len, unsigned port)
{
	if (len != 4 && len != 16) {
		put8(o, 0);
		return;
	}
	put8(o, len);
	put(o, a, len);
	put16(o, port);
}

#define LAST_MICRO (UINT64_C(530) * 366 * 24 * 3600 * 1000000) /* package flow's bound */

int rw_flow_record(uint8_t *buf, size_t cap, const struct rw_policy *p, const struct rw_flow *f, const struct rw_verdict *v, const struct rw_flow_report *r)
{
	struct out o = {buf, cap, 0, 0};
	unsigned outcome = v->would ? 2 : v->pass ? 0 : 1;
	uint64_t generation = p != NULL ? p->generation : 0;
	const char *device = p != NULL ? p->device : "", *name = f->name != NULL ? f->name : "";
	size_t n = strlen(name);

	if (r->end_us < r->start_us || r->end_us > LAST_MICRO || f->direction > RW_TO_DEVICE)
		return RW_ERR_INVALID;
	if (n > 0 && name[n - 1] == '.')
		n--;
	put8(&o, generation != 0 ? 2 : 1);
	put8(&o, outcome << 1 | (f->direction == RW_TO_DEVICE ? 1u : 0u));
	put8(&o, f->proto);
	put_varint(&o, r->start_us);
	put_varint(&o, r->end_us - r->start_us);
	put_short(&o, device, strlen(device));
	put_addr(&o, r->local, r->local_len, r->local_port);
	put_addr(&o, f->addr, f->addr_len, r->remote_port);
	put_short(&o, name, n);
	put_short(&o, v->reason, strlen(v->reason));
	put_short(&o, v->term, v->term_len);
	put_varint(&o, r->packets_up);
	put_varint(&o, r->packets_down);
	put_varint(&o, r->bytes_up);
	put_varint(&o, r->bytes_down);
	if (generation != 0) {
		put_varint(&o, generation);
		put(&o, "\0\0\0\0\0\0", 6); /* no limit, nothing inside, nothing folded */
	}
	return o.full ? RW_ERR_SPACE : (int)o.len;
}

/* ---- MQTT ---- */

static int fail(struct rw_client *c, int code)
{
	c->connected = 0;
	c->error = code;
	return code;
}

static void topic(const struct rw_client *c, char *out, const char *leaf)
{
	out[0] = 0;
	strcat(out, "rw/");
	strncat(out, c->cfg.org, RW_MAX_ID);
	strcat(out, "/");
	strncat(out, c->cfg.gateway, RW_MAX_ID);
	strcat(out, "/");
	strcat(out, leaf);
}

/* send_packet writes a packet: its head, what is written down, what follows. */
static int send_packet(struct rw_client *c, unsigned head, const struct out *var, const uint8_t *rest, size_t len)
{
	uint8_t fixed[5];
	struct out o = {fixed, sizeof fixed, 0, 0};
	size_t all = var->len + len;

	if (var->full || all > 268435455)
		return RW_ERR_SPACE;
	put8(&o, head);
	put_varint(&o, all); /* the same form below 2^28: MQTT 5.0 section 1.5.5 */
	if (c->cfg.write(c->cfg.ctx, fixed, o.len) != 0 || (var->len > 0 && c->cfg.write(c->cfg.ctx, var->p, var->len) != 0) ||
	    (len > 0 && c->cfg.write(c->cfg.ctx, rest, len) != 0))
		return fail(c, RW_ERR_IO);
	c->sent_at = c->cfg.ticks(c->cfg.ctx);
	return RW_OK;
}

static uint16_t next_id(struct rw_client *c)
{
	if (++c->next_id == 0)
		c->next_id = 1;
	return c->next_id;
}

static int publish(struct rw_client *c, const char *leaf, const uint8_t *b, size_t len)
{
	uint8_t var[MAX_TOPIC + 8];
	char name[MAX_TOPIC];
	struct out o = {var, sizeof var, 0, 0};

	topic(c, name, leaf);
	put_mqtt(&o, name);
	put16(&o, next_id(c));
	if (c->cfg.mqtt == 5)
		put8(&o, 0); /* no properties */
	return send_packet(c, PUBLISH << 4 | 2, &o, b, len); /* QoS 1 */
}

/* length reads a variable length at b; it returns its bytes, 0 when they are not
 * all there, -1 when it is of wrong form. */
static int length(const uint8_t *b, size_t n, size_t *v)
{
	size_t i;

	*v = 0;
	for (i = 0; i < 4; i++) {
		if (i >= n)
			return 0;
		*v |= (size_t)(b[i] & 0x7f) << (7 * i);
		if (!(b[i] & 0x80))
			return (int)i + 1;
	}
	return -1;
}

/* skip_properties returns where the properties of MQTT 5.0 at b end, 0 when they
 * are of wrong form. */
static size_t skip_properties(const struct rw_client *c, const uint8_t *b, size_t at, size_t len)
{
	size_t n;
	int k;

	if (c->cfg.mqtt != 5)
		return at;
	if (at > len)
		return 0;
	k = length(b + at, len - at, &n);
	if (k <= 0 || n > len - at - (size_t)k)
		return 0;
	return at + (size_t)k + n;
}

/* ---- what the platform says ---- */

static uint64_t get64(const uint8_t *p)
{
	uint64_t v = 0;
	int i;

	for (i = 0; i < 8; i++)
		v = v << 8 | p[i];
	return v;
}

static void tell(struct rw_client *c, int always)
{
	const struct rw_policy *p = rw_current(c);
	int r;

	if (p == NULL)
		return;
	r = rw_restriction(p, c->cfg.now(c->cfg.ctx));
	if (!always && r == c->told)
		return;
	c->told = r;
	if (c->cfg.changed != NULL)
		c->cfg.changed(c->cfg.ctx, p, r);
}

/* accept takes a signed policy: the key's id as a text, the signature, the
 * payload's length in 4 bytes, the payload. */
static int accept(struct rw_client *c, const uint8_t *b, size_t len, int restoring)
{
	char key[256];
	const uint8_t *sig, *payload;
	size_t n, id;
	int next = c->current == 0 ? 1 : 0, code;
	uint8_t *into = next == 0 ? c->cfg.policy_a : c->cfg.policy_b;
	struct rw_policy read;
	const struct rw_policy *old = rw_current(c);

	if (len < 1 || len < 1u + b[0] + 64 + 4)
		return RW_ERR_INVALID;
	id = b[0];
	memcpy(key, b + 1, id);
	key[id] = 0;
	sig = b + 1 + id;
	n = (size_t)sig[64] << 24 | (size_t)sig[65] << 16 | (size_t)sig[66] << 8 | sig[67];
	payload = sig + 68;
	if (strlen(key) != id || n != len - (1 + id + 68) || n > RW_MAX_POLICY)
		return RW_ERR_INVALID;
	if (n + sizeof CONTEXT > c->cfg.policy_cap)
		return RW_ERR_SPACE;
	/* What is signed is put together where the policy will be, behind the context. */
	memcpy(into, CONTEXT, sizeof CONTEXT);
	memcpy(into + sizeof CONTEXT, payload, n);
	if (c->cfg.verify(c->cfg.ctx, key, into, n + sizeof CONTEXT, sig) != 0)
		return RW_ERR_UNVERIFIED;
	if ((code = rw_policy_read(&read, into + sizeof CONTEXT, n)) != RW_OK)
		return code;
	if (strcmp(read.org, c->cfg.org) != 0 || strcmp(read.gateway, c->cfg.gateway) != 0)
		return RW_ERR_FOREIGN;
	if (read.generation == 0)
		return RW_ERR_INVALID;
	if (old != NULL && read.generation == old->generation && read.len == old->len && memcmp(read.data, old->data, read.len) == 0)
		return RW_OK; /* the same again */
	if (old != NULL && read.generation <= old->generation)
		return RW_ERR_OLD;
	if (!restoring && c->cfg.keep != NULL)
		(void)c->cfg.keep(c->cfg.ctx, b, len);
	c->policy[next] = read;
	c->current = next;
	tell(c, 1);
	return RW_OK;
}

/* took_answer reads the answer to a status. A policy that is not taken is no
 * fault of the connection: the one in force stays. */
static int took_answer(struct rw_client *c, const uint8_t *b, size_t len)
{
	size_t at;

	if (len < 4 || b[0] != FORM || b[1] != ANSWER)
		return RW_ERR_INVALID;
	at = 3 + (size_t)b[2];
	if (at >= len)
		return RW_ERR_INVALID;
	if (b[2] != 0)
		return RW_OK; /* it has none to give now; it will poke */
	if (b[at] == 0)
		return at + 1 == len ? RW_OK : RW_ERR_INVALID;
	if (b[at] != 1)
		return RW_ERR_INVALID;
	return accept(c, b + at + 1, len - at - 1, 0);
}

static int took_ack(struct rw_client *c, const uint8_t *b, size_t len)
{
	char why[256];

	if (len < 19 || b[0] != FORM || b[1] != ACK || len != 19u + b[18])
		return RW_ERR_INVALID;
	memcpy(why, b + 19, b[18]);
	why[b[18]] = 0;
	if (c->cfg.acked != NULL)
		c->cfg.acked(c->cfg.ctx, get64(b + 2), get64(b + 10), why);
	return RW_OK;
}

static int is_topic(const struct rw_client *c, const uint8_t *b, size_t len, const char *leaf)
{
	char want[MAX_TOPIC];

	topic(c, want, leaf);
	return strlen(want) == len && memcmp(want, b, len) == 0;
}

static int took_publish(struct rw_client *c, unsigned flags, const uint8_t *b, size_t len)
{
	size_t n, at;
	unsigned qos = flags >> 1 & 3;
	uint16_t id = 0;

	if (len < 2 || qos > 1)
		return fail(c, RW_ERR_PROTOCOL);
	n = (size_t)b[0] << 8 | b[1];
	at = 2 + n;
	if (at > len)
		return fail(c, RW_ERR_PROTOCOL);
	if (qos == 1) {
		if (at + 2 > len)
			return fail(c, RW_ERR_PROTOCOL);
		id = (uint16_t)((unsigned)b[at] << 8 | b[at + 1]);
		at += 2;
	}
	if ((at = skip_properties(c, b, at, len)) == 0)
		return fail(c, RW_ERR_PROTOCOL);
	c->answer = RW_OK;
	if (is_topic(c, b + 2, n, "poke")) {
		int code = rw_ask(c);
		if (code != RW_OK)
			return code;
	} else if (is_topic(c, b + 2, n, "desired")) {
		c->answer = took_answer(c, b + at, len - at);
	} else if (is_topic(c, b + 2, n, "report/ack")) {
		c->answer = took_ack(c, b + at, len - at);
	}
	if (qos == 1) {
		uint8_t var[2];
		struct out o = {var, sizeof var, 0, 0};

		put16(&o, id);
		return send_packet(c, PUBACK << 4, &o, NULL, 0);
	}
	return RW_OK;
}

/* took takes one packet. */
static int took(struct rw_client *c, unsigned head, const uint8_t *b, size_t len)
{
	unsigned type = head >> 4;
	size_t at;

	c->heard_at = c->cfg.ticks(c->cfg.ctx);
	switch (type) {
	case PUBLISH:
		return took_publish(c, head & 0x0f, b, len);
	case CONNACK:
		if (len < 2 || c->waiting_type != CONNACK)
			return fail(c, RW_ERR_PROTOCOL);
		if (b[1] != 0)
			return fail(c, RW_ERR_REFUSED);
		c->waiting_type = 0;
		return RW_OK;
	case SUBACK:
		if (len < 2 || c->waiting_type != SUBACK || ((unsigned)b[0] << 8 | b[1]) != c->waiting_id)
			return fail(c, RW_ERR_PROTOCOL);
		at = skip_properties(c, b, 2, len);
		if (at == 0 || len - at != 3)
			return fail(c, RW_ERR_PROTOCOL);
		for (; at < len; at++)
			if (b[at] >= 0x80)
				return fail(c, RW_ERR_REFUSED);
		c->waiting_type = 0;
		return RW_OK;
	case PUBACK: /* the answer on the topic says more */
	case PINGRESP:
		return RW_OK;
	case DISCONNECT:
		return fail(c, RW_ERR_REFUSED);
	}
	return fail(c, RW_ERR_PROTOCOL);
}

/* step reads until a packet is whole and takes it. */
static int step(struct rw_client *c, int timeout_ms)
{
	uint8_t *b = c->cfg.buf;
	uint64_t until = c->cfg.ticks(c->cfg.ctx) + (uint64_t)(timeout_ms < 0 ? 0 : timeout_ms);

	for (;;) {
		size_t n = 0;
		int k = c->have > 1 ? length(b + 1, c->have - 1, &n) : 0, got;
		uint64_t now;

		if (k < 0)
			return fail(c, RW_ERR_PROTOCOL);
		if (k > 0) {
			size_t all = 1 + (size_t)k + n;

			if (all > c->cfg.buf_cap)
				return fail(c, RW_ERR_SPACE);
			if (c->have >= all) {
				int code = took(c, b[0], b + 1 + k, n);

				memmove(b, b + all, c->have - all);
				c->have -= all;
				return code;
			}
		}
		now = c->cfg.ticks(c->cfg.ctx);
		got = c->cfg.read(c->cfg.ctx, b + c->have, c->cfg.buf_cap - c->have, now >= until ? 0 : (int)(until - now));
		if (got < 0 || (size_t)got > c->cfg.buf_cap - c->have)
			return fail(c, RW_ERR_IO);
		if (got == 0) {
			if (c->cfg.ticks(c->cfg.ctx) >= until)
				return RW_ERR_TIMEOUT;
			continue;
		}
		c->have += (size_t)got;
	}
}

static int wait_for(struct rw_client *c, int type, int timeout_ms)
{
	uint64_t until = c->cfg.ticks(c->cfg.ctx) + (uint64_t)timeout_ms;

	c->waiting_type = type;
	while (c->waiting_type != 0) {
		uint64_t now = c->cfg.ticks(c->cfg.ctx);
		int code = step(c, now >= until ? 0 : (int)(until - now));

		if (code == RW_ERR_TIMEOUT)
			return fail(c, RW_ERR_TIMEOUT);
		if (code != RW_OK)
			return code;
	}
	return RW_OK;
}

/* ---- the client ---- */

int rw_init(struct rw_client *c, const struct rw_config *cfg)
{
	if (cfg->org == NULL || cfg->gateway == NULL || cfg->read == NULL || cfg->write == NULL || cfg->now == NULL || cfg->ticks == NULL || cfg->verify == NULL ||
	    cfg->buf == NULL || cfg->buf_cap < 512 || cfg->policy_a == NULL || cfg->policy_b == NULL || strlen(cfg->org) >= RW_MAX_ID ||
	    strlen(cfg->gateway) >= RW_MAX_ID || (cfg->mqtt != 4 && cfg->mqtt != 5))
		return RW_ERR_INVALID;
	memset(c, 0, sizeof *c);
	c->cfg = *cfg;
	if (c->cfg.keep_alive == 0)
		c->cfg.keep_alive = 60;
	if (c->cfg.keep_alive > 1200)
		c->cfg.keep_alive = 1200; /* the platform cuts longer ones */
	c->current = -1;
	return RW_OK;
}

const struct rw_policy *rw_current(const struct rw_client *c) { return c->current < 0 ? NULL : &c->policy[c->current]; }

int rw_restore(struct rw_client *c, const uint8_t *signed_policy, size_t len) { return accept(c, signed_policy, len, 1); }

int rw_connect(struct rw_client *c, int timeout_ms)
{
	static const char *const leaves[] = {"report/ack", "desired", "poke"};
	uint8_t var[3 * MAX_TOPIC + 32];
	char name[MAX_TOPIC];
	struct out o = {var, sizeof var, 0, 0};
	size_t i;
	int code;

	c->have = 0;
	c->error = RW_OK;
	c->connected = 1;
	put_mqtt(&o, "MQTT");
	put8(&o, (unsigned)c->cfg.mqtt);
	put8(&o, 2); /* clean start */
	put16(&o, c->cfg.keep_alive);
	if (c->cfg.mqtt == 5) {
		put8(&o, 5);
		put8(&o, 0x27); /* the largest packet that is taken: section 3.1.2.11.4 */
		put16(&o, (unsigned)(c->cfg.buf_cap >> 16 & 0xffff));
		put16(&o, (unsigned)(c->cfg.buf_cap & 0xffff));
	}
	put_mqtt(&o, c->cfg.gateway);
	if ((code = send_packet(c, CONNECT << 4, &o, NULL, 0)) != RW_OK || (code = wait_for(c, CONNACK, timeout_ms)) != RW_OK)
		return code;
	o.len = 0;
	c->waiting_id = next_id(c);
	put16(&o, c->waiting_id);
	if (c->cfg.mqtt == 5)
		put8(&o, 0);
	for (i = 0; i < sizeof leaves / sizeof leaves[0]; i++) {
		topic(c, name, leaves[i]);
		put_mqtt(&o, name);
		put8(&o, 0);
	}
	if ((code = send_packet(c, SUBSCRIBE << 4 | 2, &o, NULL, 0)) != RW_OK || (code = wait_for(c, SUBACK, timeout_ms)) != RW_OK)
		return code;
	return rw_ask(c);
}

int rw_ask(struct rw_client *c)
{
	uint8_t b[10];
	struct out o = {b, sizeof b, 0, 0};
	const struct rw_policy *p = rw_current(c);

	if (!c->connected)
		return RW_ERR_IO;
	put8(&o, FORM);
	put8(&o, STATUS);
	put64(&o, p != NULL ? p->generation : 0);
	return publish(c, "status", b, o.len);
}

int rw_report(struct rw_client *c, const struct rw_batch *b)
{
	if (!c->connected)
		return RW_ERR_IO;
	if (b->err != RW_OK)
		return b->err;
	return publish(c, "report", b->buf, b->len);
}

int rw_poll(struct rw_client *c, int timeout_ms)
{
	uint64_t now, half = (uint64_t)c->cfg.keep_alive * 500;
	int code;

	tell(c, 0);
	if (!c->connected)
		return c->error != RW_OK ? c->error : RW_ERR_IO;
	now = c->cfg.ticks(c->cfg.ctx);
	if (now - c->sent_at >= half) {
		struct out none = {NULL, 0, 0, 0};

		if (now - c->heard_at >= 3 * half)
			return fail(c, RW_ERR_TIMEOUT); /* the platform does not answer pings */
		if ((code = send_packet(c, PINGREQ << 4, &none, NULL, 0)) != RW_OK)
			return code;
	}
	code = step(c, timeout_ms);
	tell(c, 0);
	if (code == RW_OK && c->answer != RW_OK) {
		/* A document that was not taken: the caller hears of it, the connection goes on. */
		code = c->answer;
		c->answer = RW_OK;
	}
	return code;
}

int rw_connected(const struct rw_client *c) { return c->connected; }

void rw_disconnect(struct rw_client *c)
{
	struct out none = {NULL, 0, 0, 0};

	if (c->connected)
		(void)send_packet(c, DISCONNECT << 4, &none, NULL, 0);
	c->connected = 0;
}
