"""Nothing stays behind a container, however it ends.

The check of the conftest above looks at processes, mounts and live directories after each test;
here the store is looked at as well.
"""

from __future__ import annotations

import os
import random
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.user.conftest import CHECKOUT, Rl
from tests.user.run.conftest import Background, Leftovers, Sh, wait_until
from tests.user.run.run_images import ImageMaker, member

Start = Callable[..., Background]
PARTS = ("init", "server", "network", "keeper")


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def wait_for_the_end_of(pids: list[int]) -> None:
    wait_until(lambda: not any(map(is_running, pids)))


def kill(container: Background, *parts: str) -> list[int]:
    """SIGKILL the named parts, in this order; the pids of all."""
    pids = {part: container.pid(part) for part in PARTS} | {"rl": container.process.pid}
    for part in parts:
        os.kill(pids[part], signal.SIGKILL)
    return list(pids.values())


@pytest.mark.parametrize("rm", [True, False], ids=["rm", "kept"])
@pytest.mark.parametrize("init", [True, False], ids=["init", "plain"])
@pytest.mark.parametrize(
    "parts", [("rl",), ("keeper",), ("server",), ("init",), ("rl", "keeper"), ("keeper", "rl"),
     ("server", "rl"), ("rl", "server"), ("network", "server", "keeper", "rl")],
    ids="+".join,
)  # fmt: skip
def test_after_sigkill(
    background: Start, rl: Rl, leftovers: Leftovers, parts: tuple[str, ...], init: bool, rm: bool
) -> None:
    flags = ["--init"] if init else []
    container = background(
        "echo ready; (sleep 1000 &) ; sleep 1000", "--name", "c", "-v", "/anonymous", *flags, rm=rm
    )
    pids = kill(container, *parts)
    code = container.process.wait(20)
    # Without the file system even the page of code that runs next may be gone: SIGBUS.
    expected = (137, 135) if "server" in parts else (137,)
    if parts[0] == "rl":
        expected = (-9,)
    elif "rl" in parts:  # it may have ended by itself before its turn came
        expected = (*expected, -9)
    assert code in expected
    # The payload and all helpers end by themselves, without the next command.
    wait_for_the_end_of(pids)
    rl("ps")
    assert leftovers.live() == []
    if not rm:
        shown = rl("ps", "-a").stdout.splitlines()
        assert len(shown) == 2 and "Exited (" in shown[1]
        rl("rm", "-v", "c")
    assert leftovers.everything() == {} and leftovers.volumes() == []


def test_a_dead_file_server_is_told(background: Start) -> None:
    container = background("echo ready; while :; do ls / >/dev/null 2>&1; sleep 0.05; done")
    kill(container, "server")
    _, err = container.process.communicate(timeout=20)
    assert container.process.returncode in (137, 135)  # see above
    assert b"fuse-overlayfs" in err


def test_a_dead_network_is_no_end(background: Start, leftovers: Leftovers) -> None:
    """The command goes on without a network, as under podman."""
    container = background(
        "echo ready; while test ! -e /dev/shm/x; do sleep 0.02; done; exit 3", "--init"
    )
    kill(container, "network")
    time.sleep(0.1)
    assert container.process.poll() is None
    container.end()
    assert leftovers.everything() == {}


@pytest.mark.parametrize("parts", [("rl",), ("keeper",), ("rl", "keeper")], ids="+".join)
@pytest.mark.parametrize(
    "flags",
    [["--userns=keep-id"], ["--userns=auto", "--init"], ["--storage-driver=overlay"],
     ["--storage-driver=vfs"], ["--pid=host"], ["--pid=host", "--init"]],
    ids=" ".join,
)  # fmt: skip
def test_after_sigkill_of_other_kinds_of_containers(
    background: Start, rl: Rl, leftovers: Leftovers, parts: tuple[str, ...], flags: list[str]
) -> None:
    container = background("echo ready; exec sleep 1000", "--net=none", *flags)
    pids = [int(pid) for pid, _ in container.state()["processes"].values()]  # type: ignore[attr-defined]
    for part in parts:
        os.kill(container.process.pid if part == "rl" else container.pid(part), signal.SIGKILL)
    container.process.wait(20)
    wait_for_the_end_of(pids)
    rl("ps")
    assert leftovers.everything() == {}


