"""rl inspect, rl top, and what rl pause and rl update say where there are no control groups."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable

import pytest

from rootless.cgroup import choice
from tests.user.conftest import Rl
from tests.user.run.conftest import Background, wait_until

Start = Callable[..., Background]
HEADS = ["USER", "PID", "PPID", "%CPU", "ELAPSED", "TTY", "TIME", "COMMAND"]


def table(text: str) -> list[list[str]]:
    """Rows of a table; columns are three spaces apart."""
    return [[field.strip() for field in line.split("   ") if field] for line in text.splitlines()]


def test_inspect_a_running_container(rl: Rl, background: Start, busybox_image: str) -> None:
    one = background(
        "echo up; sleep 60", "--net=none", "--name=box", "--label=a=b", "--hostname=h",
        "-v=data:/v", "--tmpfs=/t",
    )  # fmt: skip
    (found,) = json.loads(rl("inspect", "box").stdout)
    assert found["Name"] == "box" and found["ImageName"].startswith(busybox_image)
    assert (found["Path"], found["Args"]) == ("sh", ["-c", "echo up; sleep 60"])
    assert found["State"]["Status"] == "running" and found["State"]["Running"] is True
    assert found["State"]["Pid"] == one.pid("init")
    assert found["Config"]["Labels"]["a"] == "b" and found["Config"]["Hostname"] == "h"
    mounts = {row["Destination"]: (row["Type"], row.get("Name")) for row in found["Mounts"]}
    assert mounts == {"/v": ("volume", "data"), "/t": ("tmpfs", None)}
    assert json.loads(rl("container", "inspect", found["Id"][:10]).stdout) == [found]
    rl("inspect", "--type=image", "box", code=1)
    one.end()


def test_inspect_after_the_end(rl: Rl, busybox_image: str) -> None:
    rl("run", "--net=none", "--name=box", busybox_image, "sh", "-c", "exit 4", code=4)
    shown = "{{.State.Status}} {{.State.ExitCode}} {{.State.OOMKilled}} {{.State.Pid}}"
    assert rl("inspect", "-f", shown, "box").stdout == "exited 4 false 0\n"
    rl("run", "--net=none", "--name=never", busybox_image, "no-such-command", code=127)
    found = rl("inspect", "-f", "{{.State.Status}} {{.State.StartedAt}}", "never").stdout
    assert found == "created 0001-01-01T00:00:00Z\n"
    rl("rm", "--all")


def test_inspect_finds_images_where_there_is_no_container(rl: Rl, busybox_image: str) -> None:
    (found,) = json.loads(rl("inspect", busybox_image).stdout)
    assert found == json.loads(rl("image", "inspect", busybox_image).stdout)[0]
    done = rl("inspect", "nobody", code=1)
    assert "no such container or image: nobody" in done.stderr
    assert "no such container" in rl("container", "inspect", busybox_image, code=1).stderr


def test_top(rl: Rl, background: Start) -> None:
    one = background("echo up; su daemon -s /bin/sh -c 'sleep 61'; true", "--net=none",
                     "--name=box")  # fmt: skip
    wait_until(lambda: "sleep" in rl("top", "box", "comm").stdout)
    heads, *rows = table(rl("top", "box").stdout)
    assert heads == HEADS
    assert rows[0][:3] == ["root", "1", "0"] and rows[0][-1].startswith("sh -c echo up;")
    assert rows[-1][0] == "daemon" and rows[-1][-1] == "sleep 61"
    first = table(rl("top", "box", "hpid,huser", "seccomp", "%c").stdout)[1]
    assert first == [str(one.pid("init")), name_of_user(), "filter", "sh"]
    one.end()


def name_of_user() -> str:
    return subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("flags", [["--pid=host"], ["--userns=keep-id"], ["--storage-driver=vfs"]])
def test_top_in_other_namespaces(rl: Rl, background: Start, flags: list[str]) -> None:
    one = background("(sleep 62 &); echo up; sleep 63", "--net=none", "--name=box", *flags)
    wait_until(lambda: rl("top", "box", "comm").stdout.count("sleep") == 2)
    rows = table(rl("top", "box", "user", "hpid", "args").stdout)[1:]
    assert sorted(row[-1] for row in rows) == ["sleep 62", "sleep 63"]
    user = name_of_user() if "--userns=keep-id" in flags else "root"
    assert {row[0] for row in rows} == {user}
    assert str(one.pid("init")) in [row[1] for row in rows]
    one.end()


@pytest.mark.parametrize("options", [["-ef"], ["aux"], ["-o", "pid,args"]])
def test_top_as_ps_does_it(rl: Rl, background: Start, options: list[str]) -> None:
    one = background("echo up; sleep 64; true", "--net=none", "--name=box")
    wait_until(lambda: "sleep" in rl("top", "box", "comm").stdout)
    heads, *rows = rl("top", "box", *options).stdout.splitlines()
    assert "PID" in heads.split()
    assert len(rows) == 2 and rows[1].endswith("sleep 64")
    assert str(one.pid("init")) in rows[0].split()
    assert str(os.getpid()) not in [word for row in rows for word in row.split()]
    one.end()


def test_top_shows_nothing_that_a_terminal_would_obey(rl: Rl, background: Start) -> None:
    script = "f=\"/tmp/$(printf 'a\\033[2Jb\\nc')\"; printf '#!/bin/sh\\nsleep 65; true' > \"$f\""
    one = background(f'{script}; chmod +x "$f"; echo up; exec "$f"', "--net=none", "--name=box")
    wait_until(lambda: "sleep" in rl("top", "box", "comm").stdout)
    for words in (["args"], ["comm"], ["-ef"]):
        out = rl("top", "box", *words).stdout
        assert "\x1b" not in out and len(out.splitlines()) == 3
        assert "[2Jb" in out
    one.end()


def test_top_of_what_does_not_run(rl: Rl, busybox_image: str) -> None:
    rl("run", "--net=none", "--name=box", busybox_image, "true")
    assert "container box: is not running" in rl("top", "box", code=125).stderr
    assert "no such container: nobody" in rl("top", "nobody", code=125).stderr
    rl("rm", "box")


def test_top_of_columns_that_are_none(rl: Rl, background: Start) -> None:
    one = background("echo up; sleep 66", "--net=none", "--name=box")
    assert "no column is named shoe" in rl("top", "box", "shoe", code=125).stderr
    done = rl("top", "box", "-o", "args", code=125)
    assert "shows no PID" in done.stderr and done.stdout == ""
    assert rl("top", "box", "-Q", code=125).stderr.startswith("rl: error: ps -Q: ")
    one.end()


def test_without_a_group(rl: Rl, background: Start) -> None:
    one = background("echo up; sleep 67", "--net=none", "--name=box", "--cgroup-manager=disabled")
    for verb in ("pause", "unpause"):
        said = f"container box: rl {verb} needs a cgroup of its own"
        assert said in rl(verb, "box", code=125).stderr
    done = rl("update", "--memory=64m", "box", code=125)
    assert done.stderr.startswith("rl: error: ") and "hint: " in done.stderr
    assert rl("inspect", "-f", "{{.HostConfig.Memory}}", "box").stdout == "0\n"
    if choice.choose().manager == choice.DISABLED:
        assert "--memory 64m" in done.stderr
    one.end()


def test_an_update_is_for_the_next_start(rl: Rl, busybox_image: str) -> None:
    rl("run", "--net=none", "--name=box", busybox_image, "true")
    assert rl("update", "--memory=64m", "--cpus=0.5", "box").stdout == "box\n"
    rl("update", "--pids-limit=9", "box")
    shown = "{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.HostConfig.PidsLimit}}"
    assert rl("inspect", "-f", shown, "box").stdout == f"{64 << 20} 500000000 9\n"
    assert "--memory 1k: less than" in rl("update", "--memory=1k", "box", code=125).stderr
    assert "no limit is given" in rl("update", "box", code=125).stderr
    rl("rm", "box")
