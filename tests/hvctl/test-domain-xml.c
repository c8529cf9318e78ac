/* SPDX-License-Identifier: MIT */
/* test-domain-xml.c - what is read of a libvirt domain, and what is refused */
#include <stdio.h>

#include "../unit/suite.h"
#include "base/bytes.h"
#include "base/guid.h"
#include "hvctl/domain-xml.h"

#define UUID "c7a5fdbd-edaf-9455-926a-d65c16db1809"
#define HEAD "<name>web1</name><uuid>" UUID "</uuid>"
#define VSOCK(cid) "<devices><vsock model='virtio'>" cid "</vsock></devices>"

static int parse(const char *text, struct domain *d, size_t *used, char *why)
{
	size_t len = strlen(text);
	char *p = exact(text, len);
	int r;

	*why = '\0';
	r = domain_xml_parse(p, len, d, used, why);
	free(p);
	return r;
}

START_TEST(good)
{
	static const struct {
		const char *text;
		bool active, has_vsock;
		uint32_t cid;
	} rows[] = {
		{ "<domain>" HEAD "</domain>", false, false, 0 },
		{ "<domain id='7'>" HEAD "</domain>", true, false, 0 },
		{ "<domain id='7'>" HEAD VSOCK("<cid auto='yes' address='5'/>")
		  "</domain>", true, true, 5 },
		{ "<domain>" HEAD VSOCK("<cid auto='yes'/>") "</domain>",
		  false, true, 0 },
		{ "<domain>" HEAD VSOCK("") "</domain>", false, true, 0 },
		{ "<domain>" VSOCK("<cid address='4294967294'/>") HEAD
		  "</domain>", false, true, 0xfffffffe },
		/* the same names elsewhere mean nothing */
		{ "<domain>" HEAD "<metadata><name>x</name><devices><vsock>"
		  "<cid address='9'/></vsock></devices></metadata></domain>",
		  false, false, 0 },
		{ "<domain>" HEAD "<devices><x><vsock><cid address='9'/>"
		  "</vsock></x></devices></domain>", false, false, 0 },
		{ "<domain>" HEAD "<vsock><cid address='9'/></vsock></domain>",
		  false, false, 0 },
		{ "<domain>" HEAD "<devices/><x><vsock><cid address='9'/>"
		  "</vsock></x></domain>", false, false, 0 },
		{ "<?xml version='1.0'?><!-- <domain> --><domain>" HEAD
		  VSOCK("<alias/><cid address='3'/><address/>") "</domain>",
		  false, true, 3 },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char why[DOMAIN_WHY], id[GUID_TEXT_SIZE];
		struct domain d;
		size_t used;

		ck_assert_msg(parse(rows[i].text, &d, &used, why) == 0,
			      "%s: %s", rows[i].text, why);
		ck_assert_uint_eq(used, strlen(rows[i].text));
		ck_assert_str_eq(d.name, "web1");
		ck_assert_str_eq(guid_format(&d.uuid, id), UUID);
		ck_assert_int_eq(d.active, rows[i].active);
		ck_assert_int_eq(d.has_vsock, rows[i].has_vsock);
		ck_assert_uint_eq(d.cid, rows[i].cid);
		/* no part of it is a domain */
		for (size_t n = 0; n < strlen(rows[i].text); n++) {
			char *p = exact(rows[i].text, n);

			why[0] = '\0';
			ck_assert_int_eq(domain_xml_parse(p, n, &d, &used, why),
					 -EINVAL);
			ck_assert_str_ne(why, "");
			free(p);
		}
	}
}
END_TEST

START_TEST(several)
{
	static const char text[] = "<domain><name>a &amp; &#x62;</name><uuid>"
				   UUID "</uuid></domain>\n\n<domain>" HEAD
				   "</domain>trash";
	char why[DOMAIN_WHY];
	struct domain d;
	size_t used;

	ck_assert_int_eq(parse(text, &d, &used, why), 0);
	ck_assert_str_eq(d.name, "a & b");
	ck_assert_str_eq(text + used + 2, strrchr(text, '\n') + 1);
	ck_assert_int_eq(parse(text + used + 2, &d, &used, why), 0);
	ck_assert_str_eq(d.name, "web1");
	ck_assert_int_eq(parse("trash", &d, &used, why), -EINVAL);
}
END_TEST