@pytest.mark.parametrize("flags", [[], ["--init"], ["--userns=keep-id"]], ids=" ".join)
@pytest.mark.parametrize("rm", [True, False], ids=["rm", "kept"])
def test_with_pid_host_nothing_outlives_the_command(
    rl: Rl, busybox_image: str, leftovers: Leftovers, flags: list[str], rm: bool
) -> None:
    """No pid namespace ends its processes: neither a child, nor a grandchild in a new session."""
    script = (
        "sleep 1000 & echo $!; (setsid sh -c 'sleep 1000 & echo $!; wait' &); sleep 0.1; exit 5"
    )
    done = rl(
        "run", *(["--rm"] if rm else ["--name", "c"]), "--net=none", "--pid=host", *flags,
        busybox_image, "sh", "-c", f"{{ {script}; }} 2>/dev/null", code=5, timeout=20,
    )  # fmt: skip
    pids = [int(word) for word in done.stdout.split()]
    assert len(pids) == 2 and not any(map(is_running, pids))
    if not rm:
        rl("rm", "-v", "c")
    assert leftovers.everything() == {}


def busy_port() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


@pytest.mark.parametrize("keep", [False, True], ids=["rm", "kept"])
@pytest.mark.parametrize(
    ("flags", "command", "code", "words"),
    [
        (["-v", "/dev/null:/etc/passwd/x"], ["true"], 125, "/etc/passwd/x"),
        (["--device", "/dev/null:/proc/no/such"], ["true"], 125, "/proc/no/such"),
        (["--sysctl", "kernel.no_such=1"], ["true"], 125, "kernel.no_such"),
        (["--sysctl", "net.ipv4.ip_forward=nonsense"], ["true"], 125, "net.ipv4.ip_forward"),
        (["-w", "/etc/passwd/x"], ["true"], 126, "/etc/passwd/x"),
        (["-v", "/anonymous"], ["/no/such"], 127, "/no/such"),
        (["-v", "/anonymous", "--init", "--userns=auto"], ["/etc/passwd"], 126, "/etc/passwd"),
        (["--tmpfs", "/t:size=1%,mpol=nonsense"], ["true"], 125, "/t"),
        (["-p", "127.0.0.1:{port}:80"], ["true"], 125, "{port}"),
        (["-p", "127.0.0.1:{port}:80/udp", "-p", "127.0.0.1:{port}:80"], ["true"], 125, "{port}"),
        (["--ulimit", "nofile=99999999:99999999"], ["true"], 125, "nofile"),
        (["--cidfile", "/no/such/dir/cid"], ["true"], 125, "/no/such/dir/cid"),
    ],
)
def test_after_an_error_in_the_middle_of_the_set_up(
    rl: Rl,
    busybox_image: str,
    leftovers: Leftovers,
    flags: list[str],
    command: list[str],
    code: int,
    words: str,
    keep: bool,
) -> None:
    with busy_port() as server:
        port = str(server.getsockname()[1])
        flags = [flag.replace("{port}", port) for flag in flags]
        name = ["--name", "c"] if keep else ["--rm"]
        done = rl("run", *name, *flags, busybox_image, *command, code=code)
    assert words.replace("{port}", port) in done.stderr and "Traceback" not in done.stderr
    assert done.stdout == ""
    assert leftovers.live() == []
    if leftovers.containers():
        assert keep and "Created" in rl("ps", "-a").stdout
        rl("rm", "-v", "c")
    assert leftovers.everything() == {} and leftovers.volumes() == []


