/* SPDX-License-Identifier: MIT */
/*
 * save.h - the form of a saved bus, for save.c and load.c
 *
 * Little-endian, without padding; guest memory is not part of it.
 *
 *	"vmbu", u32 form, u32 version, u32 target VP, u8 offers requested
 *	u32 channels, each:
 *		u32 relid, u8 state, u8 flags (SAVE_*)
 *		GUID type, GUID instance
 *		u32 target VP, u32 open id, u32 open status
 *		u32 GPADLs, each: u32 id, u32 bytes, u32 offset, u32 pages,
 *			u32 frames that have come, u64 frames
 *		SAVE_RINGS: u32 GPADL, u32 downstream offset,
 *			u32 read, u32 consumed of the first packet,
 *			u32 write, u32 pending send size, u8 SAVE_RING_*
 *		SAVE_SOCK: u8 state, u8 flags, u64 tag, u8 timer, u64 ns left
 *			(0: none), u32 read index when lingering began
 *	u32 delayed connects, each: GUID service, GUID endpoint, u64 ns left
 *	u32 messages, each: u8 kind; PLAIN: u8 length, bytes; else u32 relid
 */
#ifndef VMBUS_SAVE_H
#define VMBUS_SAVE_H

#define SAVE_MAGIC 0x75626d76u /* "vmbu" */
#define SAVE_FORM 1u
#define SAVE_HEADER 17u

enum { /* of a channel */
       SAVE_RECOVERED = 0x01,
       SAVE_FOR_DEVICE = 0x02,
       SAVE_ACCEPT = 0x04,
       SAVE_RINGS = 0x08,
       SAVE_SOCK = 0x10,
       SAVE_DEVICE = 0x20,
       SAVE_FLAGS = 0x3f,
};

enum { /* of its rings */
       SAVE_RING_MASKED = 0x01,
       SAVE_RING_FIN = 0x02, /* seen, and all before it consumed */
       SAVE_RING_FIN_WANTED = 0x04,
       SAVE_RING_FIN_SENT = 0x08,
};

enum { /* of a connection */
       SAVE_SOCK_FROM_HOST = 0x01,
       SAVE_SOCK_BLOCKED = 0x02,
       SAVE_SOCK_MOVED = 0x04,
};

#endif /* VMBUS_SAVE_H */
