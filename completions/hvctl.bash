# SPDX-License-Identifier: MIT
# bash completion for hvctl(1). A test compares the words with the program's.
# shellcheck shell=bash disable=SC2207

# Names that the broker knows: $1 the group of verbs, $2 the key to read.
_hvctl_names() {
	local verb=$1 key=$2
	# names with blanks are left to whoever types them
	command hvctl "$verb" list --json 2>/dev/null |
		sed -n 's/^      "'"$key"'": "\([^" \\]*\)",\{0,1\}$/\1/p'
}

# PARTITION:SERVICE, in two steps; readline takes the colon for a new word.
_hvctl_address() {
	local whole=$1 cur=$2 special="wildcard children parent loopback silohost host"
	if [[ $whole == *:* ]]; then
		COMPREPLY=($(compgen -W "$(_hvctl_names service name)" -- "${whole#*:}"))
		[[ $cur == *:* ]] && COMPREPLY=("${COMPREPLY[@]/#/${whole%%:*}:}")
	else
		COMPREPLY=($(compgen -S : -W "$special $(_hvctl_names partition name)" -- "$cur"))
		compopt -o nospace
	fi
}

_hvctl() {
	local cur prev words cword
	if declare -F _init_completion >/dev/null; then
		_init_completion -n : || return
	else
		words=("${COMP_WORDS[@]}") cword=$COMP_CWORD
		cur=${words[cword]} prev=${words[cword - 1]}
	fi
	local verb=${words[1]} sub=${words[2]} opts=
	local top="service partition vm container integration kvp info heartbeat shutdown
		reboot time freeze thaw fcopy listeners connections status nc ssh shell exec cp forward
		attach wait as explain simulate reload help version"
	local service="add list show enable disable revert remove import export"
	local partition="add list id show set remove import"
	local integration="list enable disable"
	local kvp="get set delete list ip set-ip"

	COMPREPLY=()
	if ((cword == 1)); then
		COMPREPLY=($(compgen -W "$top" -- "$cur"))
		return
	fi
	case $verb in
	vm | container) verb=partition ;;
	esac
	if ((cword == 2)); then
		case $verb in
		service) COMPREPLY=($(compgen -W "$service" -- "$cur")); return ;;
		partition) COMPREPLY=($(compgen -W "$partition" -- "$cur")); return ;;
		integration) COMPREPLY=($(compgen -W "$integration" -- "$cur")); return ;;
		kvp) COMPREPLY=($(compgen -W "$kvp" -- "$cur")); return ;;
		help) COMPREPLY=($(compgen -W "$top" -- "$cur")); return ;;
		esac
	fi
	case $verb in
	service | partition | integration | kvp) verb="$verb $sub" ;;
	esac
	case $verb in
	"service add") opts="--id --port --policy --bind --connect --siblings --no-wildcard --target --ephemeral --lease --json" ;;
	"service list") opts="--json" ;;
	"service show") opts="--json" ;;
	"service import") opts="--json" ;;
	"service export") opts="--utf8" ;;
	"partition add") opts="--id --kind --parent --user --cid --sibling-cid --ephemeral --json" ;;
	"partition list") opts="--json" ;;
	"partition id") opts="--from-container" ;;
	"partition show") opts="--json" ;;
	"partition set") opts="--name --user --cid --sibling-cid --enabled --json" ;;
	"partition import") opts="--connect --watch" ;;
	"listeners") opts="--verbose --json" ;;
	"connections") opts="--json" ;;
	"status") opts="--json" ;;
	"nc") opts="--listen --raw --dgram --wait --fdpass --timeout --verbose" ;;
	"ssh") opts="--login --identity --ssh-option --service --timeout --config --update --install-key --via" ;;
	"shell") opts="--login --identity --ssh-option --service --timeout" ;;
	"exec") opts="--login --identity --ssh-option --service --timeout --terminal --no-terminal --fresh --via" ;;
	"cp") opts="--login --identity --ssh-option --service --timeout --recursive --preserve --quiet --no-resume --no-verify --via" ;;
	"forward") opts="--verbose" ;;
	"wait") opts="--raw --timeout --via --settle --json" ;;
	"as") opts="--private --partition --profile --via --verbose" ;;
	"explain") opts="--from --uid --bind --raw --dgram --passthru --profile --json" ;;
	"simulate") opts="--json" ;;
	"integration list") opts="--all --timeout --json" ;;
	"integration enable") opts="--timeout --json" ;;
	"integration disable") opts="--timeout --json" ;;
	"info") opts="--all --via --timeout --json" ;;
	"heartbeat") opts="--all --via --timeout --json" ;;
	"shutdown") opts="--all --via --force --hibernate --message --timeout --json" ;;
	"reboot") opts="--all --via --force --message --timeout --json" ;;
	"time") opts="--all --via --timeout --json" ;;
	"freeze") opts="--all --via --hold --timeout --json" ;;
	"thaw") opts="--all --via --timeout --json" ;;
	"fcopy") opts="--overwrite --mkdir --timeout" ;;
	"kvp get") opts="--pool --timeout --json" ;;
	"kvp set") opts="--pool --timeout --json" ;;
	"kvp delete") opts="--pool --timeout --json" ;;
	"kvp list") opts="--pool --timeout --json" ;;
	"kvp ip") opts="--timeout --json" ;;
	"kvp set-ip") opts="--dhcp --address --mask --gateway --dns --timeout --json" ;;
	"reload") opts="--json" ;;
	esac
	case $prev in
	--policy) COMPREPLY=($(compgen -W "enabled disabled default" -- "$cur")); return ;;
	--kind) COMPREPLY=($(compgen -W "vm container" -- "$cur")); return ;;
	--profile) COMPREPLY=($(compgen -W "default windows" -- "$cur")); return ;;
	--via)
		case $verb in
		ssh) COMPREPLY=($(compgen -W "kvp agent credential" -- "$cur")) ;;
		exec) COMPREPLY=($(compgen -W "ssh agent" -- "$cur")) ;;
		cp) COMPREPLY=($(compgen -W "ssh agent fcopy" -- "$cur")) ;;
		as) COMPREPLY=($(compgen -W "preload seccomp" -- "$cur")) ;;
		wait) COMPREPLY=($(compgen -W "ready driver agent" -- "$cur")) ;;
		*) COMPREPLY=($(compgen -W "vmbus agent" -- "$cur")) ;;
		esac
		return ;;
	--identity | --install-key) COMPREPLY=($(compgen -f -- "$cur")); return ;;
	--pool | -p) COMPREPLY=($(compgen -W "external guest auto auto-external auto-internal" -- "$cur")); return ;;
	--enabled) COMPREPLY=($(compgen -W "yes no" -- "$cur")); return ;;
	--user) COMPREPLY=($(compgen -u -- "$cur")); return ;;
	--parent | --from) COMPREPLY=($(compgen -W "$(_hvctl_names partition name)" -- "$cur")); return ;;
	--connect) COMPREPLY=($(compgen -W "qemu:///system qemu:///session" -- "$cur")); return ;;
	--lease) COMPREPLY=($(compgen -W '$$' -- "$cur")); return ;;
	esac
	if [[ $cur == -* ]]; then
		COMPREPLY=($(compgen -W "$opts --help" -- "$cur"))
		return
	fi
	case $verb in
	"service show" | "service enable" | "service disable" | "service revert" | "service remove")
		COMPREPLY=($(compgen -W "$(_hvctl_names service name)" -- "$cur")) ;;
	"service import" | "service export")
		COMPREPLY=($(compgen -f -- "$cur")) ;;
	"partition id" | "partition show" | "partition set" | "partition remove" | "as")
		COMPREPLY=($(compgen -W "$(_hvctl_names partition name)" -- "$cur")) ;;
	"integration enable" | "integration disable")
		case $cword in
		3) COMPREPLY=($(compgen -W "$(_hvctl_names partition name)" -- "$cur")) ;;
		4) COMPREPLY=($(compgen -W "heartbeat shutdown timesync kvp vss fcopy" -- "$cur")) ;;
		esac ;;
	"integration list" | info | heartbeat | shutdown | reboot | time | freeze | thaw | ssh | shell | exec)
		COMPREPLY=($(compgen -W "$(_hvctl_names partition name)" -- "$cur")) ;;
	cp)
		COMPREPLY=($(compgen -f -- "$cur") $(compgen -S : -W "$(_hvctl_names partition name)" -- "$cur"))
		compopt -o nospace ;;
	fcopy)
		case $cword in
		2) COMPREPLY=($(compgen -W "$(_hvctl_names partition name)" -- "$cur")) ;;
		3) COMPREPLY=($(compgen -f -- "$cur")) ;;
		esac ;;
	kvp\ *)
		((cword == 3)) && COMPREPLY=($(compgen -W "$(_hvctl_names partition name)" -- "$cur")) ;;
	"partition import") COMPREPLY=($(compgen -W "libvirt" -- "$cur")) ;;
	simulate)
		case $cword in
		2) COMPREPLY=($(compgen -W "host $(_hvctl_names partition name)" -- "$cur")) ;;
		3) COMPREPLY=($(compgen -W "pause save reset migrate host-sleep resume" -- "$cur")) ;;
		esac ;;
	attach)
		((cword == 2)) && COMPREPLY=($(compgen -W "hybrid vhost-user vmbus vsock" -- "$cur")) ;;
	nc | wait | explain | forward)
		local whole=$cur i=$cword
		# the words around a colon, put together again
		while ((i > 1)) && [[ ${words[i]} == : || ${words[i - 1]} == : ]]; do
			i=$((i - 1))
			whole=${words[i]}$whole
		done
		_hvctl_address "$whole" "$cur" ;;
	esac
}

complete -F _hvctl hvctl
