from __future__ import annotations

from rootless.tools import confinement

PROC = "23 22 0:21 / /proc rw - proc proc rw\n"
HOST = f"22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n{PROC}"
CHROOT = f"{PROC}24 22 0:22 / /sys rw - sysfs sysfs rw\n"


def test_a_chroot_has_no_mount_at_its_root() -> None:
    assert not confinement.is_chrooted(HOST)
    assert confinement.is_chrooted(CHROOT)
    assert not confinement.is_chrooted("")


def test_a_sysctl_that_is_not_there() -> None:
    assert confinement.sysctl("kernel/no_such_thing") is None
    assert (confinement.sysctl("kernel/pid_max") or 0) > 300


def test_this_process() -> None:
    around = confinement.look()
    assert around.is_mapped
    assert around.max_user_namespaces is None or around.max_user_namespaces >= 0
