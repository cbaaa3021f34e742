"""`rl exec`: a command in a container that runs already."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rootless.store import containers
from tests.user.conftest import Rl
from tests.user.run.conftest import Leftovers, wait_until
from tests.user.run.run_terminal import Terminal

Box = Callable[..., str]
_OF_STATUS = "CapInh|CapPrm|CapEff|CapBnd|CapAmb|NoNewPrivs|Seccomp|Uid|Gid|Groups|Cpus_allowed"


@pytest.fixture
def box(rl: Rl, busybox_image: str) -> Iterator[Box]:
    """`rl run -d FLAGS IMAGE sleep`, called "box"; its id."""

    def start(*flags: str, command: tuple[str, ...] = ("sleep", "1000")) -> str:
        network = [] if any(flag.startswith("--net") for flag in flags) else ["--net=none"]
        done = rl("run", "-d", "--name", "box", *network, *flags, busybox_image, *command)
        return done.stdout.strip()

    yield start
    rl("rm", "--force", "--all")


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    shown = Terminal()
    yield shown
    if shown.process is not None and shown.process.poll() is None:
        shown.process.kill()


def out(rl: Rl, *words: str, **options: Any) -> str:
    return rl("exec", *words, **options).stdout


@pytest.mark.parametrize(
    "flags",
    [
        (),
        ("--init",),
        ("--userns=keep-id",),
        ("--userns=auto",),
        ("--user=1234:1234",),
        ("--privileged",),
        ("--cap-add=NET_ADMIN", "--cap-drop=CHOWN"),
        ("--security-opt=no-new-privileges=false",),
        ("--security-opt=seccomp=unconfined",),
        ("--pid=host",),
        ("--net=slirp4netns", "--timens=private"),
        ("--userns=keep-id", "--init", "--user=0"),
        ("--group-add=keep-groups",),
        ("--cpus=1", "--cpu-affinity", "--limits=best-effort"),
        ("--oom-score-adj=500", "--umask=0027"),
    ],
    ids=" ".join,
)
def test_it_is_as_confined_as_the_containers_own(rl: Rl, box: Box, flags: tuple[str, ...]) -> None:
    """Ids, capabilities, filters, limits and namespaces are those of the container's command."""
    look = f"umask; cat /proc/self/oom_score_adj; grep -E '{_OF_STATUS}' /proc/self/status"
    look += "; cat /proc/self/limits; ls -l /proc/self/ns"
    look += " | sed 's/.*-> //' | grep -v _for_children"
    script = f"{{ {look}; }} > /dev/shm/own; exec sleep 1000"
    container_id = box(*flags, "--ulimit", "nofile=100:200", command=("sh", "-c", script))
    ask = f"until grep -q user /dev/shm/own; do sleep 0.05; done; {look}; echo; cat /dev/shm/own"
    shown, own = out(rl, "box", "sh", "-c", ask).split("\n\n")
    assert shown.strip() == own.strip()
    assert containers.read_record(rl.paths, container_id)["status"] == "running"


def test_environment_directory_and_user(rl: Rl, box: Box) -> None:
    box("-e", "ONE=1", "-e", "TWO=2", "-w", "/etc", "--hostname", "inside")
    assert out(rl, "-e", "TWO=zwei", "box", "sh", "-c", "echo $ONE $TWO $PWD") == "1 zwei /etc\n"
    assert out(rl, "-w", "/tmp", "box", "pwd") == "/tmp\n"
    assert out(rl, "box", "hostname") == "inside\n"
    assert out(rl, "-u", "1234:77", "box", "id") == "uid=1234 gid=77 groups=77\n"
    assert "not an absolute path" in rl("exec", "-w", "tmp", "box", "pwd", code=125).stderr


def test_who_users_are_stands_in_the_containers_own_file(rl: Rl, box: Box) -> None:
    box()
    script = "echo new:x:4321:55::/home/new:/bin/sh >> /etc/passwd"
    out(rl, "box", "sh", "-c", script)
    assert out(rl, "-u", "new", "box", "sh", "-c", "id -u; id -g; echo $HOME") == (
        "4321\n55\n/home/new\n"
    )
    assert "nobody-known" in rl("exec", "-u", "nobody-known", "box", "id", code=126).stderr


@pytest.mark.parametrize("trap", ["ln -sf /proc/1/root/etc/shadow", "mkfifo", "ln -sf /dev/zero"])
def test_a_hostile_user_database(rl: Rl, box: Box, trap: str) -> None:
    box()
    out(rl, "box", "sh", "-c", f"rm -f /etc/passwd; {trap} /etc/passwd")
    look = ["box", "grep", "Uid", "/proc/self/status"]
    done = rl("exec", "-u", "daemon", *look, code=126, timeout=20)
    assert "daemon: no such user" in done.stderr
    assert out(rl, "-u", "7:7", *look, timeout=20).split() == ["Uid:", "7", "7", "7", "7"]