@pytest.mark.parametrize(
    ("program", "flag"),
    [
        # Unless they are named, others take their places (tests/user/rungs); a newuidmap that is
        # not set-uid, as this fake, is not called at all (test_one_id.py).
        ("fuse-overlayfs", "--storage-driver=fuse-overlayfs"),
        ("slirp4netns", "--network=slirp4netns"),
    ],
)
def test_after_a_helper_that_fails(
    rl: Rl, busybox_image: str, leftovers: Leftovers, work: Path, program: str, flag: str
) -> None:
    fake = work / program
    fake.write_text("#!/bin/sh\necho fake: out of order >&2\nexit 3\n")
    fake.chmod(0o755)
    done = rl(
        "run", "--rm", flag, busybox_image, "true", code=125,
        env={"PATH": f"{work}:{rl.env['PATH']}"},
    )  # fmt: skip
    assert "out of order" in done.stderr
    assert leftovers.everything() == {}


def test_ctrl_c_during_the_set_up(
    rl: Rl, busybox_image: str, leftovers: Leftovers, work: Path
) -> None:
    """Here in the wait for a network that never gets ready."""
    fake = work / "slirp4netns"
    fake.write_text("#!/bin/sh\n: > $(dirname $0)/started\nexec sleep 1000\n")
    fake.chmod(0o755)
    rl.env["PATH"] = f"{work}:{rl.env['PATH']}"
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        process = rl.popen(
            "run", "--rm", busybox_image, "true", stderr=subprocess.PIPE,
            # A shell starts its background jobs, the tests may be one, with SIGINT ignored.
            preexec_fn=lambda number=number: signal.signal(number, signal.SIG_DFL),
        )  # fmt: skip
        wait_until((work / "started").exists)
        process.send_signal(number)
        _, err = process.communicate(timeout=20)
        assert process.returncode in (-number, 128 + number) and b"Traceback" not in err
        (work / "started").unlink()
        rl("ps")
        assert leftovers.everything() == {}


DEEP = "mkdir -p /a/b; cd /a/b; n=0; while test $n -lt 60; do mkdir d; cd d; n=$((n+1)); done"


def test_trees_that_are_awkward_to_remove(sh: Sh, leftovers: Leftovers) -> None:
    script = f"""
    {DEEP}; touch f; ln -s / up; mkfifo fifo; chmod 0 /a
    mkdir /n; touch "/n/$(printf 'new\\nline')" "/n/$(printf 'bad\\377byte')" /n/-rf
    chown -R 1000:1000 /n; chmod 0 /n
    """
    sh(script)
    assert leftovers.everything() == {}


FULL = """
import os, subprocess, sys
sys.path[:0] = [{checkout!r}]
from rootless.kernel import libc
from rootless.tools import idmap

def inside():
    libc.unshare(libc.CLONE_NEWNS)
    libc.mount("tmpfs", {small!r}, "tmpfs", 0, "size={size}k,mode=755")
    subprocess.run(["cp", "-a", {store!r} + "/.", {small!r}], check=True)
    room = os.statvfs({small!r}).f_bavail * os.statvfs({small!r}).f_frsize
    with open({small!r} + "/filler", "wb") as file:
        file.write(bytes(max(0, room - {left} * 1024)))
    done = subprocess.run(sys.argv[1:], env={{**os.environ, "RL_ROOT": {small!r}}},
                          capture_output=True, text=True, stdin=subprocess.DEVNULL)
    left = sorted(os.listdir({small!r} + "/containers"))
    left += os.listdir({small!r} + "/names") if os.path.isdir({small!r} + "/names") else []
    return done.returncode, done.stderr, left

print(repr(idmap.call(inside)))
"""


