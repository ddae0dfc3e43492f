/*
 * ringwall.h: the SDK of Ringwall for terminals without Go.
 *
 * What it is: an MQTT client (3.1.1 or 5.0) that reports to the platform's MQTT
 * door and takes the device's signed policy from it, and a decision function
 * over that policy: addresses, names, ports. It is written in C99, allocates
 * nothing, starts no threads and keeps no global state: memory and all effects
 * come from the caller.
 *
 * What it promises: a policy is in force only after the caller's Ed25519 has
 * verified it, it is for this terminal and it is newer than the one before. Any
 * input of any length gives an error or is read within its bounds. rw_decide
 * answers for every flow; without a policy it refuses.
 *
 * What it leaves to the caller: TLS with the terminal's certificate (give read
 * and write of your TLS library), Ed25519, the clock, and keeping two things
 * over restarts: the policy (callback keep, then rw_restore) and the reports
 * that are not acknowledged yet, with their epoch and sequence numbers.
 *
 * A struct rw_client and its buffers belong to one thread at a time.
 *
 * The forms are those of package api (Go), TerminalPolicy and its neighbours;
 * MQTT is OASIS MQTT 3.1.1 and 5.0; flow reports are those of package flow.
 */
#ifndef RINGWALL_H
#define RINGWALL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Results. Functions that return int return RW_OK or one of the others. */
enum {
	RW_OK = 0,
	RW_ERR_IO = -1,        /* the caller's read or write failed, or the connection ended */
	RW_ERR_PROTOCOL = -2,  /* the other end does not speak as it should */
	RW_ERR_INVALID = -3,   /* input of wrong form */
	RW_ERR_UNVERIFIED = -4,/* a signature does not hold */
	RW_ERR_OLD = -5,       /* a policy that is older than the one in force */
	RW_ERR_FOREIGN = -6,   /* a policy for another terminal */
	RW_ERR_SPACE = -7,     /* a buffer is too small */
	RW_ERR_TIMEOUT = -8,   /* nothing came in time */
	RW_ERR_REFUSED = -9    /* the platform does not let this terminal in, or do this */
};

/* What is in force on the device. */
enum { RW_UNRESTRICTED = 0, RW_QUARANTINE = 1, RW_CUTOFF = 2 };
enum { RW_LEARN = 0, RW_SHADOW = 1, RW_ENFORCE = 2 };
enum { RW_FROM_DEVICE = 0, RW_TO_DEVICE = 1 };

#define RW_MAX_ID 64
#define RW_MAX_HOLDS 32
#define RW_MAX_TERMS 512
#define RW_MAX_POLICY 65536
#define RW_MAX_NAME 253

/* rw_policy is a policy that has been read; it points into the buffer that it
 * was read from, which must stay as it is. */
struct rw_policy {
	const uint8_t *data;
	size_t len;
	uint64_t generation;
	uint64_t issued; /* seconds since 1970 */
	char org[RW_MAX_ID], gateway[RW_MAX_ID], device[RW_MAX_ID];
	uint8_t mode;
	uint8_t hold_count;
	struct {
		uint8_t what;
		uint64_t expires; /* seconds since 1970; 0 = none */
	} holds[RW_MAX_HOLDS];
	uint16_t term_count, remediation_count;
	size_t terms, remediation; /* where they begin in data */
};

/* rw_policy_read checks all of a policy. Codes: INVALID. */
int rw_policy_read(struct rw_policy *p, const uint8_t *data, size_t len);

/* rw_restriction returns what holds restrict the device to at a time in seconds
 * since 1970. now = 0 is a clock that is not set: then no hold has ended. */
int rw_restriction(const struct rw_policy *p, uint64_t now);

/* rw_flow is one flow as the device sees it. */
struct rw_flow {
	uint8_t direction;
	uint8_t proto;      /* IP protocol number: 6 TCP, 17 UDP, 1 ICMP */
	uint8_t addr_len;   /* 4 or 16 */
	uint8_t addr[16];   /* the other end */
	uint16_t port;      /* of the side that is connected to; TCP and UDP */
	const char *name;   /* that was resolved to addr for this flow; NULL = none */
};

/* rw_verdict is what is decided on it. */
struct rw_verdict {
	int pass;
	int would;          /* it passes only because the mode is shadow */
	const char *reason; /* "allow", "deny", "default", "inbound", "learn", "quarantine", "cutoff",
	                       "remediation", "ipv6", "malformed", "no-policy", "rebinding" */
	const char *term;   /* id of the term that decided, term_len bytes, no NUL at its end */
	size_t term_len;
};

/* rw_decide judges a flow. p = NULL is no policy: nothing passes. */
struct rw_verdict rw_decide(const struct rw_policy *p, const struct rw_flow *f, uint64_t now);

/* rw_batch is a batch of reports that is being written into a buffer. */
struct rw_batch {
	uint8_t *buf;
	size_t cap, len;
	uint16_t count;
	int err;
};

/* rw_batch_begin begins a batch. epoch is a number that the terminal draws by
 * chance when it has no reports yet, and keeps; first is the number of the first
 * report, which rise by one, from 1; lost counts those that were thrown away. */
void rw_batch_begin(struct rw_batch *b, uint8_t *buf, size_t cap, uint64_t epoch, uint64_t lost, uint64_t first);

/* rw_batch_add adds a report of a kind of package api, such as "health" or
 * "presence", whose data is JSON, or "flow", whose data rw_flow_record makes. ns is
 * the time in nanoseconds since 1970. Codes: SPACE, INVALID. */
