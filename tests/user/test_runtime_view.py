"""What the keeper mounts and forks for a container, on a group that the test has made up."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from rootless.cgroup import hierarchy
from rootless.kernel import libc, seccomp
from rootless.procview import confined
from rootless.procview.source import now_usec
from rootless.runtime.view import View
from tests.user.fuse_tasks import Task, inside, read_all

SECOND = 10**6


@pytest.fixture
def group(short_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A container's group with one CPU, in a directory that stands for the mount of cgroup2."""
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("needs /dev/fuse, open to this user")
    path = short_dir / "g"
    path.mkdir()
    (path / "cgroup.threads").write_text("")
    (path / "cpu.max").write_text("100000 100000\n")
    found = hierarchy.Hierarchy("v2", str(short_dir), "/")
    monkeypatch.setattr(hierarchy, "discover", lambda: found)
    return path


def use(group: Path, usage: int, user: int) -> None:
    """Seconds: the load is computed from the first, the columns of CPU time from the second."""
    (group / "cpu.stat").write_text(
        f"usage_usec {usage * SECOND}\nuser_usec {user * SECOND}\nsystem_usec 0\n"
    )


def made(group: Path) -> View:
    """The view of a container that started a thousand seconds ago, in a namespace of our own."""
    libc.unshare(libc.CLONE_NEWNS)
    libc.mount(None, "/", None, libc.MS_REC | libc.MS_PRIVATE)
    place = group.parent / "m"
    place.mkdir()
    cgroup = {"container": str(group), "top": str(group), "leave": False}
    started_ns = (now_usec() - 1000 * SECOND) * 1000
    request: Any = {
        "view": str(place), "cgroup": cgroup, "started_ns": started_ns, "most_cpus": 0,
        "view_seccomp": seccomp.compile_filter(confined.DOCUMENT),
    }  # fmt: skip
    view = View(request)
    view.serve()
    return view


def look(view: View, group: Path) -> dict[str, list[float]]:
    """The numbers in the files that count."""
    place = group.parent / "m"

    def read() -> dict[str, list[float]]:
        texts = {name: read_all(f"{place}/{name}") for name in ("stat", "uptime", "loadavg")}
        words = {name: text.split(b"\n")[0].split() for name, text in texts.items()}
        return {
            "cpu": [int(word) for word in words["stat"][1:5]],
            "uptime": [float(word) for word in words["uptime"]],
            "load": [float(word) for word in words["loadavg"][:3]],
        }

    task = Task(read, view._connection)
    while not task.is_over():
        pass  # it blocks until there is something
    found: dict[str, list[float]] = task.result()
    return found


def kill(view: View) -> None:
    os.kill(view.pid, signal.SIGKILL)
    view.look()


def test_counters_go_on_after_a_death(group: Path) -> None:
    def run() -> Any:
        view = made(group)
        use(group, usage=500, user=500)
        seen = [look(view, group)]
        # Neither agrees with what was before: of that a server could not know by itself.
        use(group, usage=100, user=900)
        for _ in range(3):
            kill(view)
            seen.append(look(view, group))
        view.stop()
        return seen

    first, *later = inside(run)
    assert first["cpu"][0] == 50000 and 50000 <= first["cpu"][3] < 54000
    assert 0.3 < first["load"][0] < 0.6
    for seen in later:
        assert seen["cpu"][0] == 90000
        assert seen["cpu"][3] >= first["cpu"][3]
        assert seen["uptime"] >= first["uptime"] and seen["uptime"][1] >= first["uptime"][1]
        # One that begins at the start would say 0.1.
        assert abs(seen["load"][0] - first["load"][0]) < 0.1
