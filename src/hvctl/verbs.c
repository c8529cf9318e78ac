/* SPDX-License-Identifier: MIT */
/* verbs.c - see verbs.h */
#include "hvctl/verbs.h"

#include <string.h>

#define OPT_JSON { .name = "json", .help = "print what the broker answers" }
#define OPT_END { .name = NULL }

static const struct opt opts_none[] = { OPT_END };
static const struct opt opts_json[] = { OPT_JSON, OPT_END };

static const struct opt opts_service_add[] = {
	{ .name = "id", .arg = "GUID", .help = "its ServiceId (default: new)" },
	{ .name = "port", .arg = "N",
	  .help = "AF_VSOCK port, for guests with stock kernels" },
	{ .name = "policy", .arg = "POLICY",
	  .help = "enabled, disabled or default" },
	{ .name = "bind", .arg = "LIST",
	  .help = "who may listen: user:NAME, group:NAME, partition:NAME, "
		  "any, none" },
	{ .name = "connect", .arg = "LIST", .help = "who may connect" },
	{ .name = "siblings", .arg = "NAMES",
	  .help = "partitions that may connect to those beside them" },
	{ .name = "no-wildcard",
	  .help = "wildcard binds do not hear this service" },
	{ .name = "target", .arg = "unix:PATH",
	  .help = "a daemon's Unix socket that is the listener" },
	{ .name = "ephemeral",
	  .help = "volatile: until removed, or the machine restarts" },
	{ .name = "lease", .arg = "PID",
	  .help = "with --ephemeral: until this process ends" },
	OPT_JSON,
	OPT_END,
};

static const struct opt opts_export[] = {
	{ .name = "utf8", .help = "UTF-8 instead of UTF-16LE" },
	OPT_END,
};

static const struct opt opts_partition_add[] = {
	{ .name = "id", .arg = "GUID", .help = "its VmId (default: new)" },
	{ .name = "kind", .arg = "KIND", .help = "vm or container" },
	{ .name = "parent", .arg = "NAME", .help = "default: the host" },
	{ .name = "user", .arg = "USER",
	  .help = "whose transports may attach it" },
	{ .name = "cid", .arg = "N",
	  .help = "of a VM of the kernel's vsock (hvsocket-vsock)" },
	{ .name = "sibling-cid", .arg = "N",
	  .help = "the CID that stock guests beside it know it by" },
	{ .name = "ephemeral",
	  .help = "volatile: until removed, or the machine restarts" },
	OPT_JSON,
	OPT_END,
};

static const struct opt opts_partition_id[] = {
	{ .name = "from-container", .arg = "TEXT",
	  .help = "the VmId that stands for a container runtime's id" },
	OPT_END,
};

static const struct opt opts_partition_set[] = {
	{ .name = "name", .arg = "NAME", .help = "a new name" },
	{ .name = "user", .arg = "USER",
	  .help = "whose transports may attach it" },
	{ .name = "cid", .arg = "N|none",
	  .help = "of a VM of the kernel's vsock (hvsocket-vsock)" },
	{ .name = "sibling-cid", .arg = "N|none",
	  .help = "the CID that stock guests beside it know it by" },
	{ .name = "enabled", .arg = "YES|NO",
	  .help = "may it use sockets at all?" },
	OPT_JSON,
	OPT_END,
};

static const struct opt opts_import[] = {
	{ .name = "connect", .letter = 'c', .arg = "URI",
	  .help = "which libvirt, as for virsh (default: virsh's own)" },
	{ .name = "watch",
	  .help = "go on, and follow what becomes of the domains" },
	OPT_END,
};

static const struct opt opts_listeners[] = {
	{ .name = "verbose", .letter = 'v',
	  .help = "which partitions a wildcard covers, and why not" },
	OPT_JSON,
	OPT_END,
};

static const struct opt opts_explain[] = {
	{ .name = "from", .arg = "PARTITION",
	  .help = "who asks (default: the partition of the caller)" },
	{ .name = "uid", .arg = "N", .help = "as which user of the host" },
	{ .name = "bind", .help = "would a bind to ADDRESS be allowed?" },
	{ .name = "raw", .help = "type RAW instead of STREAM" },
	{ .name = "dgram", .help = "type DGRAM instead of STREAM" },
	{ .name = "passthru", .help = "as with HVSOCKET_CONTAINER_PASSTHRU" },
	{ .name = "profile", .arg = "NAME",
	  .help = "windows: only what Windows allows" },
	OPT_JSON,
	OPT_END,
};

