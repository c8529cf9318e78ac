/* SPDX-License-Identifier: MIT */
/* test-name.c - names of kernel objects: there and back, and nothing else */
#include "suite.h"

#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/guid.h"
#include "proto/name.h"

static const struct listener_name listener = {
	.type = SOCK_SEQPACKET, .partition = { 1, 2, 3, { 4 } },
	.vmid = { 5, 6, 7, { 8 } }, .service = { 9, 10, 11, { 12 } },
	.uid = 1000, .gid = 0xfffffffe, .profile = PROFILE_WINDOWS,
};
static const struct connector_name connector = {
	.type = SOCK_STREAM, .flags = CONNECTOR_GUEST,
	.peer = { 1, 2, 3, { 4 } }, .peer_service = { 5, 6, 7, { 8 } },
	.dest = { 9, 10, 11, { 12 } }, .dest_service = { 13, 14, 15, { 16 } },
	.uid = NAME_UID_NONE, .token = 0x0102030405060708,
};
static const struct rendezvous_name rendezvous = {
	.type = SOCK_STREAM, .partition = { 21, 22, 23, { 24 } },
};

static enum name_kind kind_of(const struct sockaddr_un *sa, socklen_t len)
{
	struct name n;

	name_decode(sa, len, &n);
	return n.kind;
}

START_TEST(round_trips)
{
	struct connector_name datagram;
	struct sockaddr_un sa;
	struct name n;
	socklen_t len;

	len = listener_name_encode(&listener, &sa);
	name_decode(&sa, len, &n);
	ck_assert_int_eq(n.kind, NAME_LISTENER);
	ck_assert_int_eq(n.listener.type, listener.type);
	ck_assert(guid_equal(&n.listener.partition, &listener.partition));
	ck_assert(guid_equal(&n.listener.vmid, &listener.vmid));
	ck_assert(guid_equal(&n.listener.service, &listener.service));
	ck_assert_uint_eq(n.listener.uid, listener.uid);
	ck_assert_uint_eq(n.listener.gid, listener.gid);
	ck_assert_int_eq(n.listener.profile, listener.profile);
	ck_assert_int_eq(listener_file_decode(sa.sun_path +
					      strlen(NAME_LISTENER_DIR),
					      &n.listener), 0);

	len = rendezvous_name_encode(&rendezvous, &sa);
	name_decode(&sa, len, &n);
	ck_assert_int_eq(n.kind, NAME_RENDEZVOUS);
	ck_assert(guid_equal(&n.rendezvous.partition, &rendezvous.partition));

	datagram = connector;
	datagram.type = SOCK_DGRAM;
	len = connector_name_encode(&datagram, &sa);
	name_decode(&sa, len, &n);
	ck_assert_int_eq(n.kind, NAME_DATAGRAM);
	ck_assert_int_eq(n.connector.type, SOCK_DGRAM);
	ck_assert(guid_equal(&n.connector.peer, &connector.peer));
	ck_assert_uint_eq(n.connector.token, connector.token);

	len = connector_name_encode(&connector, &sa);
	ck_assert_uint_eq(len, offsetof(struct sockaddr_un, sun_path) + 83);
	name_decode(&sa, len, &n);
	ck_assert_int_eq(n.kind, NAME_CONNECTOR);
	ck_assert_int_eq(n.connector.flags, CONNECTOR_GUEST);
	ck_assert(guid_equal(&n.connector.peer, &connector.peer));
	ck_assert(guid_equal(&n.connector.peer_service,
			     &connector.peer_service));
	ck_assert(guid_equal(&n.connector.dest, &connector.dest));
	ck_assert(guid_equal(&n.connector.dest_service,
			     &connector.dest_service));
	ck_assert_uint_eq(n.connector.uid, NAME_UID_NONE);
	ck_assert(n.connector.token == connector.token);
}
END_TEST

/* Different objects never have one name. */
START_TEST(distinct)
{
	struct sockaddr_un a, b;
	uint8_t raw[sizeof(struct listener_name)];
	struct listener_name n;

	listener_name_encode(&listener, &a);
	for (size_t i = 1; i < offsetof(struct listener_name, gid) + 4; i++) {
		memcpy(raw, &listener, sizeof(raw));
		raw[i] ^= 0x10;
		memcpy(&n, raw, sizeof(n));
		if (i < offsetof(struct listener_name, partition))
			continue; /* padding */
		listener_name_encode(&n, &b);
		ck_assert_str_ne(a.sun_path, b.sun_path);
	}
	n = listener;
	n.profile = PROFILE_DEFAULT;
	listener_name_encode(&n, &b);
	ck_assert_str_ne(a.sun_path, b.sun_path);
}
END_TEST

