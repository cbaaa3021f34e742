#!/bin/sh
# Root's part of handing the checkout to a normal user: a copy in that user's home.
#
# usage: setup-user.sh USER        prints the copy's path
#
# A copy, because the checkout may stand where the user cannot read (/root/…), and because the user
# writes into it: the Python environment, byte code, caches of the linters. What those left in an
# earlier copy stays; everything else is made to be as in the checkout.
set -eu

source=$(cd "$(dirname "$0")/.." && pwd)
user=${1:?usage: setup-user.sh USER}
home=$(getent passwd "$user" | cut -d: -f6)
copy=$home/rl

as_user() { runuser -u "$user" -- "$@"; }

# Written with the user's rights, never root's: what stands in a user's home may be a symlink.
as_user mkdir -p "$copy"
as_user find "$copy" -mindepth 1 -maxdepth 1 ! -name .venv ! -name .tox ! -name '.*_cache' \
    -exec rm -rf '{}' +
cd "$source"
tar -cf - --exclude=./.git --exclude=./.venv --exclude=./.tox --exclude='./.*_cache' \
    --exclude=./.hypothesis \
    --exclude=__pycache__ --exclude='*.egg-info' --exclude=./build --exclude=./dist . |
    as_user tar -xf - -C "$copy" --no-same-owner
echo "$copy"