static const struct opt opts_wait[] = {
	{ .name = "raw", .help = "type RAW instead of STREAM" },
	{ .name = "timeout", .letter = 't', .arg = "SECONDS",
	  .help = "give up (default: never)" },
	{ .name = "via", .arg = "WAY", .help = "of a VM: ready, driver or agent" },
	{ .name = "settle", .arg = "SECONDS",
	  .help = "its driver is enough after so long (30)" },
	OPT_JSON,
	OPT_END,
};

static const struct opt opts_nc[] = {
	{ .name = "listen", .letter = 'l',
	  .help = "take one connection instead of making it" },
	{ .name = "raw", .help = "type RAW: what is read at once is one message" },
	{ .name = "dgram", .letter = 'u',
	  .help = "datagrams: what is read at once is one" },
	{ .name = "wait", .letter = 'w', .help = "wait for a listener" },
	{ .name = "fdpass",
	  .help = "pass the connected socket to stdout: ssh's ProxyUseFdpass" },
	{ .name = "timeout", .letter = 't', .arg = "SECONDS",
	  .help = "for the connect, at most 300 (default: 2); with -u for answers" },
	{ .name = "verbose", .letter = 'v',
	  .help = "say on stderr who is connected, and whom a wildcard covers" },
	OPT_END,
};

#define OPT_ALL { .name = "all", .help = "every VM that is attached" }
#define OPT_VIA \
	{ .name = "via", .arg = "WAY", \
	  .help = "vmbus or agent (default: vmbus where the VM is on VMBus)" }
#define OPT_GUEST_TIMEOUT \
	{ .name = "timeout", .letter = 't', .arg = "SECONDS", \
	  .help = "for the guest's answer, at most 300 (default: 10)" }

static const struct opt opts_guests[] = {
	OPT_ALL,
	OPT_VIA,
	OPT_GUEST_TIMEOUT,
	OPT_JSON,
	OPT_END,
};

static const struct opt opts_integration[] = {
	{ .name = "all", .help = "every VM that is on VMBus" },
	OPT_GUEST_TIMEOUT,
	OPT_JSON,
	OPT_END,
};

static const struct opt opts_guest[] = {
	OPT_GUEST_TIMEOUT,
	OPT_JSON,
	OPT_END,
};

static const struct opt opts_kvp[] = {
	{ .name = "pool", .letter = 'p', .arg = "POOL",
	  .help = "external, guest, auto, auto-external, auto-internal" },
	OPT_GUEST_TIMEOUT,
	OPT_JSON,
	OPT_END,
};

static const struct opt opts_kvp_set_ip[] = {
	{ .name = "dhcp", .help = "the guest is to ask for one" },
	{ .name = "address", .arg = "LIST", .help = "IP addresses, with ;" },
	{ .name = "mask", .arg = "LIST",
	  .help = "the mask, or prefix length, of each" },
	{ .name = "gateway", .arg = "LIST", .help = "gateways" },
	{ .name = "dns", .arg = "LIST", .help = "name servers" },
	OPT_GUEST_TIMEOUT,
	OPT_JSON,
	OPT_END,
};

static const struct opt opts_fcopy[] = {
	{ .name = "overwrite", .help = "a file that is there" },
	{ .name = "mkdir", .help = "make the directory" },
	OPT_GUEST_TIMEOUT,
	OPT_END,
};

static const struct opt opts_freeze[] = {
	OPT_ALL,
	OPT_VIA,
	{ .name = "hold", .arg = "SECONDS",
	  .help = "thaw by itself after that, at most 900 (default: 60)" },
	OPT_GUEST_TIMEOUT,
	OPT_JSON,
	OPT_END,
};

static const struct opt opts_reboot[] = {
	OPT_ALL,
	OPT_VIA,
	{ .name = "force", .help = "programs that do not end are ended" },
	{ .name = "message", .letter = 'm', .arg = "TEXT",
	  .help = "the reason, for the guest's log" },
	OPT_GUEST_TIMEOUT,
	OPT_JSON,
	OPT_END,
};

