"""Which of the causes it is that the kernel says EPERM to."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from rootless.tools import confinement, userns_forbidden
from rootless.tools.confinement import Confinement
from rootless.tools.userns_forbidden import judge


def test_a_limit_of_none() -> None:
    refusal = judge(errno.ENOSPC, Confinement(max_user_namespaces=0))
    assert refusal.cause == userns_forbidden.LIMIT
    assert refusal.reason == "this host allows none (user.max_user_namespaces is 0)"
    assert refusal.command == "sudo sysctl -w user.max_user_namespaces=28633"


def test_a_limit_that_is_reached_is_raised_above_itself() -> None:
    refusal = judge(errno.ENOSPC, Confinement(max_user_namespaces=50000))
    assert "(50000) is reached" in refusal.reason
    assert refusal.command == "sudo sysctl -w user.max_user_namespaces=100000"


@pytest.mark.parametrize(
    ("around", "cause", "words"),
    [
        ({"clone": 0}, userns_forbidden.CLONE, "kernel.unprivileged_userns_clone is 0"),
        # Where several forbid it, first the one that stands for all users.
        ({"clone": 0, "seccomp": True, "container": "docker"}, userns_forbidden.CLONE, "is 0"),
        (
            {"apparmor_restricts": 1, "label": "unprivileged_userns (enforce)"},
            userns_forbidden.APPARMOR,
            "programs without a profile",
        ),
        ({"apparmor_restricts": 1, "label": "unconfined"}, userns_forbidden.APPARMOR, "AppArmor"),
        # With a profile of its own it is not that.
        ({"apparmor_restricts": 1, "label": "rl (unconfined)"}, userns_forbidden.UNKNOWN, "host"),
        ({"apparmor_restricts": 0, "label": "unconfined"}, userns_forbidden.UNKNOWN, "host"),
        # Seen on Linux 6.12 with Debian's AppArmor 4.1, a profile with "deny userns,".
        (
            {"label": "restricted (enforce)", "modules": ("apparmor",)},
            userns_forbidden.PROFILE,
            "AppArmor's profile 'restricted'",
        ),
        ({"label": "rl (complain)"}, userns_forbidden.UNKNOWN, "host"),
        ({"is_mapped": False}, userns_forbidden.UNMAPPED, "has no id in the one"),
        ({"is_chrooted": True}, userns_forbidden.CHROOT, "inside of a chroot"),
        (
            {"container": "docker", "seccomp": True},
            userns_forbidden.CONTAINER,
            "seccomp filter of the docker container",
        ),
        ({"seccomp": True}, userns_forbidden.SECCOMP, "seccomp filter on this session"),
        ({"modules": ("selinux",)}, userns_forbidden.UNKNOWN, "security modules: selinux"),
    ],
)
def test_which_cause(around: dict[str, Any], cause: str, words: str) -> None:
    refusal = judge(errno.EPERM, Confinement(**around))
    assert refusal.cause == cause
    assert words in refusal.reason


def test_selinux_says_it_in_its_own_way() -> None:
    refusal = judge(errno.EACCES, Confinement(modules=("selinux",)))
    assert refusal.cause == userns_forbidden.SELINUX


def test_who_started_the_container_is_told_how() -> None:
    docker = judge(errno.EPERM, Confinement(container="docker", seccomp=True)).command
    podman = judge(errno.EPERM, Confinement(container="podman", seccomp=True)).command
    assert docker.startswith("docker run --security-opt seccomp=unconfined")
    assert podman.startswith("podman run ") and "unmask=ALL" in podman


def test_a_kernel_without_them() -> None:
    assert judge(errno.EINVAL, Confinement()).reason == "this kernel has none"


def test_the_error_of_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confinement, "look", lambda: Confinement(clone=0))
    error = userns_forbidden.explain(errno.EPERM)
    assert error.message.startswith("user namespaces: forbidden to normal users")
    assert error.hint == "sudo sysctl -w kernel.unprivileged_userns_clone=1"


def test_the_profile_is_doctors_to_print(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confinement, "look", lambda: Confinement(apparmor_restricts=1))
    assert userns_forbidden.explain(errno.EPERM).hint == "rl doctor"
