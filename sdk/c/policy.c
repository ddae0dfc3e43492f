/* The policy of a terminal: reading it and deciding by it. See ringwall.h. */
#include "ringwall.h"

#include <string.h>

/* cursor reads within bounds; once it is bad it stays bad and gives zeros. */
struct cursor {
	const uint8_t *p;
	size_t left;
	int bad;
};

static const uint8_t *take(struct cursor *c, size_t n)
{
	static const uint8_t none[16];
	const uint8_t *p = c->p;

	if (c->bad || n > c->left) {
		c->bad = 1;
		return n <= sizeof none ? none : NULL;
	}
	c->p += n;
	c->left -= n;
	return p;
}

static uint8_t u8(struct cursor *c) { return take(c, 1)[0]; }

static uint16_t u16(struct cursor *c)
{
	const uint8_t *p = take(c, 2);
	return (uint16_t)((unsigned)p[0] << 8 | p[1]);
}

static uint64_t u64(struct cursor *c)
{
	const uint8_t *p = take(c, 8);
	uint64_t v = 0;
	int i;

	for (i = 0; i < 8; i++)
		v = v << 8 | p[i];
	return v;
}

/* text copies an id, which must fit and hold no NUL. */
static void text(struct cursor *c, char out[RW_MAX_ID])
{
	size_t n = u8(c);
	const uint8_t *p;

	out[0] = 0;
	if (n >= RW_MAX_ID) {
		c->bad = 1;
		return;
	}
	p = n > 0 ? take(c, n) : NULL;
	if (c->bad || p == NULL)
		return;
	if (memchr(p, 0, n) != NULL) {
		c->bad = 1;
		return;
	}
	memcpy(out, p, n);
	out[n] = 0;
}

/* term is one term in place. */
struct term {
	uint8_t flags, proto, kind, bits;
	const uint8_t *end; /* address or name */
	size_t end_len;
	const uint8_t *ports;
	uint8_t port_count;
	const uint8_t *id;
	uint8_t id_len;
};

enum { DENY = 1, TO = 2, NAME = 1, NET4 = 4, NET6 = 6 };

/* host_bits_clear reports whether an address has no bits behind its prefix. */
static int host_bits_clear(const uint8_t *a, size_t len, unsigned bits)
{
	size_t i;

	for (i = 0; i < len; i++) {
		unsigned from = (unsigned)i * 8;
		unsigned mask = bits <= from ? 0xffu : bits >= from + 8 ? 0u : 0xffu >> (bits - from);

		if (a[i] & mask)
			return 0;
	}
	return 1;
}

static void read_term(struct cursor *c, struct term *t)
{
	unsigned i;

	memset(t, 0, sizeof *t);
	t->flags = u8(c);
	t->proto = u8(c);
	t->kind = u8(c);
	switch (t->kind) {
	case NAME:
		t->end_len = u8(c);
		if (t->end_len == 0)
			c->bad = 1;
		break;
	case NET4:
	case NET6:
		t->bits = u8(c);
		t->end_len = t->kind == NET4 ? 4 : 16;
		if (t->bits > t->end_len * 8)
			c->bad = 1;
		break;
	default:
		c->bad = 1;
	}
	if (c->bad)
		return;
	t->end = take(c, t->end_len);
	if (c->bad)
		return;
	if (t->kind != NAME && !host_bits_clear(t->end, t->end_len, t->bits))
		c->bad = 1;
	t->port_count = u8(c);
	t->ports = take(c, (size_t)t->port_count * 4);
	if (c->bad)
		return;
	for (i = 0; i < t->port_count; i++) {
		const uint8_t *p = t->ports + (size_t)i * 4;

		if (((unsigned)p[0] << 8 | p[1]) > ((unsigned)p[2] << 8 | p[3]))
			c->bad = 1;
	}
	t->id_len = u8(c);
	t->id = take(c, t->id_len);
	if (t->flags > 3)
		c->bad = 1;
}

static uint16_t read_terms(struct cursor *c, const uint8_t *data, size_t *at)
{
	uint16_t n = u16(c), i;
	struct term t;

	*at = c->bad ? 0 : (size_t)(c->p - data);
	if (n > RW_MAX_TERMS)
		c->bad = 1;
	for (i = 0; i < n && !c->bad; i++)
		read_term(c, &t);
	return n;
}