static const struct opt opts_shutdown[] = {
	OPT_ALL,
	OPT_VIA,
	{ .name = "force", .help = "programs that do not end are ended" },
	{ .name = "hibernate", .help = "to its disk, if the guest can" },
	{ .name = "message", .letter = 'm', .arg = "TEXT",
	  .help = "the reason, for the guest's log" },
	OPT_GUEST_TIMEOUT,
	OPT_JSON,
	OPT_END,
};

#define OPT_SESSION \
	{ .name = "login", .letter = 'l', .arg = "USER", \
	  .help = "as whom (default: ssh's choice)" }, \
	{ .name = "identity", .letter = 'i', .arg = "FILE", \
	  .help = "the private key" }, \
	{ .name = "ssh-option", .letter = 'o', .arg = "NAME=VALUE", \
	  .help = "an option of ssh_config(5)", .many = true }, \
	{ .name = "service", .arg = "SERVICE", \
	  .help = "where sshd listens (default: 22)" }, \
	{ .name = "timeout", .letter = 't', .arg = "SECONDS", \
	  .help = "for the connect, at most 300 (default: 10)" }

static const struct opt opts_ssh[] = {
	OPT_SESSION,
	{ .name = "config",
	  .help = "print what belongs into ~/.ssh/config, for ssh hv/VM" },
	{ .name = "update",
	  .help = "write the stanzas anew that this includes" },
	{ .name = "install-key", .arg = "FILE",
	  .help = "a public key that may log in from now on" },
	{ .name = "via", .arg = "WAY",
	  .help = "with --install-key: kvp (default), agent or credential" },
	OPT_END,
};

static const struct opt opts_shell[] = {
	OPT_SESSION,
	OPT_END,
};

static const struct opt opts_exec[] = {
	OPT_SESSION,
	{ .name = "terminal", .help = "a terminal, though there is none here" },
	{ .name = "no-terminal", .help = "none, though there is one here" },
	{ .name = "fresh", .help = "a connection of its own, not a kept one" },
	{ .name = "via", .arg = "WAY",
	  .help = "ssh (default); agent: qemu-guest-agent, as its user" },
	OPT_END,
};

static const struct opt opts_cp[] = {
	OPT_SESSION,
	{ .name = "recursive", .letter = 'r', .help = "directories too" },
	{ .name = "preserve", .letter = 'p', .help = "times, too" },
	{ .name = "quiet", .letter = 'q', .help = "no progress on a terminal" },
	{ .name = "no-resume",
	  .help = "do not go on with what an earlier call has begun" },
	{ .name = "no-verify", .help = "compare no checksums" },
	{ .name = "via", .arg = "WAY",
	  .help = "ssh (default); without sshd agent, or fcopy" },
	OPT_END,
};

static const struct opt opts_forward[] = {
	{ .name = "verbose", .letter = 'v',
	  .help = "say on stderr each connection, and whom a wildcard covers" },
	OPT_END,
};

static const struct opt opts_as[] = {
	{ .name = "private",
	  .help = "under a broker of its own, which ends with COMMAND" },
	{ .name = "partition", .arg = "NAME", .many = true,
	  .help = "with --private: a partition to be there" },
	{ .name = "profile", .arg = "NAME",
	  .help = "windows: only what Windows allows" },
	{ .name = "via", .arg = "WAY",
	  .help = "preload or seccomp (default: as COMMAND's file asks for)" },
	{ .name = "verbose", .letter = 'v',
	  .help = "say on stderr which way was taken, and why" },
	OPT_END,
};

