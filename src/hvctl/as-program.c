/* SPDX-License-Identifier: MIT */
/*
 * as-program.c - see as-program.h
 *
 * The kernel takes the same two things from an ELF file: is it for this
 * machine, and does it name an interpreter? Go's linker leaves a note of its
 * own, in programs that are linked with libc as well; those call libc for names
 * and users, and the kernel for sockets.
 */
#include "hvctl/as-program.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "hvctl/out.h"

#define SCRIPTS 4 /* interpreters that are scripts: the kernel's limit is 5 */
#define DEFAULT_PATH "/bin:/usr/bin"
#define GO_NAME "Go\0"
#define GO_BUILD_ID 4

#if defined(__x86_64__)
#define OUR_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define OUR_MACHINE EM_AARCH64
#elif defined(__riscv)
#define OUR_MACHINE EM_RISCV
#elif defined(__powerpc64__)
#define OUR_MACHINE EM_PPC64
#elif defined(__s390x__)
#define OUR_MACHINE EM_S390
#elif defined(__i386__)
#define OUR_MACHINE EM_386
#elif defined(__arm__)
#define OUR_MACHINE EM_ARM
#endif

static bool is_ours(const ElfW(Ehdr) *e)
{
	const uint16_t one = 1;
	unsigned char data = *(const unsigned char *)&one ? ELFDATA2LSB :
							    ELFDATA2MSB;

	if (e->e_ident[EI_DATA] != data ||
	    e->e_ident[EI_CLASS] !=
		    (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32))
		return false;
#ifdef OUR_MACHINE
	return e->e_machine == OUR_MACHINE;
#else
	return true;
#endif
}

/* The notes in @len bytes. */
static bool has_go_note(const uint8_t *p, size_t len)
{
	while (len >= sizeof(ElfW(Nhdr))) {
		ElfW(Nhdr) n;
		size_t name, all;

		memcpy(&n, p, sizeof(n));
		if (n.n_namesz > len || n.n_descsz > len)
			return false;
		name = (n.n_namesz + 3u) & ~3u;
		all = sizeof(n) + name + ((n.n_descsz + 3u) & ~3u);
		if (n.n_type == GO_BUILD_ID && n.n_namesz == sizeof(GO_NAME) &&
		    len >= sizeof(n) + name &&
		    !memcmp(p + sizeof(n), GO_NAME, sizeof(GO_NAME)))
			return true;
		if (all > len)
			return false;
		p += all;
		len -= all;
	}
	return false;
}

/* Of another machine there is no more to read than this. */
static enum program_kind foreign(const uint8_t *head)
{
	return head[EI_CLASS] == ELFCLASS32 || head[EI_CLASS] == ELFCLASS64 ?
		       PROGRAM_FOREIGN : PROGRAM_OTHER;
}

static enum program_kind elf_kind(const uint8_t *head, size_t len)
{
	bool interpreter = false, go = false;
	ElfW(Ehdr) e;

	if (len < sizeof(e))
		return PROGRAM_OTHER;
	memcpy(&e, head, sizeof(e));
	if (!is_ours(&e))
		return foreign(head);
	if ((e.e_type != ET_EXEC && e.e_type != ET_DYN) ||
	    e.e_phentsize != sizeof(ElfW(Phdr)) || e.e_phoff > len ||
	    e.e_phnum > (len - e.e_phoff) / sizeof(ElfW(Phdr)))
		return PROGRAM_OTHER;
	for (unsigned int i = 0; i < e.e_phnum; i++) {
		ElfW(Phdr) ph;

		memcpy(&ph, head + e.e_phoff + i * sizeof(ph), sizeof(ph));
		if (ph.p_type == PT_INTERP)
			interpreter = true;
		if (ph.p_type == PT_NOTE && ph.p_offset <= len &&
		    ph.p_filesz <= len - ph.p_offset &&
		    has_go_note(head + ph.p_offset, ph.p_filesz))
			go = true;
	}
	if (!interpreter)
		return PROGRAM_STATIC;
	return go ? PROGRAM_GO : PROGRAM_DYNAMIC;
}

