/* SPDX-License-Identifier: MIT */
/*
 * credential.h - systemd's credentials, as --credential has them
 *
 * systemd in the guest takes what the machine's OEM strings begin with
 * "io.systemd.credential" for credentials of its services (systemd.exec(5),
 * SetCredential=; systemd-creds(1)).
 */
#ifndef HVVM_CREDENTIAL_H
#define HVVM_CREDENTIAL_H

#include <stddef.h>
#include <stdint.h>

/* Where systemd is to say that it is ready: here the broker listens
 * (hvsocketd(8), "Guests that say when they are ready"). Of a type left open it
 * would make SOCK_SEQPACKET, which hv_sock does not have. */
#define CREDENTIAL_NOTIFY "vmm.notify_socket=vsock-stream:2:26743"

/**
 * credential_parse() - the option's words
 * @arg:	NAME=VALUE, or NAME:FILE: the first of the two characters counts
 * @ret_name_len:	bytes of NAME: 1 to 255, such as a file's name may have
 * @ret_file:	of NAME:FILE; else NULL
 * @ret_value:	of NAME=VALUE; else NULL
 *
 * Both point into @arg. Return: 0; -EINVAL, and *@ret_why says why.
 */
int credential_parse(const char *arg, size_t *ret_name_len,
		     const char **ret_file, const char **ret_value,
		     const char **ret_why);

/**
 * credential_string() - what stands in the table
 * @name:	@name_len bytes of it
 *
 * A value of printable ASCII stands there as it is, others in base64. Return:
 * the string, for free(); NULL: no memory.
 */
char *credential_string(const char *name, size_t name_len, const void *value,
			size_t len);

#endif /* HVVM_CREDENTIAL_H */