const struct verb verbs[] = {
	{ "service", "add", cmd_service_add, "NAME [OPTION]...",
	  "register a service; prints its ServiceId", opts_service_add, 1, 1,
	  ARGS_REST_NONE,
	  "Without --ephemeral a file is written where the broker reads it, "
	  "which for the\nsystem's broker takes root. With --ephemeral anyone "
	  "may." },
	{ "service", "list", cmd_service_list, "[--json]",
	  "services that are in force", opts_json, 0, 0, ARGS_REST_NONE, NULL },
	{ "service", "show", cmd_service_show, "SERVICE [--json]",
	  "all about one service", opts_json, 1, 1, ARGS_REST_NONE, NULL },
	{ "service", "enable", cmd_service_enable, "SERVICE",
	  "set its policy to enabled", opts_none, 1, 1, ARGS_REST_NONE, NULL },
	{ "service", "disable", cmd_service_disable, "SERVICE",
	  "set its policy to disabled", opts_none, 1, 1, ARGS_REST_NONE, NULL },
	{ "service", "revert", cmd_service_revert, "SERVICE",
	  "back to the package's file, or to policy default", opts_none, 1, 1,
	  ARGS_REST_NONE, NULL },
	{ "service", "remove", cmd_service_remove, "SERVICE",
	  "take a service out of the registry", opts_none, 1, 1,
	  ARGS_REST_NONE,
	  "A file of a package is not deleted but masked by an empty one." },
	{ "service", "import", cmd_service_import, "FILE [--json]",
	  "register what a Windows .reg file registers (- is stdin)", opts_json,
	  1, 1, ARGS_REST_NONE, NULL },
	{ "service", "export", cmd_service_export, "[--utf8] FILE [SERVICE]...",
	  "write a Windows .reg file (- is stdout)", opts_export, 1, ARGS_MAX,
	  ARGS_REST_NONE, "Without SERVICE all that are in force." },
	{ "partition", "add", cmd_partition_add, "NAME [OPTION]...",
	  "make a VM or container known; prints its VmId", opts_partition_add,
	  1, 1, ARGS_REST_NONE,
	  "hvctl vm add and hvctl container add are the same with --kind." },
	{ "partition", "list", cmd_partition_list, "[--json]",
	  "partitions, the host first", opts_json, 0, 0, ARGS_REST_NONE,
	  "hvctl vm list and hvctl container list show those kinds only." },
	{ "partition", "id", cmd_partition_id,
	  "NAME | --from-container TEXT", "print a VmId alone",
	  opts_partition_id, 0, 1, ARGS_REST_NONE, NULL },
	{ "partition", "show", cmd_partition_show, "PARTITION [--json]",
	  "all about one partition", opts_json, 1, 1, ARGS_REST_NONE, NULL },
	{ "partition", "set", cmd_partition_set, "PARTITION OPTION...",
	  "change its name, user, CID, or whether it is enabled",
	  opts_partition_set, 1, 1, ARGS_REST_NONE, NULL },
	{ "partition", "remove", cmd_partition_remove, "PARTITION",
	  "forget it; its listeners are closed", opts_none, 1, 1,
	  ARGS_REST_NONE, NULL },
	{ "partition", "import", cmd_partition_import,
	  "[OPTION]... libvirt",
	  "make a partition of each libvirt domain that has a vsock",
	  opts_import, 1, 1, ARGS_REST_NONE,
	  "Asks virsh. Prints name, VmId and CID of each; the partitions are "
	  "volatile, and\none whose VmId is known already only gets its CID. "
	  "hvsocket-vsock attaches them." },
	{ "integration", "list", cmd_integration_list,
	  "[--all | VM...] [OPTION]...",
	  "integration services, and why one cannot be used", opts_integration, 0,
	  ARGS_MAX, ARGS_REST_NONE, NULL },
	{ "integration", "enable", cmd_integration_enable, "VM SERVICE",
	  "offer it to the guest", opts_guest, 2, 2, ARGS_REST_NONE,
	  "SERVICE is heartbeat, shutdown, timesync, kvp, vss or fcopy." },
	{ "integration", "disable", cmd_integration_disable, "VM SERVICE",
	  "take it from the guest", opts_guest, 2, 2, ARGS_REST_NONE, NULL },
	{ NULL, "info", cmd_info, "[--all | VM...] [OPTION]...",
	  "what the guest says about itself", opts_guests, 0, ARGS_MAX,
	  ARGS_REST_NONE, NULL },
	{ NULL, "heartbeat", cmd_heartbeat, "[--all | VM...] [OPTION]...",
	  "does the guest live?", opts_guests, 0, ARGS_MAX, ARGS_REST_NONE,
	  "VM is a name, a VmId, or a pattern (web*). The exit code is 0 if "
	  "all do." },
	{ NULL, "shutdown", cmd_shutdown, "[--all | VM...] [OPTION]...",
	  "ask the guest to shut down, or to hibernate", opts_shutdown, 0,
	  ARGS_MAX, ARGS_REST_NONE, NULL },
	{ NULL, "reboot", cmd_reboot, "[--all | VM...] [OPTION]...",
	  "ask the guest to reboot", opts_reboot, 0, ARGS_MAX, ARGS_REST_NONE,
	  NULL },
	{ NULL, "time", cmd_time, "[--all | VM...] [OPTION]...",
	  "set the guest's clock to the host's", opts_guests, 0, ARGS_MAX,
	  ARGS_REST_NONE, NULL },
	{ NULL, "fcopy", cmd_fcopy, "VM FILE PATH [OPTION]...",
	  "copy a file into a guest of Linux 6.1 or before", opts_fcopy, 3, 3,
	  ARGS_REST_NONE,
	  "PATH begins with /; if it ends with one, FILE's name comes after "
	  "it. The service\nis called fcopy and is disabled at first: hvctl "
	  "integration enable VM fcopy." },
	{ NULL, "freeze", cmd_freeze,
	  "[--all | VM...] [OPTION]... [-- COMMAND]",
	  "have the guest's file systems stand still, for a backup",
	  opts_freeze, 0, ARGS_MAX, ARGS_REST_MAYBE,
	  "With COMMAND: while it runs, and not longer, whatever becomes of "
	  "hvctl; the exit\nstatus is COMMAND's." },
	{ NULL, "thaw", cmd_thaw, "[--all | VM...] [OPTION]...",
	  "end a freeze", opts_guests, 0, ARGS_MAX, ARGS_REST_NONE, NULL },
	{ "kvp", "get", cmd_kvp_get, "VM KEY [OPTION]...",
	  "a value of the guest's (default: pool guest)", opts_kvp, 2, 2,
	  ARGS_REST_NONE, NULL },
	{ "kvp", "set", cmd_kvp_set, "VM KEY VALUE [OPTION]...",
	  "tell the guest a value (default: pool external)", opts_kvp, 3, 3,
	  ARGS_REST_NONE, NULL },
	{ "kvp", "delete", cmd_kvp_delete, "VM KEY [OPTION]...",
	  "take a value away (default: pool external)", opts_kvp, 2, 2,
	  ARGS_REST_NONE, NULL },
	{ "kvp", "list", cmd_kvp_list, "VM [OPTION]...",
	  "what is in the guest's pools", opts_kvp, 1, 1, ARGS_REST_NONE,
	  "Pool auto has facts: name, addresses, system. Without --pool all "
	  "pools are listed." },
	{ "kvp", "ip", cmd_kvp_ip, "VM ADAPTER [OPTION]...",
	  "the addresses of one of the guest's adapters", opts_guest, 2, 2,
	  ARGS_REST_NONE, "ADAPTER is a MAC address (Linux knows it by that) or a GUID." },
	{ "kvp", "set-ip", cmd_kvp_set_ip, "VM ADAPTER [OPTION]...",
	  "give one of the guest's adapters addresses", opts_kvp_set_ip, 2, 2,
	  ARGS_REST_NONE,
	  "ADAPTER is the GUID of a Hyper-V adapter in the guest. An address, or "
	  "--dhcp: one of the two." },
	{ NULL, "listeners", cmd_listeners, "[-v] [--json]",
	  "who listens, to whom", opts_listeners, 0, 0, ARGS_REST_NONE, NULL },
	{ NULL, "connections", cmd_connections, "[--json]",
	  "connections that are open", opts_json, 0, 0, ARGS_REST_NONE,
	  "What the broker cannot know of connections within the host shows "
	  "as \u2013." },
	{ NULL, "status", cmd_status, "[--json]",
	  "the broker, its counters, and what is wrong", opts_json, 0, 0,
	  ARGS_REST_NONE, NULL },
	{ NULL, "nc", cmd_nc, "[-l] [OPTION]... ADDRESS",
	  "connect stdin and stdout to a service", opts_nc, 1, 1,
	  ARGS_REST_NONE,
	  "End of stdin is passed on while the other direction goes on, and "
	  "the reverse." },
	{ NULL, "ssh", cmd_ssh,
	  "[OPTION]... [USER@]VM [ARGUMENT]...",
	  "become ssh(1), to a VM's sshd without a network", opts_ssh, 0, 1,
	  ARGS_REST_VERBATIM,
	  "What follows VM is ssh's: options, then a command. Exits as ssh "
	  "does: 255 where\nthere is no session." },
	{ NULL, "shell", cmd_shell, "[OPTION]... [USER@]VM",
	  "a login shell in a VM", opts_shell, 1, 1, ARGS_REST_NONE, NULL },
	{ NULL, "exec", cmd_exec, "[OPTION]... [USER@]VM -- COMMAND",
	  "run a command in a VM", opts_exec, 1, 1, ARGS_REST_COMMAND,
	  "Its words arrive as they are, signals too. The exit status is "
	  "COMMAND's, 128 and\nits number for a signal, or 255 where there is "
	  "no session. The connection is kept\nfor 10 minutes for the next." },
	{ NULL, "cp", cmd_cp,
	  "[OPTION]... FILE... [USER@]VM:PATH | [USER@]VM:PATH... FILE",
	  "copy files into a VM or out of it", opts_cp, 2, ARGS_MAX,
	  ARGS_REST_NONE,
	  "Nothing incomplete is ever under the final name; what was cut is "
	  "gone on with by\nthe next call." },
	{ NULL, "forward", cmd_forward, "[-v] LISTEN TARGET",
	  "pass connections on: tcp:HOST:PORT, unix:PATH, or ADDRESS",
	  opts_forward, 2, 2, ARGS_REST_NONE,
	  "Prints where it listens (tcp port 0: the port that was chosen) and "
	  "runs until it\nis ended. A partition called tcp or unix is written "
	  "as its GUID." },
	{ NULL, "attach", cmd_attach, "TRANSPORT [ARGUMENT]...",
	  "start a transport: vhost-user, vmbus, hybrid, vsock", opts_none, 1, 1,
	  ARGS_REST_VERBATIM,
	  "hvctl attach vhost-user --partition NAME --socket-path PATH" },
	{ NULL, "wait", cmd_wait, "[OPTION]... ADDRESS|VM",
	  "until a connect would find a listener, or a guest has started", opts_wait, 1, 1,
	  ARGS_REST_NONE, NULL },
	{ NULL, "as", cmd_as, "[OPTION]... PARTITION -- COMMAND",
	  "run a command as a member of a partition", opts_as, 1, 1,
	  ARGS_REST_COMMAND,
	  "The exit status is COMMAND's. Statically linked and Go programs, "
	  "which do not see\nlibhvsocket-preload.so, have their calls made for "
	  "them by seccomp." },
	{ NULL, "explain", cmd_explain, "[OPTION]... ADDRESS",
	  "would this be allowed, and why?", opts_explain, 1, 1,
	  ARGS_REST_NONE, "The exit code is 0 for yes and 1 for no." },
	{ NULL, "simulate", cmd_simulate, "PARTITION EVENT [--json]",
	  "do to its connections what Windows does at an event", opts_json, 2,
	  2, ARGS_REST_NONE,
	  "EVENT is pause, save, reset, migrate, host-sleep, or resume, which "
	  "ends a pause or\na save. The guest itself is left alone. "
	  "PARTITION is host for host-sleep of all." },
	{ NULL, "reload", cmd_reload, "[--json]",
	  "have the broker read all files again", opts_json, 0, 0,
	  ARGS_REST_NONE, NULL },
	{ NULL, "help", cmd_help, "[VERB]", "this, or all about one verb",
	  opts_none, 0, 2, ARGS_REST_NONE, NULL },
	{ NULL, "version", cmd_version, "", "print hvctl's version", opts_none,
	  0, 0, ARGS_REST_NONE, NULL },
	{ .name = NULL },
};

const struct verb *verb_find(char **words, size_t *ret_words)
{
	const char *group = words[0];

	if (!strcmp(group, "vm") || !strcmp(group, "container"))
		group = "partition";
	for (const struct verb *v = verbs; v->name; v++) {
		if (!v->group && !strcmp(v->name, group)) {
			*ret_words = 1;
			return v;
		}
		if (v->group && !strcmp(v->group, group) && words[1] &&
		    !strcmp(v->name, words[1])) {
			*ret_words = 2;
			return v;
		}
	}
	return NULL;
}
