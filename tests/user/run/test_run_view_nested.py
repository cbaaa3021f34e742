"""The view and namespaces that a container makes inside itself."""

from __future__ import annotations

import pytest

from tests.user.run.conftest import Sh

UNMASKED = ["--security-opt=seccomp=unconfined", "--security-opt=unmask=ALL"]
# What of these works is up to the kernel and the flags, not to the view.
NESTED = """
try() { "$@" 2>/dev/null && echo yes || echo no; }
try unshare -Urpf --mount-proc true
try unshare -Ur unshare -Urpf --mount-proc true
try unshare -Urnm mount -t sysfs sysfs /sys
try unshare -Urnm mount -o ro -t sysfs sysfs /sys
"""


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--privileged"], "yes yes yes yes"),
        (["--privileged", "--user=1000"], "yes yes yes yes"),
        (["--privileged", "--net=host"], "yes yes yes yes"),
        (["--privileged", "--pid=host"], "yes yes yes yes"),
        ([*UNMASKED, "--user=1000"], "yes yes no yes"),
        # Masks: the kernel refuses, as it does without the view.
        (["--security-opt=seccomp=unconfined"], "no no no no"),
        ([*UNMASKED, "--security-opt=mask=/proc/version"], "no no no yes"),
        (["--privileged", "-v/dev/null:/proc/version"], "no no yes yes"),
    ],
)
@pytest.mark.parametrize("view", ["off", "on"])
def test_proc_can_be_mounted_anew_if_it_could_without_the_view(
    sh: Sh, flags: list[str], expected: str, view: str
) -> None:
    assert sh(NESTED, f"--procview={view}", *flags).stdout.split() == expected.split()


def test_a_nested_user_namespace_sees_the_view(sh: Sh) -> None:
    script = (
        "cat /proc/uptime /sys/devices/system/cpu/online; head -1 /proc/meminfo;"
        " unshare -Ur id -u; unshare -Ur cat /proc/uptime /sys/devices/system/cpu/online;"
        " unshare -Urpf unshare -Ur head -1 /proc/meminfo"
    )
    lines = sh(script, *UNMASKED, "--user=1000").stdout.splitlines()
    uptime, online, memory, uid, *nested = lines
    assert (uid, nested[1:]) == ("0", [online, memory])
    assert 0 <= float(uptime.split()[0]) <= float(nested[0].split()[0]) < 60


def test_the_bare_proc_is_out_of_reach(sh: Sh) -> None:
    script = "ls /proc/fs/version /proc/driver/kernel; grep -c MemTotal /proc/meminfo"
    done = sh(script, "--privileged")
    assert done.stdout == "1\n"
    assert done.stderr.count("No such file") == 2
