/* SPDX-License-Identifier: MIT */
/* session-key.c - see session-key.h */
#include "hvctl/session-key.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/cleanup.h"
#include "base/utf8.h"
#include "hvctl/out.h"
#include "hvctl/session-agent.h"

#define KEY_MAX 2047 /* bytes: the value of a key-value pair */
#define CREDENTIAL "ssh.authorized_keys."

char *public_key_line(char *text, size_t len, const char **ret_why)
{
	static const char *const types[] = { "ssh-", "ecdsa-sha2-",
					     "sk-ssh-", "sk-ecdsa-" };
	size_t n;

	if (memmem(text, len, "PRIVATE KEY", 11)) {
		*ret_why = "a private key; what is installed is its .pub";
		return NULL;
	}
	while (len && (text[len - 1] == '\n' || text[len - 1] == '\r'))
		len--;
	if (len > KEY_MAX) {
		*ret_why = "longer than 2047 bytes";
		return NULL;
	}
	text[len] = '\0';
	if (!utf8_printable(text, len)) {
		*ret_why = "not one line of text";
		return NULL;
	}
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		n = strcspn(text, " ");
		if (!strncmp(text, types[i], strlen(types[i])) &&
		    !strncmp(text + n, " AAAA", 5))
			return text;
	}
	*ret_why = "not a public key as ssh-keygen(1) writes it";
	return NULL;
}

/* Standard base64, which systemd reads. */
static int print_credential(const char *user, const char *line)
{
	char whole[KEY_MAX + 2];
	int len = snprintf(whole, sizeof(whole), "%s\n", line);
	cleanup_free_ char *text = base64_encode(whole, (size_t)len);

	if (!text)
		return complain("ssh: %s", strerror(ENOMEM));
	printf("io.systemd.credential.binary:" CREDENTIAL "%s=%s\n", user,
	       text);
	return 0;
}

static int set_pair(struct ctl *c, const char *vm, const char *user,
		    const char *line)
{
	cleanup_json_ json_t *reply = NULL;
	char key[200];

	snprintf(key, sizeof(key), CREDENTIAL "%s", user);
	return call_or_say(c,
			   json_pack("{s:s, s:s, s:s, s:s, s:s}", "method",
				     "integration", "verb", "kvp.set",
				     "partition", vm, "key", key, "value",
				     line),
			   vm, &reply);
}

/* As a POSIX system may call one: it stands in names of keys. */
static bool user_ok(const char *user)
{
	size_t n = strspn(user, "abcdefghijklmnopqrstuvwxyz"
				"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");

	return n && n <= 64 && !user[n] && user[0] != '-';
}

int session_install_key(struct ctl *c, const struct args *a)
{
	const char *path = args_value(a, "install-key");
	const char *via = args_value(a, "via");
	const char *login = args_value(a, "login");
	const char *at = strrchr(a->pos[0], '@');
	const char *vm = at ? at + 1 : a->pos[0];
	cleanup_free_ char *user = NULL;
	cleanup_close_ int fd = -1;
	const char *why = "";
	char text[8192];
	char *line;
	ssize_t n;

	user = login ? strdup(login) :
	       at    ? strndup(a->pos[0], (size_t)(at - a->pos[0])) :
		       strdup("root");
	if (!user)
		return complain("ssh: %s", strerror(ENOMEM));
	if (a->rest && a->rest[0])
		return usage("ssh: --install-key takes no command: %s",
			     show(a->rest[0]));
	if (!user_ok(user))
		return usage("ssh: --install-key: %s is no user's name",
			     show(user));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (n < 0)
		return complain("ssh: %s: %s", show(path), strerror(errno));
	line = public_key_line(text, (size_t)n, &why);
	if (!line)
		return complain("ssh: %s: %s", show(path), why);
	if (!via || !strcmp(via, "kvp"))
		return set_pair(c, vm, user, line);
	if (!strcmp(via, "agent"))
		return agent_key(c, vm, user, line);
	if (!strcmp(via, "credential"))
		return print_credential(user, line);
	return usage("ssh: --via %s: a key is installed via kvp, agent or credential",
		     show(via));
}