def test_a_user_database_without_an_end(rl: Rl, box: Box) -> None:
    """A MiB is read; who stands behind that is not known."""
    box()
    script = "head -c 3000000 /dev/zero | tr '\\0' 'x' > /etc/passwd; echo; echo a:x:5:5::/:/ "
    out(rl, "box", "sh", "-c", f"{{ {script}; }} >> /etc/passwd")
    assert "a: no such user" in rl("exec", "-u", "a", "box", "id", code=126, timeout=20).stderr


def test_ids_that_are_not_mapped(rl: Rl, box: Box) -> None:
    box("--userns=auto:size=1000")
    done = rl("exec", "-u", "1000", "box", "true", code=125)
    assert "--user 1000:0: not among the ids of this container" in done.stderr
    assert out(rl, "-u", "999", "box", "id", "-u") == "999\n"


def test_home_of_another_user(rl: Rl, box: Box) -> None:
    box()
    home = ["box", "sh", "-c", "echo $HOME"]
    out(rl, "box", "sh", "-c", "echo u:x:50:50::/home/u:/bin/sh >> /etc/passwd")
    assert out(rl, *home) == "/root\n"
    assert out(rl, "-u", "u", *home) == "/home/u\n"
    assert out(rl, "-u", "u", "-e", "HOME=/x", *home) == "/x\n"


def capabilities_of(rl: Rl, *words: str) -> dict[str, int]:
    status = out(rl, *words, "box", "cat", "/proc/self/status")
    rows = (line.split() for line in status.splitlines())
    return {row[0][:-1]: int(row[1], 16) for row in rows if row[0].startswith(("Cap", "NoNew"))}


def test_privileged(rl: Rl, box: Box) -> None:
    box()
    before, now = capabilities_of(rl), capabilities_of(rl, "--privileged")
    assert now["CapEff"] == now["CapBnd"] > before["CapBnd"]
    assert (before["NoNewPrivs"], now["NoNewPrivs"]) == (1, 0)
    assert "Seccomp:\t0\n" in out(rl, "--privileged", "box", "cat", "/proc/self/status")
    other = capabilities_of(rl, "--privileged", "-u", "9")
    assert (other["CapEff"], other["CapBnd"]) == (0, now["CapBnd"])


def test_another_user_has_what_was_added_for_users(rl: Rl, box: Box) -> None:
    box("--cap-add=NET_RAW")
    held = capabilities_of(rl, "-u", "9")
    assert held["CapEff"] == held["CapAmb"] == 1 << 13


@pytest.mark.parametrize("trap", ["mkfifo /dev/pts2/ptmx", "ln -s /dev/zero /dev/pts2/ptmx", ":"])
def test_a_container_without_honest_terminals(
    rl: Rl, box: Box, terminal: Terminal, trap: str
) -> None:
    """What stands for its /dev/pts/ptmx neither holds us up nor is taken for a terminal."""
    box("--privileged")
    hide = "mount --bind /dev/pts2 /dev/pts"
    out(rl, "box", "sh", "-c", f"mkdir /dev/pts2 && {trap} && {hide}")
    terminal.start([*rl.argv, "exec", "-t", "box", "true"], rl.env)
    terminal.until(b"the container's /dev/pts/ptmx: ")
    assert terminal.wait() == 125


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["sh", "-c", "exit 42"], 42),
        (["sh", "-c", "kill -9 $$"], 137),
        (["no-such-command"], 127),
        (["/no/such/command"], 127),
        (["/etc"], 126),
        (["/etc/hostname"], 126),
    ],
)
def test_exit_codes(rl: Rl, box: Box, words: list[str], code: int) -> None:
    box()
    rl("exec", "box", *words, code=code)


def test_what_does_not_run_or_is_not_there(rl: Rl, box: Box) -> None:
    box()
    rl("stop", "-t", "0", "box")
    assert "box" in rl("exec", "box", "true", code=125).stderr
    assert "nobody" in rl("exec", "nobody", "true", code=125).stderr


def test_streams(rl: Rl, box: Box) -> None:
    box()
    done = rl("exec", "box", "sh", "-c", "echo out; echo err >&2; cat")
    assert (done.stdout, done.stderr) == ("out\n", "err\n")
    lines = "".join(f"line {number}\n" for number in range(50_000))
    assert out(rl, "-i", "box", "cat", input=lines) == lines


def test_nothing_of_ours_is_open_in_it(rl: Rl, box: Box) -> None:
    box()
    read_end, write_end = os.pipe()
    os.set_inheritable(write_end, True)
    process = rl.popen(
        "exec", "box", "sh", "-c", "ls /proc/$$/fd; true",
        stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, close_fds=False,
    )  # fmt: skip
    shown, _ = process.communicate(timeout=20)
    os.close(read_end)
    os.close(write_end)
    assert shown.split() == [b"0", b"1", b"2"]


