"""`rl run --runtime`: crun and runc, and rl-oci, on what our keeper has made."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rootless.store import containers
from tests.user.conftest import Rl
from tests.user.run.run_terminal import Terminal

SHOW = "id -u; cat /etc/hostname; cat /proc/sys/net/ipv4/ip_unprivileged_port_start; cat; exit 3"
ALL = pytest.mark.parametrize("runtime", ["crun", "runc", "rl-oci"], indirect=True)
OTHERS = pytest.mark.parametrize("runtime", ["crun", "runc"], indirect=True)
CRUN = pytest.mark.parametrize("runtime", ["crun"], indirect=True)
# Without /proc/vmstat and its like there is nothing to tell of runc.
QUIET = ("--net=none", "--procview=off")


@ALL
def test_a_run_in_the_foreground(rl: Rl, busybox_image: str, runtime: str) -> None:
    words = ["run", "--rm", "-i", "--runtime", runtime, *QUIET, "--hostname=me"]
    done = rl(*words, busybox_image, "sh", "-c", f"echo e >&2; {SHOW}", input="said\n", code=3)
    assert done.stdout == "0\nme\n0\nsaid\n"
    assert done.stderr == "e\n"


@CRUN
def test_with_a_network(rl: Rl, busybox_image: str, runtime: str) -> None:
    words = ["run", "--rm", "--runtime", runtime, "--net=slirp4netns", busybox_image]
    assert "10.0.2.100" in rl(*words, "ip", "addr").stdout


@ALL
@pytest.mark.parametrize("flags", [["--rm"], ["-d", "--rm"]], ids=" ".join)
def test_a_command_that_is_missing(
    rl: Rl, busybox_image: str, runtime: str, flags: list[str]
) -> None:
    refused(rl, [*flags, "--runtime", runtime, *QUIET, busybox_image, "no-such"], 127)


@OTHERS
@pytest.mark.parametrize(("command", "code"), [("/etc/hosts", 126), ("/no/such", 127)])
def test_a_command_that_cannot_run(
    rl: Rl, busybox_image: str, runtime: str, command: str, code: int
) -> None:
    refused(rl, ["--rm", "--runtime", runtime, *QUIET, busybox_image, command], code)


def refused(rl: Rl, words: list[str], code: int) -> None:
    """One line that names the command, the last of the words; nothing is left, or said to run."""
    done = rl("run", *words, code=code)
    (line,) = done.stderr.splitlines()
    assert line.startswith("rl: error: ") and words[-1] in line
    assert done.stdout == ""
    assert list(Path(rl.paths.containers).iterdir()) == []


@OTHERS
def test_what_the_runtime_refuses(rl: Rl, busybox_image: str, runtime: str) -> None:
    """By its own words, one line; the container stays as one that never ran."""
    words = ["run", "-d", "--name=one", "--runtime", runtime, *QUIET, "-w/etc/hosts"]
    done = rl(*words, busybox_image, "true", code=125)
    (line,) = done.stderr.splitlines()
    assert "/etc/hosts" in line and "a directory" in line
    assert done.stdout == ""
    assert rl("ps", "-a", "--format", "{{.Status}}").stdout == "Created\n"


def test_a_runtime_without_a_log(rl: Rl, busybox_image: str, short_dir: Path) -> None:
    """What it writes to its standard error is what there is."""
    program = written(short_dir, "echo some words >&2\necho the last >&2\nexit 9")
    words = ["run", "--rm", "--runtime", program, *QUIET, busybox_image, "true"]
    assert rl(*words, code=125).stderr == "rl: error: shows: the last\n"


def written(folder: Path, script: str) -> str:
    program = folder / "shows"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return str(program)


def test_crun_is_told_what_it_needs(rl: Rl, busybox_image: str, short_dir: Path) -> None:
    """A program in its place shows its arguments and the document that it gets."""
    script = 'case $1 in --version) echo crun version 2;; *) echo "$@"; cat config.json;; esac'
    program = written(short_dir, f"({script}) | tee -a {short_dir}/shown")
    done = rl("run", "--rm", "--runtime", program, *QUIET, busybox_image, "true", code=125)
    assert "names no process" in done.stderr
    words, text = (short_dir / "shown").read_text().split("\n", 1)[1].split("\n", 1)
    assert "--log-format json --cgroup-manager=disabled create --bundle" in words
    document = json.JSONDecoder().raw_decode(text)[0]
    assert "uidMappings" not in document["linux"]
    assert {"type": "user"} not in document["linux"]["namespaces"]
    assert "defaultAction" in document["linux"]["seccomp"]


@pytest.mark.parametrize("runtime", ["runc"], indirect=True)
def test_runc_gets_the_view_as_far_as_it_takes_it(rl: Rl, busybox_image: str, runtime: str) -> None:
    words = ["run", "--rm", "--runtime", runtime, "--net=none", busybox_image]
    done = rl(*words, "cat", "/proc/self/mountinfo")
    (line,) = done.stderr.splitlines()
    assert "runc takes no mounts there" in line and "/proc/vmstat" in line
    assert "/proc/meminfo" in done.stdout and "/proc/vmstat" not in done.stdout


@CRUN
def test_crun_gets_the_whole_view(rl: Rl, busybox_image: str, runtime: str) -> None:
    words = ["run", "--rm", "--runtime", runtime, "--net=none", busybox_image]
    done = rl(*words, "cat", "/proc/self/mountinfo")
    assert "/proc/vmstat" in done.stdout and done.stderr == ""


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    made = Terminal()
    yield made
    made.close()


@ALL
def test_a_terminal(rl: Rl, busybox_image: str, runtime: str, terminal: Terminal) -> None:
    words = [*rl.argv, "run", "--rm", "-it", "--runtime", runtime, *QUIET, busybox_image]
    script = "trap 'stty size; exit 5' WINCH; tty; stty size; read a; echo $a; sleep 9 & wait"
    terminal.start([*words, "sh", "-c", script], rl.env)
    terminal.until(b"/dev/pts/0\r\n40 123\r\n")
    terminal.type(b"typed\r")
    terminal.until(b"typed\r\n")
    terminal.until(b"typed\r\n")
    terminal.resize(20, 77)
    terminal.until(b"20 77\r\n")
    assert terminal.wait() == 5
    assert terminal.mode() == terminal.mode_before


@OTHERS
def test_a_terminal_of_a_detached_one(rl: Rl, busybox_image: str, runtime: str) -> None:
    words = ["run", "-dt", "--name=one", "--runtime", runtime, *QUIET, busybox_image]
    rl(*words, "sh", "-c", "tty; echo end")
    assert rl("wait", "one").stdout == "0\n"
    assert rl("logs", "one").stdout.splitlines() == ["/dev/pts/0", "end"]


@OTHERS
def test_a_detached_one_and_the_commands(rl: Rl, busybox_image: str, runtime: str) -> None:
    """Under --init, so that its first process is not the command."""
    script = "trap 'exit 9' TERM; echo runs; while :; do sleep 0.1; done"
    words = ["run", "-d", "--init", "--name=one", "--runtime", runtime, *QUIET, "-eA=b"]
    rl(*words, busybox_image, "sh", "-c", script)
    seen = rl("exec", "one", "sh", "-c", "echo $A; tr '\\0' ' ' </proc/1/cmdline; exit 4", code=4)
    assert seen.stdout.startswith("b\n/dev/init -- sh -c")
    assert "executable file not found" in rl("exec", "one", "no-such", code=127).stderr
    shown = rl("top", "one", "pid", "comm").stdout.split()
    assert "catatonit" in shown or "init" in shown
    assert "rl-runtime" not in shown
    assert rl("stats", "--no-stream", "--format", "{{.PIDs}}", "one").stdout.strip() in ("2", "3")
    assert rl("logs", "one").stdout == "runs\n"
    assert rl("inspect", "-f", "{{.HostConfig.Runtime}}", "one").stdout == f"{runtime}\n"
    assert "needs a cgroup" in rl("pause", "one", code=None).stderr or os.access(
        "/sys/fs/cgroup/cgroup.controllers", os.F_OK
    )
    rl("stop", "one")
    assert rl("wait", "one").stdout == "9\n"


@pytest.mark.parametrize(
    ("runtime", "who"),
    [("crun", ["keeper"]), ("crun", ["waiting"]), ("runc", ["supervisor", "keeper"])],
    indirect=["runtime"],
)
def test_somebody_is_killed(rl: Rl, busybox_image: str, runtime: str, who: list[str]) -> None:
    words = ["--runtime", runtime, *QUIET, busybox_image, "sleep", "1234"]
    container_id = rl("run", "-d", *words).stdout.strip()
    state = containers.read_state(rl.paths, container_id)
    for name in who:
        os.kill(state["processes"][name][0], signal.SIGKILL)
    until(lambda: not os.path.exists(f"/proc/{state['processes']['init'][0]}/root"))
    # By a supervisor that is left, or else by the next command.
    until(lambda: "Exited" in rl("ps", "-a", "--format", "{{.Status}}").stdout)
    until(lambda: containers.live_ids(rl.paths) == [])


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_runtime_that_nobody_knows_is_not_entered(
    rl: Rl, busybox_image: str, short_dir: Path
) -> None:
    program = written(short_dir, '[ "$1" = --version ] || exec runc "$@"')
    rl("run", "-d", "--name=one", "--runtime", program, *QUIET, busybox_image, "sleep", "1234")
    assert "neither crun nor runc" in rl("exec", "one", "true", code=125).stderr
    rl("kill", "one")
    rl("rm", "-f", "one")


def test_the_program_is_missing(rl: Rl, busybox_image: str, short_dir: Path) -> None:
    def said(runtime: Any) -> str:
        words = ["run", "--rm", "--runtime", str(runtime), "--net=none", busybox_image, "true"]
        return rl(*words, code=125).stderr

    assert "no-such: not installed" in said("no-such")
    assert "/no/such: no such file" in said("/no/such")
    (short_dir / "text").write_text("")
    assert "not executable" in said(short_dir / "text")
    rl("run", "-d", "--runtime=no-such", busybox_image, "true", code=125)
    assert rl("ps", "-aq").stdout == ""


@pytest.mark.parametrize("flag", ["--sysinfo", "--userns=keep-id", "--timens=private"])
def test_what_only_our_own_can_do(rl: Rl, busybox_image: str, flag: str) -> None:
    words = ["--runtime=crun", flag, busybox_image, "true"]
    said = rl("run", *words, code=125).stderr
    assert f"{flag.replace('=', ' ')}: only rl's own runtime has that" in said
    assert rl("run", "--dry-run", *words, code=125).stderr == said
