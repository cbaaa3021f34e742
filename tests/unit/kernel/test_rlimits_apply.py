from __future__ import annotations

import os
import resource

import pytest

from rootless.errors import HostError
from rootless.kernel import rlimits
from rootless.model import ulimits


def in_child(function):
    """Whether `function` holds in a child: limits that are lowered cannot be raised again here."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = 0 if function() else 1
        finally:
            os._exit(code)
    return os.waitpid(pid, 0)[1] == 0


def apply(*options):
    rlimits.apply(ulimits.to_oci(ulimits.parse_all(options)))


def test_limits_are_set():
    def check():
        apply("nofile=10:12", "core=0")
        return resource.getrlimit(resource.RLIMIT_NOFILE) == (10, 12) and resource.getrlimit(
            resource.RLIMIT_CORE
        ) == (0, 0)

    assert in_child(check)


def test_unlimited_is_the_kernels_infinity():
    if resource.getrlimit(resource.RLIMIT_FSIZE)[1] != resource.RLIM_INFINITY:
        pytest.skip("needs an unlimited file size")

    def check():
        apply("fsize=1000:unlimited")
        return resource.getrlimit(resource.RLIMIT_FSIZE) == (1000, resource.RLIM_INFINITY)

    assert in_child(check)


def test_every_name_is_known_to_this_kernel():
    def check():
        for name in ulimits.NAMES:
            if name not in ("as", "data", "stack"):
                # Without a second of CPU time it would be killed at the next tick.
                apply(f"{name}={1 if name == 'cpu' else 0}")
        return True

    assert in_child(check)


def test_a_limit_above_the_hard_one_names_that():
    def check():
        resource.setrlimit(resource.RLIMIT_NOFILE, (10, 12))
        try:
            apply("nofile=10:unlimited")
        except HostError as error:
            return error.message.endswith(": above the hard limit of this session, 12")
        return False

    if os.geteuid() == 0:
        pytest.skip("needs a user without CAP_SYS_RESOURCE")
    assert in_child(check)


def test_a_limit_of_another_system_is_refused():
    with pytest.raises(HostError, match="future: no such limit"):
        rlimits.apply([{"type": "RLIMIT_FUTURE", "soft": 1, "hard": 1}])


def test_no_limits_are_nothing_to_do(monkeypatch):
    monkeypatch.setattr(resource, "setrlimit", None)
    rlimits.apply([])
