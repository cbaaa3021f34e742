"""Homes that cannot hold a store, and runtime directories that somebody else has taken."""

from __future__ import annotations

import shlex
import sys

import pytest

from tests.user.conftest import CHECKOUT, RL_ARGV
from tests.user.rungs.conftest import Host

# Nothing of the environment says where; what is made is gone with the namespace.
UNSAID = {"RL_ROOT": "", "RL_RUNTIME_DIR": "", "HOME": "/var/tmp/home", "XDG_DATA_HOME": ""}
MASKED = ("/var/tmp", "/dev/shm", "/tmp")
# What rl is started from may be below them.
KEPT = [path for path in (str(CHECKOUT), sys.prefix) if path.startswith(MASKED)]
PRIVATE = f"""
mount --rbind / /mnt
for folder in {" ".join(MASKED)}; do mount -t tmpfs -o mode=1777 none $folder; done
for path in {" ".join(KEPT)}; do mkdir -p $path; mount --bind /mnt$path $path; done
mkdir -m 0700 /var/tmp/home
rl() {{ {shlex.join(RL_ARGV)} "$@"; }}
"""
HOME = "mount -t tmpfs -o {} none /var/tmp/home"
RUN = "rl run --rm --net=none localhost/busybox echo it runs"


@pytest.fixture
def places(host: Host) -> Host:
    host.rl.env.update(UNSAID)
    return host


@pytest.mark.parametrize(
    ("options", "reason"),
    [("ro", "read-only file system"), ("size=200k", "no space left on device")],
    ids=["read-only", "full"],
)
def test_a_home_that_takes_no_store(places: Host, options: str, reason: str) -> None:
    script = f"{PRIVATE}{HOME.format(options)}\n{RUN}\n{RUN}\nrl info | grep -A2 root:\n"
    done = places.sh(script + "ls -A /var/tmp/home; stat -c %a /var/tmp/rl-0")
    assert done.stdout.splitlines() == [
        "it runs", "it runs", "  root: /var/tmp/rl-0",
        f"  instead of: /var/tmp/home/.local/share/rl ({reason})", "  runtime: /tmp/rl-0", "700",
    ]  # fmt: skip
    assert done.stderr.count("the store is /var/tmp/rl-0, on this host alone") == 1, done.stderr


def test_a_noexec_home_is_good_enough(places: Host) -> None:
    """What containers execute is on the overlay's mount."""
    done = places.sh(f"{PRIVATE}{HOME.format('noexec')}\n{RUN}\nrl info | grep root:\n")
    assert done.stdout == "it runs\n  root: /var/tmp/home/.local/share/rl\n"


def test_a_store_that_was_named_is_not_replaced(places: Host) -> None:
    script = f"{PRIVATE}{HOME.format('ro')}\nexport RL_ROOT=/var/tmp/home/s\n{RUN}"
    done = places.sh(script, code=125)
    assert done.stderr.startswith(
        "rl: error: /var/tmp/home/s: cannot hold a store: read-only file system\n"
        "hint: export RL_ROOT=DIR, a directory on a local disk\nhint: rl doctor "
    )


def test_a_disk_that_fills_up_later_is_told(places: Host) -> None:
    script = f"{PRIVATE}{HOME.format('size=3m')}\n{RUN}"
    done = places.sh(script, code=125)
    assert "No space left on device" in done.stderr
    assert "hint: df -h" in done.stderr and "rl image prune" in done.stderr


def test_a_squatted_runtime_directory(places: Host) -> None:
    squat = "mkdir -m 0777 /tmp/rl-0; chown 7:7 /tmp/rl-0\n"
    script = f"{PRIVATE}{squat}{RUN}\n{RUN}\nrl info | grep runtime:\nls -A /tmp/rl-0"
    done = places.sh(script)
    assert done.stdout == "it runs\nit runs\n  runtime: /dev/shm/rl-0\n"
    assert done.stderr.count("/tmp/rl-0: exists but is not a private directory of uid 0") == 1