#define LAST_SECOND UINT64_C(253402300799) /* the end of the year 9999 */

int rw_policy_read(struct rw_policy *p, const uint8_t *data, size_t len)
{
	static const uint8_t magic[] = {'R', 'W', 'T', 'P', 1};
	struct cursor c = {data, len, 0};
	unsigned i;

	memset(p, 0, sizeof *p);
	if (data == NULL || len > RW_MAX_POLICY || len < sizeof magic || memcmp(take(&c, sizeof magic), magic, sizeof magic) != 0)
		return RW_ERR_INVALID;
	p->data = data;
	p->len = len;
	p->generation = u64(&c);
	p->issued = u64(&c);
	text(&c, p->org);
	text(&c, p->gateway);
	text(&c, p->device);
	p->mode = u8(&c);
	p->hold_count = u8(&c);
	if (p->mode > RW_ENFORCE || p->hold_count > RW_MAX_HOLDS || p->issued > LAST_SECOND)
		c.bad = 1;
	for (i = 0; i < p->hold_count && !c.bad; i++) {
		p->holds[i].what = u8(&c);
		p->holds[i].expires = u64(&c);
		if (p->holds[i].what == RW_UNRESTRICTED || p->holds[i].what > RW_CUTOFF || p->holds[i].expires > LAST_SECOND)
			c.bad = 1;
	}
	if (!c.bad)
		p->term_count = read_terms(&c, data, &p->terms);
	if (!c.bad)
		p->remediation_count = read_terms(&c, data, &p->remediation);
	if (c.bad || c.left != 0) {
		memset(p, 0, sizeof *p);
		return RW_ERR_INVALID;
	}
	return RW_OK;
}

int rw_restriction(const struct rw_policy *p, uint64_t now)
{
	int worst = RW_UNRESTRICTED;
	unsigned i;

	for (i = 0; i < p->hold_count; i++) {
		uint64_t end = p->holds[i].expires;

		if ((end == 0 || now == 0 || now < end) && p->holds[i].what > worst)
			worst = p->holds[i].what;
	}
	return worst;
}

static uint8_t lower(uint8_t c) { return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c; }

/* match_name reports whether a name is what a pattern speaks of: the name itself
 * or, for "*.x", any name below x. A final dot of the name says nothing. */
static int match_name(const uint8_t *pattern, size_t n, const char *name)
{
	size_t len = strlen(name), i;

	if (len > 0 && name[len - 1] == '.')
		len--;
	if (n > 1 && pattern[0] == '*') {
		pattern++;
		n--;
		if (len <= n)
			return 0;
		name += len - n;
	} else if (len != n) {
		return 0;
	}
	for (i = 0; i < n; i++)
		if (lower(pattern[i]) != lower((uint8_t)name[i]))
			return 0;
	return 1;
}

static int match_net(const struct term *t, const uint8_t *a, size_t len)
{
	size_t i;

	if (len != t->end_len)
		return 0;
	for (i = 0; i * 8 < t->bits; i++) {
		unsigned rest = t->bits - (unsigned)i * 8;
		unsigned mask = rest >= 8 ? 0xffu : 0xffu << (8 - rest) & 0xffu;

		if (((unsigned)(a[i] ^ t->end[i]) & mask) != 0)
			return 0;
	}
	return 1;
}

static int match(const struct term *t, const struct rw_flow *f, const uint8_t *addr)
{
	unsigned i;

	if (((t->flags & TO) != 0) != (f->direction == RW_TO_DEVICE))
		return 0;
	if (t->proto != 0 && t->proto != f->proto)
		return 0;
	if (t->kind == NAME) {
		if (f->name == NULL || f->direction != RW_FROM_DEVICE || !match_name(t->end, t->end_len, f->name))
			return 0;
	} else if (!match_net(t, addr, 4)) {
		return 0;
	}
	if (t->port_count == 0)
		return 1;
	if (f->proto != 6 && f->proto != 17)
		return 0;
	for (i = 0; i < t->port_count; i++) {
		const uint8_t *p = t->ports + (size_t)i * 4;

		if (f->port >= ((unsigned)p[0] << 8 | p[1]) && f->port <= ((unsigned)p[2] << 8 | p[3]))
			return 1;
	}
	return 0;
}