enum program_kind program_kind(const uint8_t *head, size_t len)
{
	if (len >= 2 && head[0] == '#' && head[1] == '!')
		return PROGRAM_SCRIPT;
	if (len > EI_NIDENT && !memcmp(head, ELFMAG, SELFMAG))
		return elf_kind(head, len);
	return PROGRAM_OTHER;
}

/* As execvp() finds it. Return: a new string, or NULL */
static char *find_command(const char *command)
{
	const char *path = getenv("PATH"), *end;
	char *full;

	if (strchr(command, '/'))
		return strdup(command);
	for (path = path ? path : DEFAULT_PATH;; path = end + 1) {
		struct stat st;

		end = strchrnul(path, ':');
		if (asprintf(&full, "%.*s%s%s", (int)(end - path), path,
			     end > path ? "/" : "", command) < 0)
			return NULL;
		if (!stat(full, &st) && S_ISREG(st.st_mode) &&
		    !access(full, X_OK))
			return full;
		free(full);
		if (!*end)
			return NULL;
	}
}

static ssize_t read_head(const char *path, uint8_t *head)
{
	/* a FIFO would keep us waiting */
	cleanup_close_ int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return -1;
	return pread(fd, head, PROGRAM_HEAD, 0);
}

/* "#! /bin/sh -x": /bin/sh. Return: a new string, or NULL */
static char *interpreter(const uint8_t *head, size_t len)
{
	const char *p = (const char *)head + 2;
	size_t left = len - 2, n = 0;

	for (; left && (*p == ' ' || *p == '\t'); p++)
		left--;
	while (n < left && n < PATH_MAX && p[n] && !strchr(" \t\n", p[n]))
		n++;
	return n ? strndup(p, n) : NULL;
}

/* The kind of what is run in the end, and its path. */
static enum program_kind look(const char *command, char **ret_path)
{
	cleanup_free_ uint8_t *head = malloc(PROGRAM_HEAD);
	char *path = find_command(command), *next;
	enum program_kind kind = PROGRAM_OTHER;
	ssize_t n;

	for (int i = 0; head && path; i++) {
		n = read_head(path, head);
		kind = n < 0 ? PROGRAM_OTHER : program_kind(head, (size_t)n);
		if (kind != PROGRAM_SCRIPT || i == SCRIPTS)
			break;
		next = interpreter(head, (size_t)n);
		if (!next)
			break;
		free(path);
		path = next;
	}
	*ret_path = path;
	return kind;
}

static const char *describe(enum program_kind kind)
{
	switch (kind) {
	case PROGRAM_DYNAMIC:
		return "dynamically linked";
	case PROGRAM_GO:
		return "a Go program, which makes system calls itself";
	case PROGRAM_STATIC:
		return "statically linked";
	case PROGRAM_FOREIGN:
		return "for another kind of machine than hvctl";
	case PROGRAM_SCRIPT:
	case PROGRAM_OTHER:
		break;
	}
	return "of no known format";
}

int as_choose(const char *via, bool verbose, const char *command,
	      enum as_way *ret)
{
	cleanup_free_ char *path = NULL;
	enum program_kind kind;
	enum as_way way;

	if (via && strcmp(via, "preload") && strcmp(via, "seccomp"))
		return usage("as: --via %s: there are preload and seccomp",
			     show(via));
	kind = look(command, &path);
	if (via)
		way = strcmp(via, "seccomp") ? AS_PRELOAD : AS_SECCOMP;
	else
		way = kind == PROGRAM_STATIC || kind == PROGRAM_GO ?
			      AS_SECCOMP : AS_PRELOAD;
	if (verbose)
		complain("as: %s is %s: by %s%s", show(path ? path : command),
			 path ? describe(kind) : "not to be found",
			 way == AS_SECCOMP ? "seccomp" : "preload",
			 via ? ", as asked for" : "");
	*ret = way;
	return 0;
}
