#!/bin/sh
# LXCFS for the bench, as root: DIR/one on the CPU number CPU alone, DIR/all on all of them.
# Returns when both are there; they go away when the process OWNER does.
#
# usage: lxcfs.sh DIR CPU OWNER
set -eu

dir=${1:?usage: lxcfs.sh DIR CPU OWNER}
cpu=${2:?usage: lxcfs.sh DIR CPU OWNER}
owner=${3:?usage: lxcfs.sh DIR CPU OWNER}

mkdir -p "$dir/one" "$dir/all"
chmod 0755 "$dir"
taskset -c "$cpu" lxcfs -f --pidfile="$dir/one.pid" "$dir/one" >/dev/null 2>&1 &
one=$!
lxcfs -f --pidfile="$dir/all.pid" "$dir/all" >/dev/null 2>&1 &
all=$!

clear_up() {
    while kill -0 "$owner" 2>/dev/null; do sleep 1; done
    kill $one $all || true
    sleep 1
    umount -l "$dir/one" "$dir/all" || true
    rmdir "$dir/one" "$dir/all" || true
    rm -f "$dir/one.pid" "$dir/all.pid"
    rmdir "$dir"
}
clear_up >/dev/null 2>&1 &

tries=0
until [ -e "$dir/one/proc/uptime" ] && [ -e "$dir/all/proc/uptime" ]; do
    tries=$((tries + 1))
    [ $tries -lt 50 ] || { echo "lxcfs.sh: LXCFS has not mounted anything in 5 s" >&2; exit 1; }
    sleep 0.1
done