/* ask returns 1 when a deny term matches, 2 when an allow term does, else 0, and
 * the term. by_addr says whether an allow term matches that names no name. */
static int ask(const struct rw_policy *p, size_t at, uint16_t count, const struct rw_flow *f, const uint8_t *addr, struct term *which, int *by_addr)
{
	struct cursor c = {p->data + at, p->len - at, 0};
	int found = 0;
	uint16_t i;

	*by_addr = 0;
	for (i = 0; i < count; i++) {
		struct term t;

		read_term(&c, &t);
		if (c.bad)
			return 0; /* it has been checked; nothing is opened by what is not whole */
		if (!match(&t, f, addr))
			continue;
		if (t.flags & DENY) {
			*which = t;
			return 1;
		}
		if (t.kind != NAME && !*by_addr) {
			*by_addr = 1;
			*which = t; /* an address before a name, as in the kernel */
			found = 2;
		} else if (found == 0) {
			*which = t;
			found = 2;
		}
	}
	return found;
}

/* inside reports whether no name of the world has a reason to point to an
 * address: private, loopback, link-local, shared, multicast, reserved (RFC 6890). */
static int inside(const uint8_t *a)
{
	return a[0] == 0 || a[0] == 10 || a[0] == 127 || a[0] >= 224 || (a[0] == 100 && (a[1] & 0xc0) == 64) || (a[0] == 169 && a[1] == 254) ||
	       (a[0] == 172 && (a[1] & 0xf0) == 16) || (a[0] == 192 && a[1] == 168);
}

static struct rw_verdict verdict(int pass, const char *reason)
{
	struct rw_verdict v = {0, 0, NULL, "", 0};

	v.pass = pass;
	v.reason = reason;
	return v;
}

static void named(struct rw_verdict *v, const struct term *t)
{
	v->term = (const char *)t->id;
	v->term_len = t->id_len;
}

struct rw_verdict rw_decide(const struct rw_policy *p, const struct rw_flow *f, uint64_t now)
{
	static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
	const uint8_t *addr = f->addr;
	struct rw_verdict v;
	struct term t;
	int r, got, v6, by_addr;

	if (p == NULL || p->data == NULL)
		return verdict(0, "no-policy");
	memset(&t, 0, sizeof t);
	r = rw_restriction(p, now);
	if (r >= RW_CUTOFF)
		return verdict(0, "cutoff");
	v6 = f->addr_len == 16;
	if (v6 && memcmp(addr, mapped, sizeof mapped) == 0) {
		addr += 12;
		v6 = 0;
	}
	if (r == RW_QUARANTINE) {
		if ((f->addr_len != 4 && f->addr_len != 16) || v6 || f->direction != RW_FROM_DEVICE)
			return verdict(0, "quarantine");
		got = ask(p, p->remediation, p->remediation_count, f, addr, &t, &by_addr);
		if (got != 2)
			return verdict(0, "quarantine");
		if (!by_addr && inside(addr))
			return verdict(0, "rebinding");
		v = verdict(1, "remediation");
		named(&v, &t);
		return v;
	}
	if ((f->addr_len != 4 && f->addr_len != 16) || f->direction > RW_TO_DEVICE)
		return verdict(0, "malformed");
	if (v6)
		return verdict(0, "ipv6");
	if (p->mode == RW_LEARN)
		return verdict(1, "learn");
	got = ask(p, p->terms, p->term_count, f, addr, &t, &by_addr);
	if (got == 2 && (by_addr || !inside(addr))) {
		v = verdict(1, "allow");
		named(&v, &t);
		return v;
	}
	if (got == 1) {
		v = verdict(0, "deny");
		named(&v, &t);
	} else if (got == 2) {
		v = verdict(0, "rebinding");
		named(&v, &t);
	} else {
		v = verdict(0, f->direction == RW_FROM_DEVICE ? "default" : "inbound");
	}
	if (p->mode == RW_SHADOW) {
		v.pass = 1;
		v.would = 1;
	}
	return v;
}
