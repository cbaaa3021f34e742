#!/bin/sh
# The part of the set-up that needs root: packages, a normal user, subordinate ids, device nodes.
#
# usage: setup-system.sh [--check] run|test|bench USER
#
# --check changes nothing and needs no privileges: it prints what is missing, one thing a line,
# each starting with "need" or "want". Without it, exactly those things are done and said.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
check=no
if [ "${1:-}" = --check ]; then
    check=yes
    shift
fi
role=${1:?usage: setup-system.sh [--check] run|test|bench USER}
user=${2:?usage: setup-system.sh [--check] run|test|bench USER}

say() { printf 'setup: %s\n' "$*"; }

package_rows() {
    lists=$here/apt-run.txt
    [ "$role" = run ] || lists="$lists $here/apt-$role.txt"
    # shellcheck disable=SC2086 # a list of files
    sed 's/#.*//; /^[[:space:]]*$/d' $lists
}

is_installed() { # package program
    if [ "$2" != - ] && PATH=$PATH:/usr/sbin:/sbin command -v "$2" >/dev/null; then
        return 0
    fi
    if ! command -v dpkg-query >/dev/null; then
        [ "$2" = - ] # other distributions cut these packages differently: only programs tell
    else
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
    fi
}

missing_packages() { # → "need|want package" rows
    package_rows | while read -r package program weight; do
        is_installed "$package" "$program" || echo "$weight $package"
    done
}

has_subids() { # file
    uid=$(id -u "$user")
    grep -q -e "^$user:" -e "^$uid:" "$1" 2>/dev/null && return 0
    # Ranges that come from a directory service stand in no file (subid: in nsswitch.conf).
    [ "$1" = /etc/subuid ] || set -- "$1" -g
    command -v getsubids >/dev/null && getsubids ${2:+"$2"} "$user" >/dev/null 2>&1
}

is_open_device() { # path: everybody may read and write it
    [ -c "$1" ] && case $(ls -lL "$1") in crw-rw-rw-*) true ;; *) false ;; esac
}

# Switches with which distributions forbid user namespaces: name, the value that does, one that does
# not. The third is Ubuntu's since 23.10: namespaces can be made there, but give no capabilities.
sysctl_rows() {
    cat <<'END'
user/max_user_namespaces 0 28633
kernel/unprivileged_userns_clone 0 1
kernel/apparmor_restrict_unprivileged_userns 1 0
END
}

closed_sysctls() { # → "name=value" rows that would open them
    sysctl_rows | while read -r name closed open; do
        [ "$(cat "/proc/sys/$name" 2>/dev/null)" != "$closed" ] || echo "$name=$open"
    done
}

list_missing() {
    missing_packages | while read -r weight package; do
        echo "$weight package $package"
    done
    if ! id "$user" >/dev/null 2>&1; then
        echo "need user $user"
    else
        has_subids /etc/subuid || echo "want a range for $user in /etc/subuid"
        has_subids /etc/subgid || echo "want a range for $user in /etc/subgid"
    fi
    closed_sysctls | sed 's|^|need user namespaces: /proc/sys/|'
    is_open_device /dev/fuse || echo "want /dev/fuse with mode 0666 (fuse-overlayfs)"
    is_open_device /dev/net/tun || echo "want /dev/net/tun with mode 0666 (slirp4netns)"
}

if [ $check = yes ]; then
    list_missing
    exit 0
fi

# From here on: root.

install_packages() {
    names=$(missing_packages | while read -r _ package; do echo "$package"; done)
    [ -n "$names" ] || return 0
    # shellcheck disable=SC2086 # a list of words
    set -- $names
    if ! command -v apt-get >/dev/null; then
        say "not a Debian or Ubuntu machine: install these with its own tool: $*"
        return 0
    fi
    say "apt-get install $*"
    log=$(mktemp)
    no_service_starts
    # A fresh machine has no package lists, an old one has lists of versions that are gone.
    if ! apt_install "$@" >"$log" 2>&1; then
        apt-get -qq update >>"$log" 2>&1 || true
        if ! apt_install "$@" >>"$log" 2>&1; then
            tail -n 20 "$log" >&2
            say "apt-get install failed; its last lines are above, all of them in $log"
            allow_service_starts
            return 0
        fi
    fi
    allow_service_starts
    rm -f "$log"
}

apt_install() {
    DEBIAN_FRONTEND=noninteractive apt-get -y -qq --no-install-recommends \
        -o DPkg::Lock::Timeout=120 install "$@"
}

# docker-registry's package would start a registry that the whole network can reach.
policy=/usr/sbin/policy-rc.d
no_service_starts() {
    made_policy=no
    [ -e $policy ] && return 0
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod 0755 $policy
    made_policy=yes
    trap allow_service_starts EXIT
    trap "exit 130" INT TERM
}
allow_service_starts() {
    [ "$made_policy" = no ] || rm -f $policy
    made_policy=no
}

create_user() {
    id "$user" >/dev/null 2>&1 && return 0
    say "useradd $user (a normal user, because containers here need no root)"
    useradd --create-home --shell /bin/sh "$user"
}

first_free_id() { # above every range in both files
    awk -F: 'BEGIN { free = 100000 } NF == 3 && $2 + $3 > free { free = $2 + $3 }
             END { print free }' /etc/subuid /etc/subgid
}

give_subids() { # file option-of-usermod start
    has_subids "$1" && return 0
    say "usermod $2 $3-$(($3 + 65535)) $user"
    usermod "$2" "$3-$(($3 + 65535))" "$user"
}

open_sysctls() {
    closed_sysctls | while IFS='=' read -r name value; do
        say "echo $value >/proc/sys/$name (until the next boot: user namespaces are forbidden here)"
        echo "$value" >"/proc/sys/$name" || say "/proc/sys/$name: cannot be changed here"
    done
}

open_device() { # path major minor module
    is_open_device "$1" && return 0
    if [ ! -c "$1" ]; then
        modprobe "$4" 2>/dev/null || true
        mkdir -p "${1%/*}"
        [ -c "$1" ] || mknod "$1" c "$2" "$3" || { say "$1: cannot be made here"; return 0; }
    fi
    say "chmod 0666 $1 (as distributions ship it; the kernel checks each use of it itself)"
    chmod 0666 "$1" || say "$1: its mode cannot be changed here"
}

if [ "$(id -u)" != 0 ]; then
    echo "setup-system.sh: root is needed: sudo sh $here/setup-system.sh $role $user" >&2
    exit 1
fi
install_packages
create_user
touch /etc/subuid /etc/subgid
free=$(first_free_id)
give_subids /etc/subuid --add-subuids "$free"
give_subids /etc/subgid --add-subgids "$free"
open_sysctls
open_device /dev/fuse 10 229 fuse
open_device /dev/net/tun 10 200 tun
