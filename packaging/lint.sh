#!/bin/sh
# Every linter, over everything that is ours; all of them run even when one complains.
#
# usage: lint.sh          PYTHON names the interpreter of the environment that has them
set -u

cd "$(dirname "$0")/.." || exit 1
python=${PYTHON:-.venv/bin/python3}
failed=

run() { # name command…
    name=$1
    shift
    if "$@"; then
        echo "lint: $name ok"
    else
        failed="$failed $name"
    fi
}

run ruff "$python" -m ruff check --quiet .
run format "$python" -m ruff format --check --quiet .
run mypy "$python" -m mypy --no-error-summary
run spelling "$python" -m codespell_lib
if command -v shellcheck >/dev/null; then
    run shellcheck shellcheck dev .ci/run packaging/*.sh tests/bench/*.sh tests/system/*.sh
else
    echo 'lint: shellcheck is not installed: sudo apt-get install shellcheck'
    failed="$failed shellcheck"
fi
if [ -n "$failed" ]; then
    echo "lint: failed:$failed"
    exit 1
fi