@pytest.mark.parametrize("left", [0, 4, 12, 24, 64], ids=lambda left: f"{left}k")
def test_on_a_full_disk(rl: Rl, busybox_image: str, short_dir: Path, left: int) -> None:
    """Within a user namespace whose root we are: rl there has one id only, and a small tmpfs."""
    small = short_dir / "full"
    small.mkdir()
    code = FULL.format(
        checkout=str(CHECKOUT), small=str(small), store=str(rl.root), left=left, size=20000
    )
    script = "head -c 100000 /dev/zero > /big || exit 7"
    argv = [*rl.argv, "run", "--rm", "--net=none", "--storage-driver=overlay", busybox_image]
    done = subprocess.run(
        [sys.executable, "-c", code, *argv, "sh", "-c", script],
        env=rl.env, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    code_of_rl, said, found = eval(done.stdout)
    assert code_of_rl in (1, 7, 125), (code_of_rl, said)
    assert "Traceback" not in said
    assert code_of_rl == 7 or "No space left" in said
    assert found == []


@pytest.mark.parametrize("size", [0, 100, 1000, 3000])
@pytest.mark.parametrize("rm", [True, False], ids=["rm", "kept"])
def test_where_files_may_not_grow(
    rl: Rl, busybox_image: str, leftovers: Leftovers, rm: bool, size: int
) -> None:
    """A limit on the size of files (setrlimit(2)), as of a quota: some file is too large."""
    rl("run", "--rm", "--net=none", busybox_image, "true")
    process = rl.popen(
        "run", *(["--rm"] if rm else ["--name", "c"]), "--net=none", "-v", "/anonymous",
        "--label", f"long={'x' * 3000}", busybox_image, "true", stderr=subprocess.PIPE,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)),
    )  # fmt: skip
    _, err = process.communicate(timeout=30)
    assert process.returncode in (1, 125)
    assert b"File too large" in err and b"Traceback" not in err
    assert leftovers.everything() == {} and leftovers.volumes() == []


def test_sigkill_at_any_moment_of_a_start(rl: Rl, busybox_image: str, leftovers: Leftovers) -> None:
    """What forty starts leave that are cut off somewhere, the next command clears."""
    moments = random.Random(4711)
    killed = 0
    for number in range(40):
        process = rl.popen(
            "run", "--rm", *(["--net=none"] if number % 4 else []), "--name", f"c{number}", "-v",
            "/anonymous", busybox_image, "sleep", "1000",
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        time.sleep(moments.uniform(0, 0.12))
        process.kill()
        killed += process.wait() == -9
    assert killed == 40
    wait_until(lambda: not processes_of(rl))
    age_unborn(rl)
    rl("ps")
    assert leftovers.everything() == {} and leftovers.volumes() == []
    assert mounts_of(rl) == []


def age_unborn(rl: Rl) -> None:
    """As if a minute had passed: a directory that has no lock yet may be somebody's in between."""
    for path in Path(rl.paths.running).glob(".new-*"):
        os.utime(path, (0, 0))


def processes_of(rl: Rl) -> list[str]:
    """Processes that have something of the store mounted or were started with it."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            text = Path(f"/proc/{pid}/mountinfo").read_bytes()
            name = Path(f"/proc/{pid}/comm").read_text().strip()
        except OSError:
            continue
        if f"{rl.root}/containers".encode() in text:
            found.append(f"{pid} {name}")
    return found


def mounts_of(rl: Rl) -> list[str]:
    return [line for line in Path("/proc/mounts").read_text().splitlines() if str(rl.root) in line]


def test_fifty_starts_at_once(rl: Rl, busybox_image: str, leftovers: Leftovers) -> None:
    rl("run", "--rm", busybox_image, "true")
    started = [
        rl.popen("run", "--rm", busybox_image, "echo", str(number), stdin=subprocess.DEVNULL,
                 stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for number in range(50)
    ]  # fmt: skip
    ends = [(*process.communicate(timeout=100), process.returncode) for process in started]
    assert ends == [(f"{number}\n".encode(), b"", 0) for number in range(50)]
    assert leftovers.everything() == {}


def test_a_killed_rl_in_the_middle_of_its_own_output(
    rl: Rl, images: ImageMaker, leftovers: Leftovers
) -> None:
    """A reader that holds the pipes of a killed rl sees their end: nobody else keeps them open."""
    image = images([member("big", content=b"x" * 100)])
    process = rl.popen(
        "run", "--rm", "-i", image, "sh", "-c", "echo ready; exec sleep 1000",
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    process.kill()
    out, _ = process.communicate(timeout=20)
    assert out == b""
    rl("ps")
    assert leftovers.everything() == {}