START_TEST(bad)
{
	static const struct {
		const char *text, *why;
	} rows[] = {
		{ "", "" },
		{ " ", "" },
		{ "error: failed to get domain", "line 1" },
		{ "<network>" HEAD "</network>", "no domain" },
		{ "<domain><uuid>" UUID "</uuid></domain>", "no name" },
		{ "<domain><name/><uuid>" UUID "</uuid></domain>", "no name" },
		{ "<domain><name>x</name></domain>", "no UUID" },
		{ "<domain><name>x</name><uuid>5</uuid></domain>", "no UUID" },
		{ "<domain><name>x</name><uuid>00000000-0000-0000-0000-"
		  "000000000000</uuid></domain>", "no UUID" },
		{ "<domain><name>x</name><uuid>" UUID UUID "</uuid></domain>",
		  "UUID is too long" },
		{ "<domain>" HEAD "<name>y</name></domain>", "two names" },
		{ "<domain>" HEAD "<uuid>" UUID "</uuid></domain>",
		  "two UUIDs" },
		{ "<domain><name>x<y/></name></domain>", "elements in its name" },
		{ "<domain>" HEAD VSOCK("<cid address='2'/>") "</domain>",
		  "no guest's" },
		{ "<domain>" HEAD VSOCK("<cid address='0'/>") "</domain>",
		  "no guest's" },
		{ "<domain>" HEAD VSOCK("<cid address='4294967295'/>")
		  "</domain>", "no guest's" },
		{ "<domain>" HEAD VSOCK("<cid address='4294967299'/>")
		  "</domain>", "no guest's" },
		{ "<domain>" HEAD VSOCK("<cid address='-5'/>") "</domain>",
		  "no guest's" },
		{ "<domain>" HEAD VSOCK("<cid address='5 '/>") "</domain>",
		  "no guest's" },
		{ "<domain>" HEAD VSOCK("<cid address=''/>") "</domain>",
		  "no guest's" },
		{ "<domain>" HEAD VSOCK("<cid address='5'/><cid address='6'/>")
		  "</domain>", "two CIDs" },
		{ "<!DOCTYPE domain><domain>" HEAD "</domain>",
		  "document type" },
		{ "<!DOCTYPE domain [<!ENTITY x 'y'>]><domain><name>&x;</name>"
		  "<uuid>" UUID "</uuid></domain>", "document type" },
		{ "<!DOCTYPE domain SYSTEM 'file:///etc/passwd'><domain>" HEAD
		  "</domain>", "document type" },
		{ "<domain><name>&x;</name></domain>", "line 1" },
		{ "<domain><name>\xff</name></domain>", "line 1" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char why[DOMAIN_WHY];
		struct domain d;
		size_t used;

		ck_assert_msg(parse(rows[i].text, &d, &used, why) == -EINVAL,
			      "%s is good", rows[i].text);
		ck_assert_msg(*why && strstr(why, rows[i].why), "%s: %s",
			      rows[i].text, why);
	}
}
END_TEST

START_TEST(limits)
{
	static char text[200000];
	char why[DOMAIN_WHY];
	struct domain d;
	size_t used;

	snprintf(text, sizeof(text), "<domain><name>%0255d</name><uuid>" UUID
		 "</uuid></domain>", 1);
	ck_assert_int_eq(parse(text, &d, &used, why), 0);
	ck_assert_uint_eq(strlen(d.name), 255);
	snprintf(text, sizeof(text), "<domain><name>%0256d</name><uuid>" UUID
		 "</uuid></domain>", 1);
	ck_assert_int_eq(parse(text, &d, &used, why), -EINVAL);
	ck_assert_str_eq(why, "its name is too long");
	strcpy(text, "<domain>");
	for (int i = 0; i < 20000; i++)
		strcpy(text + 8 + i * 3, "<a>");
	ck_assert_int_eq(parse(text, &d, &used, why), -EINVAL);
	ck_assert_str_eq(why, "it is nested too deep");
}
END_TEST

static void fill(TCase *t)
{
	tcase_add_test(t, good);
	tcase_add_test(t, several);
	tcase_add_test(t, bad);
	tcase_add_test(t, limits);
}

int main(void)
{
	return run_suite("domain-xml", fill);
}
