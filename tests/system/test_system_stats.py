"""`rl stats` and `rl limits`, held against the files of real control groups."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.system.guest import Guest, Session

IMAGE = "localhost/busybox"
SPIN = "sh -c 'while :; do :; done'"
# Until a container of this name is seen to run.
UP = "until rl ps | grep -q {0}; do sleep 0.2; done; sleep 0.5"
MIB = 1024**2


def beside(user: Session, name: str, run: str, command: str, *, code: int | None = 0) -> str:
    """What `command` prints while `rl run RUN` goes on as container `name`; it is gone then."""
    script = (
        f"rl run --name {name} {run} >/dev/null 2>&1 & {UP.format(name)}; {command}; code=$?;"
        f" rl rm -f {name} >/dev/null 2>&1; wait; exit $code"
    )
    return user.run(script, timeout=120, code=code).stdout


def limits(text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The document of `rl limits --format json`, and its resources by name."""
    document = json.loads(text)
    return document, {row["resource"]: row for row in document["resources"]}


@pytest.fixture
def tight_slice(guest: Guest) -> Iterator[str]:
    """The slice of the lingering user, with limits of an administrator's for a while."""
    root, user = guest.as_user("root"), guest.as_user("linger")
    unit = f"user-{user.run('id -u').stdout.strip()}.slice"
    root.run(f"systemctl set-property --runtime {unit} MemoryMax=400M CPUQuota=150%")
    yield unit
    root.run(f"systemctl set-property --runtime {unit} MemoryMax=infinity CPUQuota=")


@pytest.mark.parametrize("kind", ["linger", "ssh", "bare"])
def test_figures_of_a_limited_container(guest: Guest, kind: str) -> None:
    flags = "--rm --net none --init -m 64m --cpus 0.5 --pids-limit 50"
    shown = beside(
        guest.as_user(kind), "half", f"{flags} {IMAGE} {SPIN}",
        "rl stats --no-stream --interval 4 --format json half",
    )  # fmt: skip
    (row,) = json.loads(shown)
    # As much as it may have, where no other guest of the machine's CPUs takes from it.
    assert 15 < float(row["CPUPerc"].removesuffix("%")) < 65
    used, _, limit = row["MemUsage"].partition(" / ")
    assert used.endswith(("KiB", "MiB")) and limit == "64MiB"
    assert 0 < float(row["MemPerc"].removesuffix("%")) < 50
    assert (row["Name"], row["PIDs"], row["NetIO"]) == ("half", "2", "0B / 0B")
    # Debian's systemd delegates cpu, memory and pids.
    assert row["BlockIO"] == "--"


@pytest.mark.parametrize(
    ("flags", "has_network"),
    [
        ("--net host", False),
        ("", True),
        ("--init --user 33", True),
        ("--userns keep-id", True),
        ("--cgroup-manager disabled", True),
    ],
)
def test_figures_are_read_whoever_the_payload_is(
    guest: Guest, flags: str, has_network: bool
) -> None:
    shown = beside(
        guest.as_user("linger"), "who", f"--rm {flags} {IMAGE} sleep 60",
        "sleep 1; rl stats --no-stream --format json who",
    )  # fmt: skip
    (row,) = json.loads(shown)
    # What the stack says when the interface comes up.
    assert (row["NetIO"] != "0B / 0B") == has_network
    assert row["PIDs"] == ("2" if "--init" in flags else "1")
    assert "--" not in (row["CPUPerc"] + row["MemUsage"] + row["NetIO"])


def test_containers_come_and_go(guest: Guest) -> None:
    user = guest.as_user("linger")
    start = f"rl run --rm --net none --name short {IMAGE} sleep 4 & {UP.format('short')}; wait"
    done = user.run(
        f"({start}) & rl stats --format json >/tmp/lines & stats=$!; wait %1;"
        # A shell's background commands ignore Ctrl-C.
        " sleep 3; kill -TERM $stats; cat /tmp/lines; rm /tmp/lines",
        code=None,
    )
    rows = [row for row in map(json.loads, done.stdout.splitlines()) if row["Name"] == "short"]
    assert rows[0]["CPUPerc"] == "--"
    assert rows[-1]["CPUPerc"] != "--"
    # The table outlived its container.
    assert len(rows) < 15


def test_a_terminal_gets_one_table_in_place(guest: Guest) -> None:
    command = "script -qec 'timeout --foreground -s INT 6 rl stats' /dev/null"
    user = guest.as_user("linger")
    shown = beside(
        user, "seen", f"--rm --net none {IMAGE} sleep 60", f"{command}; echo end=$?"
    )  # fmt: skip
    assert shown.count("\033[H") == shown.count("CONTAINER ID") >= 2
    assert shown.count("\033[J") == shown.count("\033[H")
    assert "Traceback" not in shown
    piped = beside(
        user, "seen", f"--rm --net none {IMAGE} sleep 60", "timeout -s INT 6 rl stats; true"
    )  # fmt: skip
    assert "seen" in piped and "\033" not in piped


