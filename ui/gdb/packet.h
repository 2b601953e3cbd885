/* packet.h - packets of the gdb remote serial protocol: `$data#checksum`, acknowledgements, and the interrupt byte.
 *
 * A pure function over bytes: no socket, no machine, no allocation. Whatever comes in, sizes are bounded.
 *
 *   $ data # xx      xx: sum of the raw data bytes modulo 256, two hexadecimal digits
 *   + -              the last packet arrived, did not arrive (until QStartNoAckMode)
 *   03               interrupt: outside a packet only
 *   } c              in data: the byte c ^ 0x20, for # $ } and *
 *
 * Source: Debugging with GDB, appendix "GDB Remote Serial Protocol". */
#ifndef UI_GDB_PACKET_H
#define UI_GDB_PACKET_H

#include "sim/base.h"

#define GDB_PACKET_MAX 0x4000           /* data bytes of one packet, either way: "PacketSize" */

enum gdb_input {
	GDB_MORE,               /* nothing complete yet */
	GDB_PACKET,             /* p->data, p->n */
	GDB_BAD,                /* wrong checksum or too long: ask for it again */
	GDB_ACK, GDB_NAK, GDB_INTERRUPT,
};

struct gdb_parser {             /* starts from zero */
	uint8_t state, sum, want;
	bool escaped, overflow;
	size_t n;
	char data[GDB_PACKET_MAX + 1];  /* escapes undone; a zero follows */
};
enum gdb_input gdb_parse(struct gdb_parser *p, uint8_t byte);

/* What is answered: grows to GDB_PACKET_MAX, then `full` is set and the rest is dropped. */
struct gdb_reply {
	size_t n;
	bool full;
	char data[GDB_PACKET_MAX + 1];
};
void reply_clear(struct gdb_reply *o);
void reply_bytes(struct gdb_reply *o, const void *p, size_t n);         /* as they are */
void reply_text(struct gdb_reply *o, const char *fmt, ...) PRINTF(2, 3);
void reply_hex(struct gdb_reply *o, const void *p, size_t n);           /* two digits a byte */
/* Framed and escaped; out has room for GDB_FRAME_MAX bytes. The length. */
#define GDB_FRAME_MAX (2 * GDB_PACKET_MAX + 8)
size_t gdb_frame(const char *data, size_t n, char *out);

/* Reading data: each moves *p on and is false, *p anywhere, when what is there is something else. */
bool take_char(const char **p, char c);
bool take_word(const char **p, const char *word);
bool take_number(const char **p, uint64_t *v);  /* hexadecimal, 1 to 16 digits */
bool take_bytes(const char **p, uint8_t *out, size_t n);        /* 2n digits */

#endif