START_TEST(strangers)
{
	struct sockaddr_un sa, good, odd = { .sun_family = AF_INET };
	socklen_t len, off = offsetof(struct sockaddr_un, sun_path);
	struct listener_name l;
	char *path = sa.sun_path;

	/* unnamed, other families, no family at all */
	good = (struct sockaddr_un){ .sun_family = AF_UNIX };
	ck_assert_int_eq(kind_of(&good, off), NAME_NONE);
	ck_assert_int_eq(kind_of(&good, 1), NAME_FOREIGN);
	ck_assert_int_eq(kind_of(&good, 0), NAME_FOREIGN);
	ck_assert_int_eq(kind_of(&odd, off), NAME_FOREIGN);
	ck_assert_int_eq(kind_of(&odd, sizeof(odd)), NAME_FOREIGN);
	ck_assert_int_eq(kind_of(&good, off + 1), NAME_FOREIGN);
	ck_assert_int_eq(kind_of(&good, sizeof(good) + 100), NAME_FOREIGN);

	/* an abstract name of every other length */
	len = connector_name_encode(&connector, &good);
	for (socklen_t n = off + 1; n <= sizeof(sa); n++)
		ck_assert_int_eq(kind_of(&good, n),
				 n == len ? NAME_CONNECTOR : NAME_FOREIGN);
	for (size_t i = 1; i < 6; i++) {
		sa = good;
		path[i] ^= 0x40; /* the magic, and the type */
		ck_assert_int_eq(kind_of(&sa, len), NAME_FOREIGN);
	}

	/* every shorter path; one with another character in each place */
	len = listener_name_encode(&listener, &good);
	ck_assert_int_eq(kind_of(&good, len - 1), NAME_LISTENER); /* no zero */
	for (socklen_t n = off + 1; n < len - 1; n++)
		ck_assert_int_eq(kind_of(&good, n), NAME_FOREIGN);
	for (size_t i = 0; i < strlen(good.sun_path); i++) {
		sa = good;
		path[i] = '+';
		ck_assert_int_eq(kind_of(&sa, len), NAME_FOREIGN);
	}
	sa = good;
	strcat(path, "A");
	ck_assert_int_eq(kind_of(&sa, sizeof(sa)), NAME_FOREIGN);
	snprintf(path, sizeof(sa.sun_path), "/%.100s", good.sun_path);
	ck_assert_int_eq(kind_of(&sa, sizeof(sa)), NAME_FOREIGN);
	/* version and type, the first two bytes: "AQ" "U" */
	sa = good;
	path[strlen(NAME_LISTENER_DIR)] = 'B';
	ck_assert_int_eq(kind_of(&sa, len), NAME_FOREIGN);
	sa = good;
	path[strlen(NAME_LISTENER_DIR) + 2] = 'Z';
	ck_assert_int_eq(kind_of(&sa, len), NAME_FOREIGN);

	ck_assert_int_eq(listener_file_decode("", &l), -EINVAL);
	ck_assert_int_eq(listener_file_decode(".", &l), -EINVAL);
	ck_assert_int_eq(listener_file_decode("lock", &l), -EINVAL);
	memset(path, 'A', sizeof(sa.sun_path));
	ck_assert_int_eq(kind_of(&sa, sizeof(sa)), NAME_FOREIGN);
}
END_TEST

/* A listener that takes guests' connections themselves has its own name. */
START_TEST(native)
{
	struct listener_name l = { .type = SOCK_STREAM, .uid = 7 };
	struct sockaddr_un sa, plain;
	socklen_t len;
	struct name n;

	(void)listener_name_encode(&l, &plain);
	l.native = true;
	len = listener_name_encode(&l, &sa);
	ck_assert_str_ne(sa.sun_path, plain.sun_path);
	name_decode(&sa, len, &n);
	ck_assert_int_eq(n.kind, NAME_LISTENER);
	ck_assert(n.listener.native);
	ck_assert_int_eq(n.listener.type, SOCK_STREAM);
	ck_assert_uint_eq(n.listener.uid, 7);
	/* only of streams */
	l.type = SOCK_SEQPACKET;
	len = listener_name_encode(&l, &sa);
	ck_assert_int_eq(kind_of(&sa, len), NAME_FOREIGN);
}
END_TEST

/* As the kernel gives them. */
START_TEST(real_sockets)
{
	struct connector_name c = connector;
	struct sockaddr_un sa;
	socklen_t len;
	struct name n;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	len = sizeof(sa);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	ck_assert_int_eq(kind_of(&sa, len), NAME_NONE);
	c.token = (uint64_t)getpid();
	len = connector_name_encode(&c, &sa);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&sa, len), 0);
	len = sizeof(sa);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	name_decode(&sa, len, &n);
	ck_assert_int_eq(n.kind, NAME_CONNECTOR);
	ck_assert(n.connector.token == c.token);
	close(fd);
}
END_TEST

static void fill(TCase *t)
{
	tcase_add_test(t, round_trips);
	tcase_add_test(t, distinct);
	tcase_add_test(t, strangers);
	tcase_add_test(t, native);
	tcase_add_test(t, real_sockets);
}

int main(void)
{
	return run_suite("name", fill);
}