def test_d_goes_on_without_us_and_ends_with_the_container(
    rl: Rl, box: Box, leftovers: Leftovers
) -> None:
    box()
    assert rl("exec", "-d", "box", "sh", "-c", "echo $$ > /tmp/pid; sleep 1000").stdout == ""
    wait_until(lambda: rl("exec", "box", "cat", "/tmp/pid", code=None).returncode == 0)
    assert out(rl, "box", "ps").count("sleep 1000") == 2
    assert rl("exec", "-d", "box", "no-such-command", code=127).stdout == ""
    before = time.monotonic()
    rl("rm", "-f", "box")
    assert time.monotonic() - before < 10
    assert leftovers.everything() == {}


def test_the_end_of_the_container_is_its_end(rl: Rl, box: Box) -> None:
    box()
    process = rl.popen("exec", "box", "sleep", "1000", stdin=subprocess.DEVNULL)
    wait_until(lambda: out(rl, "box", "ps").count("sleep 1000") == 2)
    rl("kill", "box")
    assert process.wait(20) == 137


@pytest.mark.parametrize("flag", ["-d", "-i"])
def test_the_end_of_a_container_without_a_pid_namespace_is_its_end(
    rl: Rl, box: Box, flag: str
) -> None:
    box("--pid=host")
    process = rl.popen("exec", flag, "box", "sleep", "7777", stdin=subprocess.DEVNULL)
    # Not our own process, which has the same words at the end of its command line.
    wait_until(lambda: re.search(r"^ *\d+ +\S+ +sleep 7777$", out(rl, "box", "ps"), re.MULTILINE))
    rl("kill", "box")
    assert process.wait(20) == (137 if flag == "-i" else 0)
    look = ["pgrep", "-xf", "sleep 7777"]
    wait_until(lambda: subprocess.run(look, capture_output=True, check=False).returncode == 1)


def test_rl_that_is_stopped_does_not_hold_up_the_containers_end(rl: Rl, box: Box) -> None:
    box()
    process = rl.popen("exec", "box", "sh", "-c", "echo up; sleep 1000", stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"up\n"
    process.send_signal(signal.SIGSTOP)
    rl("stop", "-t", "0", "box", timeout=15)
    assert "exited" in rl("inspect", "box").stdout
    process.send_signal(signal.SIGCONT)
    assert process.wait(20) == 137
    process.stdout.close()


def test_signals_are_forwarded(rl: Rl, box: Box) -> None:
    box()
    trap = "trap 'echo got; exit 3' TERM; echo up; while :; do sleep 0.05; done"
    process = rl.popen("exec", "box", "sh", "-c", trap, stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"up\n"
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=20)[0] == b"got\n"
    assert process.returncode == 3


def test_sigkill_of_rl_harms_nobody(rl: Rl, box: Box) -> None:
    box()
    process = rl.popen("exec", "box", "sh", "-c", "echo up; sleep 1000", stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"up\n"
    process.kill()
    process.wait(20)
    process.stdout.close()
    assert out(rl, "box", "echo", "well") == "well\n"
    rl("rm", "-f", "box")


def test_a_terminal(rl: Rl, box: Box, terminal: Terminal) -> None:
    box()
    terminal.start([*rl.argv, "exec", "-it", "box", "sh"], rl.env)
    terminal.until(b"# ")
    terminal.type(b"stty size; tty; echo $TERM; exit 5\n")
    terminal.until(b"40 123\r\n/dev/pts/")
    terminal.until(b"xterm\r\n")
    assert terminal.wait() == 5
    assert terminal.mode() == terminal.mode_before


def test_keys_to_detach(rl: Rl, box: Box, terminal: Terminal) -> None:
    box()
    terminal.start([*rl.argv, "exec", "-it", "--detach-keys", "ctrl-x,x", "box", "sh"], rl.env)
    terminal.until(b"# ")
    terminal.type(b"exec sleep 777\n")
    wait_until(lambda: "sleep 777" in out(rl, "box", "ps"))
    terminal.type(b"\x18x")
    assert terminal.wait() == 0
    assert "sleep 777" in out(rl, "box", "ps")


def test_the_view_is_the_containers(rl: Rl, box: Box) -> None:
    box()
    time.sleep(1.1)
    inside = float(out(rl, "box", "cat", "/proc/uptime").split()[0])
    with open("/proc/uptime") as file:
        assert inside < 60 < float(file.read().split()[0])


def test_many_at_once(rl: Rl, box: Box) -> None:
    box()
    running = [
        rl.popen("exec", "box", "sh", "-c", f"echo {n}; exit {n}", stdout=subprocess.PIPE)
        for n in range(10)
    ]
    for number, process in enumerate(running):
        shown, _ = process.communicate(timeout=30)
        assert (shown, process.returncode) == (f"{number}\n".encode(), number)
