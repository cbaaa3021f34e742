"""--sysinfo under limits that are enforced: what asks the kernel gets what the files say."""

from __future__ import annotations

import pytest

from tests.system.guest import Guest, Session
from tests.system.test_system_view import HOST, IMAGE, PROGRAMS, RUN, SPIN, run

MIB = 1024
PAGES = (
    f"{HOST}/python3 -c"
    ' "import os; print(os.sysconf(\\"SC_PHYS_PAGES\\"), os.sysconf(\\"SC_AVPHYS_PAGES\\"))"'
)


@pytest.mark.parametrize("kind", ["linger", "ssh"])
def test_free_of_busybox_shows_the_limit(guest: Guest, kind: str) -> None:
    flags = "-m 64m --memory-swap 96m --sysinfo"
    lines = run(guest.as_user(kind), flags, "free").splitlines()
    total, used, free, *_ = map(int, lines[1].split()[1:])
    assert total == 64 * MIB
    assert 0 < free < total
    assert 0 < used < total
    assert lines[2].split()[1] == str(32 * MIB)


def pages(user: Session, flags: str) -> list[int]:
    return [int(word) for word in run(user, f"{flags} {PROGRAMS}", PAGES).split()]


def test_sysconf_counts_the_containers_pages(guest: Guest) -> None:
    user = guest.as_user("linger")
    total, available = pages(user, "-m 128m --sysinfo")
    assert total * 4 == 128 * MIB
    assert 0 < available < total
    hosts, _ = pages(user, "-m 128m")
    assert hosts * 4 > 1024 * MIB


def test_an_update_shows_at_the_next_call(guest: Guest) -> None:
    script = "free | grep Mem; until [ -e /s/go ]; do sleep 0.1; done; free | grep Mem"
    flags = f"--sysinfo --name grows -m 256m -v /tmp/sysinfo:/s {IMAGE}"
    done = guest.as_user("linger").run(
        f"mkdir -p /tmp/sysinfo; {RUN} {flags} sh -c '{script}' > /tmp/sysinfo/out &"
        " until [ $(wc -l < /tmp/sysinfo/out) = 1 ]; do sleep 0.1; done;"
        " rl update -m 512m --memory-swap 600m grows; touch /tmp/sysinfo/go; wait;"
        " cat /tmp/sysinfo/out; rm -r /tmp/sysinfo",
        timeout=120,
    )
    totals = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("Mem:")]
    assert totals == [str(256 * MIB), str(512 * MIB)]


def test_load_is_the_containers_own(guest: Guest) -> None:
    user = guest.as_user("linger")
    spin = f"timeout 30 sh -c '{SPIN}' & "
    script = "sleep 3; uptime; cat /proc/loadavg"
    done = user.run(f"{spin} {spin} {RUN} --sysinfo {IMAGE} sh -c '{script}'", timeout=120)
    shown, text = done.stdout.splitlines()
    assert " up 0 min" in shown
    assert float(shown.rpartition(": ")[2].split(",")[0]) < 0.5, done
    assert float(text.split()[0]) < 0.5
