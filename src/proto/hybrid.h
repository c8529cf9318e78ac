/* SPDX-License-Identifier: MIT */
/*
 * hybrid.h - the lines of the Unix-socket convention ("hybrid vsock")
 *
 * A VMM has one path P for its guest. Whoever wants to reach the guest's
 * listener on port N connects to P, says "CONNECT N\n", and reads "OK M\n";
 * from then on the stream is the guest's. A guest's connect to port N comes to
 * a socket at P_N, without a line. Firecracker made it; OpenVMM takes a GUID
 * wherever a port may stand.
 *
 * Pure functions over bytes, one at a time if they come so; no I/O.
 */
#ifndef PROTO_HYBRID_H
#define PROTO_HYBRID_H

#include <stdbool.h>
#include <stddef.h>

#include <hvsocket.h>

/* The longest line, "CONNECT " with a GUID and the newline, and a zero byte */
#define HYBRID_LINE_SIZE 46
/* "_" with a GUID, and a zero byte */
#define HYBRID_SUFFIX_SIZE 38

enum hybrid_kind {
	HYBRID_CONNECT, /* what is said at P, the word in any case */
	HYBRID_OK,	/* what is answered */
};

enum hybrid_status {
	HYBRID_MORE, /* the line goes on */
	HYBRID_DONE,
	HYBRID_BAD, /* it cannot become a line; nothing more is taken */
};

struct hybrid_parser {
	enum hybrid_kind kind;
	enum hybrid_status status;
	size_t word;	/* bytes of the word so far, with its blank */
	char value[36]; /* a port or a GUID, as far as it has come */
	size_t len;
	/* if HYBRID_DONE: */
	GUID service; /* of a port: in the VSOCK template */
	bool by_guid; /* said as a GUID */
};

void hybrid_parser_init(struct hybrid_parser *p, enum hybrid_kind kind);

/**
 * hybrid_parse() - take bytes, to the end of the line and not beyond
 * @ret_used:	how many were taken: what follows belongs to the connection
 *
 * A port is one to ten decimal digits, at most 2^32 - 1; a GUID is 36 bytes
 * without braces, in any case. Return: the status, which stays once it is not
 * HYBRID_MORE
 */
enum hybrid_status hybrid_parse(struct hybrid_parser *p, const char *bytes,
				size_t n, size_t *ret_used);

/** hybrid_format() - a whole line. @by_guid: a GUID even for a port.
 * @ret: HYBRID_LINE_SIZE bytes. Return: its length */
size_t hybrid_format(enum hybrid_kind kind, const GUID *service, bool by_guid,
		     char *ret);

/** hybrid_suffix() - what stands behind P for a service of the host: "_N", or
 * "_GUID" in lower case. @ret: HYBRID_SUFFIX_SIZE bytes. Return: @ret */
char *hybrid_suffix(const GUID *service, bool by_guid, char *ret);

/** hybrid_suffix_parse() - the service of what hybrid_suffix() makes. Return:
 * false if it is nothing of that */
bool hybrid_suffix_parse(const char *text, GUID *ret);

#endif /* PROTO_HYBRID_H */
