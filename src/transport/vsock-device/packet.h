/* SPDX-License-Identifier: MIT */
/* packet.h - the 44-byte header of virtio-vsock packets: pure functions */
#ifndef VSOCK_DEVICE_PACKET_H
#define VSOCK_DEVICE_PACKET_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define VSOCK_HEADER 44
#define VSOCK_PAYLOAD_MAX 65536

#define VSOCK_CID_HOST 2

enum vsock_type {
	VSOCK_STREAM = 1,
	VSOCK_SEQPACKET = 2,
};

enum vsock_op {
	VSOCK_OP_INVALID,
	VSOCK_OP_REQUEST,
	VSOCK_OP_RESPONSE,
	VSOCK_OP_RST,
	VSOCK_OP_SHUTDOWN,
	VSOCK_OP_RW,
	VSOCK_OP_CREDIT_UPDATE,
	VSOCK_OP_CREDIT_REQUEST,
};

/* of SHUTDOWN: what its sender will not do any more */
#define VSOCK_SHUT_RCV 1u
#define VSOCK_SHUT_SEND 2u
#define VSOCK_SHUT_BOTH 3u

/* of RW, type 2: the message ends here; its sender said MSG_EOR */
#define VSOCK_SEQ_EOM 1u
#define VSOCK_SEQ_EOR 2u

struct vsock_header {
	uint64_t src_cid, dst_cid;
	uint32_t src_port, dst_port;
	uint32_t len; /* of the payload */
	uint16_t type, op;
	uint32_t flags;
	uint32_t buf_alloc, fwd_cnt;
};

void vsock_header_decode(const uint8_t *p, struct vsock_header *ret);
void vsock_header_encode(const struct vsock_header *h, uint8_t *p);

/** vsock_iov_read() - copy @len bytes out of the start of @iov, once.
 * Return: 0, or -EMSGSIZE if there are fewer */
int vsock_iov_read(const struct iovec *iov, unsigned int n, uint8_t *p,
		   size_t len);
/** vsock_iov_write() - the reverse */
int vsock_iov_write(const struct iovec *iov, unsigned int n, const uint8_t *p,
		    size_t len);
/** vsock_iov_slice() - the part of @iov from @skip on, at most @len bytes, as
 * at most @max entries in @ret. Return: the number of entries; @ret_len: the
 * bytes in them */
unsigned int vsock_iov_slice(const struct iovec *iov, unsigned int n,
			     size_t skip, size_t len, struct iovec *ret,
			     unsigned int max, size_t *ret_len);

#endif /* VSOCK_DEVICE_PACKET_H */
