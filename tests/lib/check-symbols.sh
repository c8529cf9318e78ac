#!/bin/bash
# SPDX-License-Identifier: MIT
# check-symbols.sh SOURCE-ROOT LIBRARY - the map, the headers, the library and
# the manual pages name the same symbols
set -eu
root=$1
lib=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bad=0

sed -n '/global:/,/local:/s/^[[:space:]]*\([A-Za-z_][A-Za-z0-9_]*\);.*/\1/p' \
	"$root/src/lib/hvsocket.map" | sort >"$work/map"
cat "$root"/include/hvsocket.h "$root"/include/hvsocket/*.h 2>/dev/null |
	grep -v '^#' | tr '\n' ' ' | grep -o 'HVS_PUBLIC [^;(]*[;(]' |
	sed 's/[;(]$//; s/.*[^A-Za-z0-9_]//' |
	sort -u >"$work/headers"
nm -D --defined-only "$lib" | awk '$3 !~ /^HVSOCKET_/ { print $3 }' |
	sed 's/@@HVSOCKET_0\.1$//' | sort >"$work/lib"

for other in headers lib; do
	if ! diff -u "$work/map" "$work/$other"; then
		echo "the map and the $other differ"
		bad=1
	fi
done
while read -r symbol; do
	case $symbol in
	hvs_ws*) ;; # behind the macros of <hvsocket/winsock.h>
	hvs_*)
		[ -f "$root/docs/man/$symbol.3" ] || {
			echo "$symbol has no manual page"
			bad=1
		} ;;
	esac
done <"$work/map"
echo "$(wc -l <"$work/map") symbols"
exit $bad
