/* SPDX-License-Identifier: MIT */
/*
 * domain-xml.h - what is to be known of a libvirt domain, from its XML
 *
 * Pure. Names in it were chosen by whoever may define domains: nothing is taken
 * for granted. A document type is refused, and with it all entities of its own.
 */
#ifndef HVCTL_DOMAIN_XML_H
#define HVCTL_DOMAIN_XML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hvsocket.h>

#define DOMAIN_NAME_MAX 255
#define DOMAIN_WHY 120

struct domain {
	char name[DOMAIN_NAME_MAX + 1];
	GUID uuid;
	bool active; /* it has an id */
	bool has_vsock;
	uint32_t cid; /* 0: none yet */
};

/**
 * domain_xml_parse() - the first document in @text, of which there may be more
 * @ret_used:	bytes up to its end
 * @why:	DOMAIN_WHY bytes: what is wrong, if the result is not 0
 *
 * Return: 0; -EINVAL; -ENOMEM.
 */
int domain_xml_parse(const char *text, size_t len, struct domain *ret,
		     size_t *ret_used, char *why);

#endif /* HVCTL_DOMAIN_XML_H */
