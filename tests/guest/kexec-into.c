/* SPDX-License-Identifier: MIT */
/*
 * kexec-into - start another kernel from this one
 *
 *	kexec-into KERNEL INITRAMFS COMMAND-LINE
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <linux/reboot.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int kernel, initramfs;

	if (argc != 4) {
		fprintf(stderr,
			"usage: kexec-into KERNEL INITRAMFS COMMAND-LINE\n");
		return 2;
	}
	kernel = open(argv[1], O_RDONLY | O_CLOEXEC);
	initramfs = open(argv[2], O_RDONLY | O_CLOEXEC);
	if (kernel < 0 || initramfs < 0 ||
	    syscall(SYS_kexec_file_load, kernel, initramfs,
		    strlen(argv[3]) + 1, argv[3], 0ul) < 0 ||
	    reboot((int)LINUX_REBOOT_CMD_KEXEC) < 0)
		fprintf(stderr, "kexec-into: %s\n", strerror(errno));
	return 1;
}
