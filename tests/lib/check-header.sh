#!/bin/bash
# SPDX-License-Identifier: MIT
# check-header.sh SOURCE-ROOT - the public header, alone, in every language it
# promises, without a warning
set -eu
root=$1
here=$root/tests/lib
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
n=0

try() {
	"$@" -Wall -Wextra -Wpedantic -Werror -I "$root/include" \
		-Wshadow -c -o "$work/o" && n=$((n + 1))
}

for cc in gcc clang; do
	command -v $cc >/dev/null || { echo "no $cc"; continue; }
	for std in c99 c11 c17 gnu17; do
		try $cc -std=$std "$here/header.c"
	done
done
for cc in g++ clang++; do
	command -v $cc >/dev/null || { echo "no $cc"; continue; }
	for std in c++98 c++11 c++17 c++20; do
		try $cc -std=$std "$here/header.cc"
	done
done
echo "$n compilations"
[ $n -ge 4 ]
