/* SPDX-License-Identifier: MIT */
/*
 * hvs_kernel_test - a connection of the kernel's own to a service of the host
 *
 * Loading it connects to CID 2, @port, sends @bytes bytes and reads them back
 * from a service that echoes. It loads if all came as sent.
 */
#include <linux/module.h>
#include <linux/net.h>
#include <linux/slab.h>
#include <linux/vm_sockets.h>
#include <net/net_namespace.h>
#include <net/sock.h>

#define CHUNK 4096u

static unsigned int port;
module_param(port, uint, 0);
static unsigned int bytes = 1u << 20;
module_param(bytes, uint, 0);

static u8 pattern(unsigned int i)
{
	return (u8)(i * 131 + (i >> 8) * 17);
}

static int put(struct socket *s, u8 *buf, unsigned int at, unsigned int len)
{
	struct msghdr m = { 0 };
	struct kvec v;
	unsigned int done = 0;

	for (unsigned int i = 0; i < len; i++)
		buf[i] = pattern(at + i);
	while (done < len) {
		int n;

		v.iov_base = buf + done;
		v.iov_len = len - done;
		n = kernel_sendmsg(s, &m, &v, 1, len - done);
		if (n < 0)
			return n;
		done += (unsigned int)n;
	}
	return 0;
}

static int get(struct socket *s, u8 *buf, unsigned int at, unsigned int len)
{
	unsigned int done = 0;

	while (done < len) {
		struct msghdr m = { 0 };
		struct kvec v = { .iov_base = buf + done,
				  .iov_len = len - done };
		int n = kernel_recvmsg(s, &m, &v, 1, len - done, 0);

		if (n <= 0)
			return n ? n : -EPIPE;
		done += (unsigned int)n;
	}
	for (unsigned int i = 0; i < len; i++)
		if (buf[i] != pattern(at + i))
			return -EILSEQ;
	return 0;
}

static int talk(struct socket *s, u8 *buf)
{
	struct sockaddr_vm a = { .svm_family = AF_VSOCK,
				 .svm_cid = VMADDR_CID_HOST,
				 .svm_port = port };
	int r = kernel_connect(s, (struct sockaddr *)&a, sizeof(a), 0);

	for (unsigned int at = 0; r == 0 && at < bytes; at += CHUNK) {
		unsigned int len = min(CHUNK, bytes - at);

		r = put(s, buf, at, len);
		if (r == 0)
			r = get(s, buf, at, len);
	}
	return r;
}

static int __init begin(void)
{
	u8 *buf = kmalloc(CHUNK, GFP_KERNEL);
	struct socket *s = NULL;
	int r = -ENOMEM;

	if (buf)
		r = sock_create_kern(&init_net, AF_VSOCK, SOCK_STREAM, 0, &s);
	if (r == 0) {
		r = talk(s, buf);
		sock_release(s);
	}
	kfree(buf);
	if (r == 0)
		pr_info("hvs_kernel_test: %u bytes came back as sent\n", bytes);
	return r;
}

static void __exit end(void)
{
}

module_init(begin);
module_exit(end);
MODULE_DESCRIPTION("A kernel's own connection over hv_sock");
MODULE_LICENSE("Dual MIT/GPL");
