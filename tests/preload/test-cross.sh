#!/bin/bash
# SPDX-License-Identifier: MIT
# winsock.h and the examples that use it build for Windows, and the header
# alone builds here in every language it promises. A compiler that is missing
# is a failure.
#
#	test-cross.sh SOURCE-DIRECTORY
#
# report() calls the other functions:
# shellcheck disable=SC2317
set -eu
top=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
n=0
failed=0

# report WHAT COMMAND...
report()
{
	what=$1
	shift
	n=$((n + 1))
	if "$@" >"$dir/log" 2>&1; then
		echo "ok $n - $what"
	else
		echo "not ok $n - $what"
		sed 's/^/# /' "$dir/log"
		failed=1
	fi
}

# compile COMPILER ARGUMENTS... - with every warning an error
compile()
{
	compiler=$1
	shift
	"$compiler" -Wall -Wextra -Wpedantic -Werror "-I$top/include" "$@"
}

# A PE program: "MZ", and its header where that says.
is_windows()
{
	test "$(head -c 2 "$1")" = MZ &&
		x86_64-w64-mingw32-objdump -p "$1" | grep -q WS2_32.dll
}

for sdk in WITH_SDK NO_SDK; do
	for name in hvecho-server hvecho-client; do
		report "$name for Windows, $sdk" \
			compile x86_64-w64-mingw32-gcc -std=c17 \
			"-DHVSOCKET_WINSOCK_$sdk" "$top/examples/$name.c" \
			-o "$dir/$name.exe" -lws2_32
		report "$name.exe is a program for Windows" \
			is_windows "$dir/$name.exe"
	done
done

cat >"$dir/numbers.c" <<'EOF'
#include <hvsocket/winsock.h>
#define SAME(a, b) typedef char same_##a[(a) == (b) ? 1 : -1]
SAME(AF_HYPERV, 34);
SAME(HV_PROTOCOL_RAW, 1);
SAME(SOL_SOCKET, 0xffff);
SAME(SO_RCVTIMEO, 0x1006);
SAME(SO_SNDTIMEO, 0x1005);
SAME(SO_ERROR, 0x1007);
SAME(SO_LINGER, 0x80);
SAME(SO_REUSEADDR, 4);
SAME(SO_RCVBUF, 0x1002);
SAME(SO_TYPE, 0x1008);
SAME(SD_SEND, 1);
SAME(WSAEACCES, 10013);
SAME(WSAEWOULDBLOCK, 10035);
SAME(WSAEADDRINUSE, 10048);
SAME(WSAENETDOWN, 10050);
SAME(WSAESHUTDOWN, 10058);
SAME(WSAETIMEDOUT, 10060);
SAME(WSAECONNREFUSED, 10061);
SAME(WSAEHOSTDOWN, 10064);
SAME(WSANOTINITIALISED, 10093);
SAME(WSA_FLAG_OVERLAPPED, 1);
SAME(HVSOCKET_CONNECT_TIMEOUT, 1);
SAME(HVSOCKET_CONNECT_TIMEOUT_MAX, 300000);
SAME(HVSOCKET_CONTAINER_PASSTHRU, 2);
SAME(HVSOCKET_CONNECTED_SUSPEND, 4);
SAME(HVSOCKET_HIGH_VTL, 8);
SAME(HVSOCKET_ADDRESS_FLAG_PASSTHRU, 1);
typedef char address_size[sizeof(SOCKADDR_HV) == 36 ? 1 : -1];
typedef char info_size[sizeof(HVSOCKET_ADDRESS_INFO) == 52 ? 1 : -1];
typedef char error_size[sizeof(DWORD) == 4 && sizeof(ULONG) == 4 ? 1 : -1];
EOF
report "the numbers on Windows" \
	compile x86_64-w64-mingw32-gcc -c "$dir/numbers.c" -o "$dir/o"
report "the numbers on Windows without its hvsocket.h" \
	compile x86_64-w64-mingw32-gcc -DHVSOCKET_WINSOCK_NO_SDK \
	-c "$dir/numbers.c" -o "$dir/o"
for std in c99 c11 c17; do
	report "the same numbers here, $std" \
		compile gcc "-std=$std" -c "$dir/numbers.c" -o "$dir/o"
done
for std in c++98 c++11 c++17; do
	report "the same numbers here, $std" compile g++ "-std=$std" \
		-Wno-long-long -x c++ -c "$dir/numbers.c" -o "$dir/o"
done

cat >"$dir/apart.c" <<'EOF'
#define HVSOCKET_WINSOCK_NO_NAMES
#include <hvsocket/winsock.h>
#include <sys/socket.h>
int use(void);
int use(void)
{
	int v = 1, s = socket(AF_UNIX, SOCK_STREAM, 0);
	fd_set set;

	FD_ZERO(&set);
	return setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &v, sizeof(v)) ||
	       hvs_ws_get_last_error();
}
#if SOL_SOCKET != 1
#error the SOL_SOCKET of libc is wanted
#endif
EOF
report "types without names leave libc's alone" \
	compile gcc -std=c17 -c "$dir/apart.c" -o "$dir/o"
echo "1..$n"
exit $failed
