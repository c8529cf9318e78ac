/* SPDX-License-Identifier: MIT */
/*
 * vmm.h - a VMM without processors, and the guest in it
 *
 * Starts the real program, speaks vmbus-user with it, and is the virtual
 * processors of a guest in plain memory (tests/vmbus/guest.h), one after the
 * other: a write to a raise descriptor is an interrupt, a hypercall is a frame.
 * Programs at both ends of connections check every byte, and those in the guest
 * go on only when they were woken. The broker is a stand-in.
 */
#ifndef TEST_VMBUS_USER_VMM_H
#define TEST_VMBUS_USER_VMM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/fdmsg.h"
#include "broker.h"
#include "guest.h"
#include "must.h"
#include "proto/vmbus-user.h"

#define VMM_FLOWS 1100u
#define VMM_PAGES 16384u
#define VMM_LOW_PAGES 1024u /* memory is two regions, cut here */
#define VMM_LIMIT_MS 30000
#define VMM_ARGS 24

struct vmm;

/* One connection, with a program at each end. */
struct flow {
	struct vmm *v;
	unsigned int id;
	bool used, from_host;
	struct vg_sock *s; /* the guest's; NULL: closed by its program */
	int fd;		   /* the host's program's; -1 */
	uint64_t token;
	int open; /* of the broker's OPENs; -1 */
	/* what each program sends, then shuts down if @.._fin */
	uint64_t guest_to_send, guest_sent, host_to_send, host_sent;
	bool guest_fin, guest_fin_sent, host_fin, host_fin_sent;
	uint64_t guest_got, host_got;
	bool guest_eof, host_eof;
	int host_error;
	bool guest_stalls, host_stalls;
	bool guest_try; /* it has not slept yet */
	uint32_t chunk; /* of a program's write */
};

struct vmm {
	char dir[64];
	const char *program;
	pid_t child;	   /* 0: none */
	int front;	   /* -1 */
	bool no_broker;	   /* no stand-in */
	char runtime[100]; /* but a real one there; or empty */
	GUID vmid;	   /* as the program said last */
	bool lost;	   /* hypercalls answer 19 */
	bool faulty;	   /* the guest may complain */
	bool waits;	   /* for the result of each message */
	uint32_t ahead;	   /* messages that need no answer */
	uint64_t told;	   /* messages that had none */
	uint32_t serial;
	struct vmbu_reply reply; /* the last one */
	char text[512];		 /* of its error */
	struct fdmsg in;	 /* its descriptors; ours */
	uint8_t frame[VMBU_FRAME_MAX];

	int memory;
	uint8_t *ram;
	int raise[VG_VPS], acknowledge[VG_VPS];
	int journal;
	int doorbells[VG_RELIDS]; /* -1 */
	uint64_t signals;	  /* that were frames */
	struct vg *g;
	struct fb b;
	struct flow flows[VMM_FLOWS];
	unsigned int nflows;

	/* of SAVE */
	int state; /* -1 */
	uint64_t state_len;
	int *fds;
	uint32_t nfds;
};

typedef bool (*vmm_fn)(struct vmm *v, void *arg);

/** vmm_new() - a guest and a broker, no program */
struct vmm *vmm_new(void);
/** vmm_launch() - the program, with @args more (ended by NULL, or NULL); waits
 * until it is attached */
void vmm_launch(struct vmm *v, const char *const *args);
/** vmm_spawn() - the same, without waiting */
void vmm_spawn(struct vmm *v, const char *const *args);
/** vmm_introduce() - HELLO, and MEMORY, VP, SYNIC as vmm_machine() */
void vmm_hello(struct vmm *v);
void vmm_machine(struct vmm *v);
void vmm_introduce(struct vmm *v);
/** vmm_boot() - all that, JOURNAL, and the guest's driver loaded */
void vmm_boot(struct vmm *v);
/** vmm_start() - vmm_new(), vmm_launch(), vmm_boot() */
struct vmm *vmm_start(void);
/** vmm_end() - the VMM closes; the program must end with exit code 0 */
void vmm_end(struct vmm *v);
/** vmm_reap() - wait for the program. Return: its status */
int vmm_reap(struct vmm *v);
/** vmm_kill() - SIGKILL */
void vmm_kill(struct vmm *v);
void vmm_drop_doorbells(struct vmm *v);

/** vmm_ask() - one request. Return: the error of the reply, v->reply has it;
 * -1: the connection has ended */
int vmm_ask(struct vmm *v, struct vmbu_request *r, const int *fds, int nfds);
/** vmm_must() - the same; no error */
void vmm_must(struct vmm *v, struct vmbu_request *r, const int *fds, int nfds);
/** vmm_tell_ahead() - a POST_AHEAD, whatever was promised. -errno if it cannot
 * be sent */
int vmm_tell_ahead(struct vmm *v, struct vmbu_request *r);
/** vmm_raw() - the same with any bytes */
int vmm_raw(struct vmm *v, const void *frame, size_t len, const int *fds,
	    int nfds);
/** vmm_synic() - registers of @vp as the guest's pages are; @on: or zero */
void vmm_synic(struct vmm *v, uint32_t vp, bool on);
/** vmm_save() - SAVE, and TAKE of everything; vmm_load() - LOAD, GIVE; not
 * RUN. vmm_load(): the error of LOAD */
void vmm_save(struct vmm *v, bool handover);
int vmm_load(struct vmm *v, bool handover);
void vmm_run(struct vmm *v);
void vmm_forget_saved(struct vmm *v);

/** vmm_step() - work once, waiting at most @ms */
void vmm_step(struct vmm *v, int ms);
/** vmm_wait() - work until @fn; the test fails after VMM_LIMIT_MS */
void vmm_wait(struct vmm *v, vmm_fn fn, void *arg, const char *what);
uint64_t vmm_now_ns(void);

/* ---- flow.c */

/** flow_guest() - the guest connects; established when it returns. @buf: its
 * socket buffers */
struct flow *flow_guest(struct vmm *v, uint32_t buf);
/** flow_host() - a program of the host connects */
struct flow *flow_host(struct vmm *v, uint32_t buf, bool parked);
/** flow_guest_begin() - asks; flow_new() - not even that */
struct flow *flow_guest_begin(struct vmm *v, uint32_t buf);
struct flow *flow_new(struct vmm *v);
/** flow_work() - programs go on. true: something moved */
bool flow_work(struct flow *f);
/** flow_send() - that many bytes more each way, then FIN if @fin */
void flow_send(struct flow *f, uint64_t guest, uint64_t host, bool fin);
void flow_close_guest(struct flow *f);
void flow_close_host(struct flow *f);
/* for vmm_wait() */
bool flow_arrived(struct vmm *v, void *flow);	 /* all bytes, both ways */
bool flow_finished(struct vmm *v, void *flow);	 /* and both ends of file */
bool flow_guest_over(struct vmm *v, void *flow); /* end of file in the guest */
bool flow_host_over(struct vmm *v, void *flow);
bool flows_arrived(struct vmm *v, void *);
bool flows_finished(struct vmm *v, void *);
bool flows_established(struct vmm *v, void *);
/* no channel is left in the guest, and it saw no fault */
bool vmm_clean(struct vmm *v, void *);
void vmm_check_clean(struct vmm *v);

/** vmm_main() - run these tests. Return: the exit code */
int vmm_main(const char *name, TCase *t);

#endif /* TEST_VMBUS_USER_VMM_H */
