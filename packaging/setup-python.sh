#!/bin/sh
# The Python environment of a checkout, .venv, with `rl` in its bin.
#
# usage: setup-python.sh run|test
#
# Runs as the user who will run `rl`. Does nothing, and needs no network, when the environment is
# the one that pyproject.toml asks for.
set -eu

role=${1:?usage: setup-python.sh run|test}
cd "$(dirname "$0")/.."
checkout=$(pwd)
venv=$checkout/.venv
stamp=$venv/.made-for

say() { printf 'setup: %s\n' "$*"; }

find_python() {
    for python in /usr/bin/python3 python3 python3.14 python3.13 python3.12 python3.11 python3.10; do
        if "$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' \
            2>/dev/null; then
            command -v "$python"
            return 0
        fi
    done
    echo 'setup: no Python >= 3.10 with venv: sudo apt-get install python3 python3-venv' >&2
    return 1
}

wanted() { # role → the text that the stamp must hold
    printf '%s %s ' "$1" "$checkout"
    cat pyproject.toml packaging/setup-python.sh | cksum
}

is_made_for() { # role
    [ -x "$venv/bin/rl" ] && "$venv/bin/python3" -c '' 2>/dev/null &&
        [ "$(cat "$stamp" 2>/dev/null)" = "$(wanted "$1")" ]
}

pip_install() {
    "$venv/bin/python3" -m pip --disable-pip-version-check install --quiet "$@"
}

install_packages() { # role
    extras=
    [ "$1" = run ] || extras=$1
    say "pip install ${extras:+the tools for $1 and }what rl needs into $venv"
    # igzip is built for few machines, and a machine without a compiler must do without it.
    pip_install --only-binary isal -e ".[fast${extras:+,$extras}]" 2>/dev/null ||
        pip_install -e ".${extras:+[$extras]}"
}

# pip's own launcher imports re (5 ms) and starts Python with site (2.5 ms): a third of what a
# start of `rl` costs. -I also keeps PYTHONPATH and the like out of a program that handles
# hostile input.
write_launcher() {
    case $venv in *[[:space:]]*) return 0 ;; esac # no #! line can name it: pip's launcher stays
    packages=$("$venv/bin/python3" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    write_program rl main
    write_program rl-oci oci_program
}

write_program() { # name module
    cat >"$venv/bin/$1.new" <<END
#!$venv/bin/python3 -IS
import sys

sys.path[:0] = ["$checkout"]
sys.path += ["$packages"]

from rootless import quickload

quickload.install("$venv/rl.modules")

from rootless.cli.$2 import main

main()
END
    chmod 0755 "$venv/bin/$1.new"
    mv "$venv/bin/$1.new" "$venv/bin/$1"
}

# An environment made for the tests serves a run as well.
if is_made_for test || is_made_for "$role"; then
    exit 0
fi
case $(cat "$stamp" 2>/dev/null) in
test*) role='test' ;; # made for the tests, and only out of date
esac
if ! "$venv/bin/python3" -c '' 2>/dev/null; then
    python=$(find_python)
    say "$python -m venv $venv"
    "$python" -m venv --clear "$venv"
fi
install_packages "$role"
write_launcher
"$venv/bin/python3" -m compileall -q rootless
"$venv/bin/python3" -m rootless.quickload_writer "$venv/rl.modules"
wanted "$role" >"$stamp"
