# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# archive.sh - for scripts that fetch packages of Debian's without installing
# them; sourced. $me is the script's name, $cache the directory where things
# are kept, $own the release that this machine runs.

cache=${HVSOCKET_CACHE:-${XDG_CACHE_HOME:-${HOME:-/var/tmp}/.cache}/hvsocket}
work=
own=bookworm
# shellcheck source=/dev/null
[ ! -r /etc/os-release ] || own=$(. /etc/os-release &&
	echo "${VERSION_CODENAME:-bookworm}")

die() {
	echo "$me: $*" >&2
	exit 1
}

say() {
	echo "$me: $*" >&2
}

cleanup() {
	[ -z "$work" ] || rm -rf "$work"
}
trap cleanup EXIT

make_work() {
	mkdir -p "$cache" || die "cannot make $cache"
	work=$(mktemp -d "$cache/new.XXXXXX")
}

# run_apt WHAT COMMAND...: its output is shown only if it fails.
run_apt() {
	local what=$1
	shift
	if ! "$@" >"$work/apt.log" 2>&1; then
		sed 's/^/  /' "$work/apt.log" >&2
		die "$what failed: $*"
	fi
}

# use_apt: $apt_get and $apt_cache, with the machine's own lists
use_apt() {
	command -v apt-get >/dev/null || die "no apt-get here: ${1:-}"
	apt_opts=(-o APT::Sandbox::User=root -o Debug::NoLocking=1
		-o Acquire::Retries=2)
	apt_get=(apt-get "${apt_opts[@]}")
	apt_cache=(apt-cache "${apt_opts[@]}")
}

# An archive of Debian's that this machine already uses.
archive_uri() {
	# shellcheck disable=SC2016 # the words in $() are apt's
	apt-get indextargets --format '$(REPO_URI) $(CODENAME) $(RELEASE)' \
		'Created-By: Packages' 2>/dev/null |
		awk -v own="$own" '($2 == own || $3 == own) &&
			$1 !~ /security/ { print $1; exit }'
}

# Private lists of packages, so that neither root nor the machine's own state
# is needed. Without an argument: of the machine's own sources.
private_lists() {
	local suite=${1:-} state uri
	state=$cache/apt-${suite:-own}
	mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
	apt_opts+=(-o "Dir::State::lists=$state/lists"
		-o "Dir::Cache=$state/cache")
	if [ -n "$suite" ]; then
		uri=$(archive_uri)
		[ -n "$uri" ] || die "no Debian archive ($own main) among" \
			"this machine's package sources, to get $suite from"
		echo "deb $uri $suite main" >"$state/sources.list"
		apt_opts+=(-o "Dir::Etc::sourcelist=$state/sources.list"
			-o Dir::Etc::sourceparts=-)
	fi
	apt_get=(apt-get "${apt_opts[@]}")
	apt_cache=(apt-cache "${apt_opts[@]}")
	say "reading the list of packages of ${suite:-this release}"
	run_apt "reading the list of packages" "${apt_get[@]}" update
}

# The release that a kernel's line belongs to.
suite_of() {
	case $1 in
	6.1) echo bookworm ;;
	6.12) echo trixie ;;
	*) echo "$1" ;;
	esac
}
