# SPDX-License-Identifier: MIT
# bash completion for hvvm(1), hvsocket-vmbus(8), hvsocket-hybrid(8) and
# hvsocket-vsock(8). Options are those that the
# program's own help names, so that this cannot lag behind; a test compares the
# names of messages with the program's.
# shellcheck shell=bash disable=SC2207

_hvvm_options() {
	"$@" --help 2>/dev/null | grep -oE -e '--?[a-z][a-z0-9-]*' |
		grep -E -e '^(--|-[a-z]$)' | sort -u
}

_hvvm_partitions() {
	command hvctl partition list --json 2>/dev/null |
		sed -n 's/^      "name": "\([^" \\]*\)",\{0,1\}$/\1/p'
}

# A rule without blanks, on=OPEN_CHANNEL,do=rescind: readline takes each "=" for
# a word of its own. Return: is this within one?
_hvvm_rule() {
	local messages="any OFFER_CHANNEL RESCIND_CHANNEL_OFFER REQUEST_OFFERS
		ALL_OFFERS_DELIVERED OPEN_CHANNEL OPEN_CHANNEL_RESULT
		CLOSE_CHANNEL GPADL_HEADER GPADL_BODY GPADL_CREATED
		GPADL_TEARDOWN GPADL_TORNDOWN RELID_RELEASED INITIATE_CONTACT
		VERSION_RESPONSE UNLOAD UNLOAD_COMPLETE OPEN_RESERVED_CHANNEL
		CLOSE_RESERVED_CHANNEL CLOSE_RESERVED_RESPONSE
		TL_CONNECT_REQUEST MODIFY_CHANNEL TL_CONNECT_RESULT
		MODIFY_CHANNEL_RESPONSE MODIFY_CONNECTION
		MODIFY_CONNECTION_RESPONSE PAUSE PAUSE_RESPONSE RESUME"
	local cur=$1 prev=$2 key=${COMP_WORDS[COMP_CWORD - 2]}

	if [[ $cur == = ]]; then
		key=$prev prev="=" cur=
	fi
	if [[ $prev == --inject ]]; then
		COMPREPLY=($(compgen -W "on= msg=hex:" -- "$cur"))
		compopt -o nospace 2>/dev/null
		return 0
	fi
	[[ $prev == "=" ]] || return 1
	case $key in
	on) COMPREPLY=($(compgen -W "$messages" -- "$cur")) ;;
	*,do) COMPREPLY=($(compgen -W "rescind drop" -- "$cur")) ;;
	*,from) COMPREPLY=($(compgen -W "guest host" -- "$cur")) ;;
	*) return 1 ;;
	esac
	return 0
}

_hvvm() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}

	COMPREPLY=()
	if ((COMP_CWORD == 1)); then
		COMPREPLY=($(compgen -W "run --help --version" -- "$cur"))
		return
	fi
	_hvvm_rule "$cur" "$prev" && return
	case $prev in
	--console | --serial2)
		COMPREPLY=($(compgen -W "stdio pty none file: unix:" -- "$cur"))
		compopt -o nospace 2>/dev/null
		return
		;;
	--vhost-user)
		COMPREPLY=($(compgen -W "blk: fs:" -- "$cur"))
		compopt -o nospace 2>/dev/null
		return
		;;
	--name)
		COMPREPLY=($(compgen -W "$(_hvvm_partitions)" -- "$cur"))
		return
		;;
	--integration)
		COMPREPLY=($(compgen -W "all none default heartbeat shutdown
			timesync kvp vss fcopy" -- "$cur"))
		return
		;;
	--sandbox)
		COMPREPLY=($(compgen -W "seccomp none" -- "$cur"))
		return
		;;
	--append | --memory | --cpus | --timeout | --exec | --module | \
		--credential) return ;;
	esac
	if [[ $cur == -* ]]; then
		COMPREPLY=($(compgen -W \
			"$(_hvvm_options "${COMP_WORDS[0]}" run)" -- "$cur"))
	elif [[ $prev == -* && $prev != --no-* && $prev != --verbose &&
		$prev != --ktap && $prev != --notify ]]; then
		COMPREPLY=($(compgen -f -- "$cur"))
		compopt -o filenames 2>/dev/null
	fi
}

_hvsocket_vmbus() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}

	COMPREPLY=()
	_hvvm_rule "$cur" "$prev" && return
	case $prev in
	--partition)
		COMPREPLY=($(compgen -W "$(_hvvm_partitions)" -- "$cur"))
		return
		;;
	--uds-path | --socket-path | --trace)
		COMPREPLY=($(compgen -f -- "$cur"))
		compopt -o filenames 2>/dev/null
		return
		;;
	--sandbox)
		COMPREPLY=($(compgen -W "seccomp none" -- "$cur"))
		return
		;;
	--vm-id | --fd) return ;;
	esac
	COMPREPLY=($(compgen -W \
		"$(_hvvm_options "${COMP_WORDS[0]}")" -- "$cur"))
}

_hvsocket_hybrid() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}

	COMPREPLY=()
	case $prev in
	--partition)
		COMPREPLY=($(compgen -W "$(_hvvm_partitions)" -- "$cur"))
		return
		;;
	--uds-path)
		COMPREPLY=($(compgen -f -- "$cur"))
		compopt -o filenames 2>/dev/null
		return
		;;
	--sandbox)
		COMPREPLY=($(compgen -W "seccomp none" -- "$cur"))
		return
		;;
	--vm-id) return ;;
	esac
	COMPREPLY=($(compgen -W \
		"$(_hvvm_options "${COMP_WORDS[0]}")" -- "$cur"))
}

_hvsocket_vsock() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}

	COMPREPLY=()
	if [[ $prev == --sandbox ]]; then
		COMPREPLY=($(compgen -W "seccomp none" -- "$cur"))
		return
	fi
	COMPREPLY=($(compgen -W \
		"$(_hvvm_options "${COMP_WORDS[0]}")" -- "$cur"))
}

complete -F _hvvm hvvm
complete -F _hvsocket_vmbus hvsocket-vmbus
complete -F _hvsocket_hybrid hvsocket-hybrid
complete -F _hvsocket_vsock hvsocket-vsock