int rw_batch_add(struct rw_batch *b, const char *kind, int64_t ns, const void *data, size_t len);

/* rw_flow_report is what is said of one flow. */
struct rw_flow_report {
	uint64_t start_us, end_us; /* microseconds since 1970 */
	uint64_t packets_up, packets_down, bytes_up, bytes_down;
	uint8_t local_len, local[16];
	uint16_t local_port, remote_port;
};

/* rw_flow_record writes the report of a flow and its verdict into buf and returns
 * its length, or a code: SPACE, INVALID. */
int rw_flow_record(uint8_t *buf, size_t cap, const struct rw_policy *p, const struct rw_flow *f, const struct rw_verdict *v, const struct rw_flow_report *r);

/* rw_config is what a client works with. Texts and buffers must last as long as
 * the client. */
struct rw_config {
	const char *org, *gateway; /* as which the terminal enrolled */
	int mqtt;                  /* 4 = 3.1.1, 5 = 5.0 */
	uint16_t keep_alive;       /* seconds; 0 = 60 */

	void *ctx; /* handed to all callbacks */
	/* read waits timeout_ms at most and returns how many bytes it has read, 0 when
	 * nothing came in time, -1 at the end or on failure. */
	int (*read)(void *ctx, uint8_t *buf, size_t cap, int timeout_ms);
	/* write writes all of buf and returns 0, or -1. */
	int (*write)(void *ctx, const uint8_t *buf, size_t len);
	/* now returns seconds since 1970, 0 when the clock is not set; ticks a clock in
	 * milliseconds that never jumps. */
	uint64_t (*now)(void *ctx);
	uint64_t (*ticks)(void *ctx);
	/* verify returns 0 when sig is the Ed25519 signature (RFC 8032 section 5.1.7) of
	 * msg by the key of this id. */
	int (*verify)(void *ctx, const char *key_id, const uint8_t *msg, size_t len, const uint8_t sig[64]);

	/* keep is called with a policy that has been verified, before it is in force, to
	 * be given to rw_restore after a restart; non-zero = it could not be kept, and is
	 * taken all the same. May be NULL. */
	int (*keep)(void *ctx, const uint8_t *signed_policy, size_t len);
	/* changed is called when another policy is in force, or a hold has ended: judge
	 * what is open anew. restriction is RW_QUARANTINE when the device has to close
	 * all but the remediation set, and RW_CUTOFF when all. May be NULL. */
	void (*changed)(void *ctx, const struct rw_policy *p, int restriction);
	/* acked is called when the platform has stored all reports of epoch up to seq;
	 * error is "" then, else why it has not taken a batch, and seq up to where it has
	 * them. May be NULL. */
	void (*acked)(void *ctx, uint64_t epoch, uint64_t seq, const char *error);

	/* buf takes one packet that comes: as large as the policy may become plus 512.
	 * Two policies of policy_cap bytes each, the one in force and the next, are kept
	 * in policy_a and policy_b. */
	uint8_t *buf;
	size_t buf_cap;
	uint8_t *policy_a, *policy_b;
	size_t policy_cap;
};

/* rw_client is one terminal. Its fields are its own. */
struct rw_client {
	struct rw_config cfg;
	struct rw_policy policy[2];
	int current;           /* -1 = there is no policy */
	int told;              /* restriction last told */
	int connected;
	size_t have;           /* bytes in cfg.buf */
	uint16_t next_id, waiting_id;
	int waiting_type, answer; /* what rw_wait waits for, and what came */
	uint64_t sent_at, heard_at; /* ticks */
	int error;
};

/* rw_init begins a client. Codes: INVALID. */
int rw_init(struct rw_client *c, const struct rw_config *cfg);

/* rw_restore takes a policy that keep was given before a restart. Codes: INVALID,
 * UNVERIFIED, FOREIGN, OLD, SPACE. */
int rw_restore(struct rw_client *c, const uint8_t *signed_policy, size_t len);

/* rw_connect makes the MQTT connection over what read and write reach, listens to
 * the terminal's topics and asks for the newest policy. */
int rw_connect(struct rw_client *c, int timeout_ms);

/* rw_report sends a batch. RW_OK is that it was sent; the callback acked says when
 * it is stored. Until then it has to be kept, and sent again after a new
 * connection. */
int rw_report(struct rw_client *c, const struct rw_batch *b);

/* rw_ask asks for the newest policy; done by rw_connect and when the platform
 * pokes. */
int rw_ask(struct rw_client *c);

/* rw_poll takes what has come, waiting timeout_ms at most, keeps the connection
 * alive, and tells of holds that have ended. Call it at least each half keep-alive.
 * RW_OK or RW_ERR_TIMEOUT (nothing came) is well. Any other result while
 * rw_connected still holds says why a document was not taken (UNVERIFIED, OLD,
 * FOREIGN, INVALID, SPACE); the one in force stays. */
int rw_poll(struct rw_client *c, int timeout_ms);

/* rw_connected reports whether the connection is up, as far as is known. */
int rw_connected(const struct rw_client *c);

/* rw_current returns the policy in force, NULL when there is none. It may change
 * with the next rw_poll. */
const struct rw_policy *rw_current(const struct rw_client *c);

/* rw_disconnect says goodbye; closing what is below is for the caller. */
void rw_disconnect(struct rw_client *c);

#ifdef __cplusplus
}
#endif
#endif