def test_the_containers_own_limits(guest: Guest) -> None:
    flags = "--rm --net none -m 64m --memory-reservation 32m --cpus 0.5 --pids-limit 50"
    shown = beside(
        guest.as_user("linger"), "own", f"{flags} --cpu-shares 2048 {IMAGE} {SPIN}",
        "sleep 2; rl limits --format json own",
    )  # fmt: skip
    document, rows = limits(shown)
    for name, size in (("memory", 64 * MIB), ("swap", 64 * MIB), ("cpu", 0.5), ("pids", 50)):
        row = rows[name]
        assert [row["requested"], row["set"], row["effective"]] == [size] * 3, name
        assert row["bound_by"]["name"] == "the container"
    assert rows["memory"]["peak"] >= rows["memory"]["used"] > 0
    assert rows["pids"]["used"] == 1
    assert rows["cpu weight"]["set"] == rows["cpu weight"]["effective"] == 79
    assert rows["cpu weight"]["bound_by"]["name"] == "app.slice"
    assert rows["cpuset cpus"]["effective"] == "0-1"
    # Nothing is kept for the slices above, so nothing of it can be kept for this container.
    assert (rows["memory reserved"]["set"], rows["memory reserved"]["effective"]) == (32 * MIB, 0)
    assert document["cpu_stat"]["nr_throttled"] > 0
    assert document["pressure"]["cpu"]["some"]["total"] > 0
    missing = {one["controller"]: one for one in document["missing_controllers"]}
    assert missing.keys() == {"io", "cpuset"}
    assert "not delegated" in missing["io"]["reason"]
    assert "rl-delegate.conf" in missing["io"]["hint"]


def test_what_a_group_above_binds(guest: Guest, tight_slice: str) -> None:
    shown = beside(
        guest.as_user("linger"), "bound", f"--rm --net none -m 1g {IMAGE} sleep 60",
        "rl limits --format json bound; rl limits bound >&2; rl stats --no-stream bound >&2",
    )  # fmt: skip
    said = guest.said[-1].stderr
    _, rows = limits(shown)
    memory = rows["memory"]
    assert (memory["requested"], memory["set"]) == (1024 * MIB, 1024 * MIB)
    assert (memory["effective"], memory["bound_by"]["name"]) == (400 * MIB, tight_slice)
    assert memory["bound_by"]["used"] > memory["used"]
    assert (rows["cpu"]["effective"], rows["cpu"]["bound_by"]["name"]) == (1.5, tight_slice)
    # Not by systemd's DefaultTasksMax=, which the scope does not get.
    assert rows["pids"]["bound_by"]["name"] == tight_slice
    assert f"{tight_slice}, " in said
    assert " / 400MiB" in said


def test_what_the_oom_killer_took(guest: Guest) -> None:
    user = guest.as_user("linger")
    # It fills the page cache first: held at the limit, but not killed, it is seen before it dies.
    fill = "while (i++ < 500000) print i i i i i i i i i i > to"
    hog = f"awk -v to=/data/cache -v s=x 'BEGIN {{ {fill}; while (1) s = s s }}'"
    run = f"--net none -v /data -m 24m --memory-swap 24m {IMAGE} "
    seen = "until rl limits hog | grep -q 'Killed for'; do sleep 0.3; done"
    keep = "rl limits --format json hog; rl limits hog >&2"
    text = beside(user, "hog", f'{run} sh -c "{hog}; sleep 60"', f"{seen}; {keep}")
    document, _ = limits(text)
    (kill,) = document["oom_kills"]
    assert (kill["command"], kill["count"], kill["limit"]) == ("awk", 1, 24 * MIB)
    assert document["memory_events"]["oom_kill"] == 1
    said = guest.said[-1].stderr
    assert "at the container's limit of 24MiB" in said and "awk (process" in said
    assert "Memory: lost a process to the OOM killer 1 time" in said
    # Afterwards the record knows.
    user.run(f"rl run --name hog {run} {hog}", code=137)
    done = user.run("rl limits hog; rl rm hog").stdout
    assert "does not run" in done and "at the container's limit of 24MiB" in done
    assert done.index("24MiB") > 0


def test_without_a_group_of_its_own(guest: Guest) -> None:
    shown = beside(
        guest.as_user("ssh"), "bare", f"--rm --cgroup-manager disabled {IMAGE} sleep 60",
        "rl limits --format json bare; rl limits bare >&2",
    )  # fmt: skip
    document, rows = limits(shown)
    assert document["cgroup"] is None and document["without_cgroup_because"]
    assert "/session-" in document["shared_cgroup"]
    assert rows["memory"]["set"] is None
    assert rows["pids"]["bound_by"]["name"].startswith("user-")
    said = guest.said[-1].stderr
    assert "no cgroup of its own" in said and "session-" in said
