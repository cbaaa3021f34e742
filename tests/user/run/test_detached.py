"""Containers that go on without their caller: -d, create, start, stop, restart, kill, wait."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rootless.store import containers
from tests.user.conftest import Rl
from tests.user.run.conftest import Leftovers, wait_until

Detach = Callable[..., str]


@pytest.fixture
def detach(rl: Rl, busybox_image: str) -> Iterator[Detach]:
    """`rl run -d FLAGS IMAGE sh -c SCRIPT` (no network unless asked for); the container's id."""

    def start(script: str, *flags: str, command: tuple[str, ...] = ("run", "-d")) -> str:
        network = [] if any(flag.startswith("--net") for flag in flags) else ["--net=none"]
        done = rl(*command, *network, *flags, busybox_image, "sh", "-c", script)
        return done.stdout.strip()

    yield start
    rl("rm", "--force", "--all")


def record(rl: Rl, container_id: str) -> dict[str, Any]:
    return containers.read_record(rl.paths, container_id)


def pid_of(rl: Rl, container_id: str, name: str) -> int:
    state: Any = containers.read_state(rl.paths, container_id)
    return int(state["processes"][name][0])


def logged(rl: Rl, container_id: str) -> str:
    path = f"{containers.directory(rl.paths, container_id)}/log/log.json"
    if not os.path.exists(path):
        return ""
    with open(path) as file:
        return "".join(json.loads(line)["log"] for line in file)


def is_running(rl: Rl, container_id: str) -> bool:
    return container_id[:12] in rl("ps", "-q").stdout


def test_no_process_stays_where_it_began(rl: Rl, detach: Detach) -> None:
    """See kernel.processors: some begin on another processor than their parent."""
    container_id = detach("exec sleep 1000", "--net=slirp4netns")
    state: Any = containers.read_state(rl.paths, container_id)
    pids = {name: int(pid) for name, (pid, _) in state["processes"].items()}
    keeper = Path(f"/proc/{pids['keeper']}/task/{pids['keeper']}/children").read_text()
    for pid in {*pids.values(), *map(int, keeper.split())}:
        assert os.sched_getaffinity(pid) == os.sched_getaffinity(0), Path(
            f"/proc/{pid}/comm"
        ).read_text()


def test_run_d_prints_the_id_and_returns(rl: Rl, detach: Detach, leftovers: Leftovers) -> None:
    container_id = detach("echo out; echo err >&2; exec sleep 1000", "--name", "box")
    assert [container_id] == leftovers.containers() and len(container_id) == 64
    assert is_running(rl, container_id)
    wait_until(lambda: logged(rl, container_id) in ("out\nerr\n", "err\nout\n"))
    assert rl("stop", "-t", "0", "box").stdout == "box\n"
    assert not is_running(rl, container_id)
    assert leftovers.live() == []
    rl("rm", "box")
    assert leftovers.everything() == {}


@pytest.mark.usefixtures("detach")
def test_nothing_of_the_caller_is_kept_open(rl: Rl, busybox_image: str, work: Path) -> None:
    """Who reads what rl prints gets to its end, and so does who waits for an inherited pipe."""
    read_end, write_end = os.pipe()
    folder = os.open(work, os.O_RDONLY | os.O_DIRECTORY)
    lock = os.open(work / "lock", os.O_RDWR | os.O_CREAT)
    odd = (write_end, folder, lock)
    for fd in odd:
        os.set_inheritable(fd, True)
    process = rl.popen(
        "run", "-d", busybox_image, "sleep", "1000", close_fds=False, cwd=work,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    for fd in odd:
        os.close(fd)
    out, err = process.communicate(timeout=20)
    assert (len(out), err, process.returncode) == (65, b"", 0)
    assert os.read(read_end, 1) == b""
    os.close(read_end)
    container_id = out.decode().strip()
    supervisor = pid_of(rl, container_id, "supervisor")
    assert os.getsid(supervisor) == supervisor
    state: Any = containers.read_state(rl.paths, container_id)
    assert {"supervisor", "keeper", "view", "server", "network"} <= set(state["processes"])
    for name in state["processes"]:
        opened = looked_at(state["processes"][name][0])
        assert [path for path in opened if path.startswith(f"{work}")] == [], name
        if name == "keeper":
            assert [path for path in opened if path.startswith("pipe:")] == []


def looked_at(pid: int) -> list[str]:
    """What a process has open, and its directory; init's, which is root of its own, as far as we
    may see it."""
    try:
        fds = [f"fd/{number}" for number in os.listdir(f"/proc/{pid}/fd")]
        return [os.readlink(f"/proc/{pid}/{name}") for name in ("cwd", *fds)]
    except PermissionError:
        return []


def test_the_exit_code_is_noted(rl: Rl, detach: Detach, leftovers: Leftovers) -> None:
    container_id = detach("sleep 0.2; exit 7")
    assert rl("wait", container_id).stdout == "7\n"
    ended = record(rl, container_id)
    assert (ended["status"], ended["exit_code"]) == ("exited", 7)
    assert rl("wait", container_id).stdout == "7\n"
    assert leftovers.live() == []


def test_wait_for_one_that_is_removed_by_itself(
    rl: Rl, detach: Detach, leftovers: Leftovers
) -> None:
    container_id = detach("sleep 1; exit 9", "--rm", "-v", "/data")
    assert len(leftovers.volumes()) == 1
    assert rl("wait", container_id).stdout == "9\n"
    assert leftovers.everything() == {} and leftovers.volumes() == []


def test_a_command_that_is_not_there(rl: Rl, busybox_image: str, leftovers: Leftovers) -> None:
    done = rl("run", "-d", "--net=none", "--rm", busybox_image, "no-such-command", code=127)
    assert done.stdout == "" and "no-such-command" in done.stderr
    assert leftovers.everything() == {}


def test_create_start_stop_start(rl: Rl, detach: Detach, leftovers: Leftovers) -> None:
    """What a run writes is there in the next one; the hooks of a run are not."""
    script = "echo run >> /kept; mkdir /tmp/x; wc -l < /kept; exec sleep 1000"
    container_id = detach(script, "--name", "box", "--tmpfs", "/tmp", command=("create",))
    assert record(rl, container_id)["status"] == "created"
    assert leftovers.live() == []
    assert rl("start", "box").stdout == "box\n"
    wait_until(lambda: logged(rl, container_id) == "1\n")
    rl("stop", "-t", "0", "box")
    rl("start", "box")
    wait_until(lambda: logged(rl, container_id) == "1\n2\n")
    rl("restart", "-t", "0", "box")
    wait_until(lambda: logged(rl, container_id) == "1\n2\n3\n")
    assert rl("start", "box").stdout == "box\n"  # it runs already
    assert record(rl, container_id)["starts"] == 3


def test_volumes_and_their_content_outlive_restarts(
    rl: Rl, detach: Detach, leftovers: Leftovers
) -> None:
    flags = ("-v", "/etc", "-v", "named:/data", "--name", "box")
    detach("ls /etc | head -1; echo more >> /data/f; wc -l < /data/f", *flags)
    rl("wait", "box")
    volumes = leftovers.volumes()
    rl("start", "box")
    rl("wait", "box")
    assert leftovers.volumes() == volumes
    done = rl("start", "-a", "box")
    assert done.stdout.split()[-1] == "3"


def test_start_a_shows_all_output_and_ends_with_its_code(rl: Rl, detach: Detach) -> None:
    container_id = detach("echo out; echo err >&2; exit 5", command=("create",))
    done = rl("start", "--attach", container_id, code=5)
    assert (done.stdout, done.stderr) == ("out\n", "err\n")


def test_start_ai_passes_input(rl: Rl, detach: Detach) -> None:
    container_id = detach("cat; echo end", "-i", command=("create",))
    lines = "".join(f"line {number}\n" for number in range(20_000))
    done = rl("start", "-ai", container_id, input=lines)
    assert done.stdout == lines + "end\n"


def test_a_stop_signal_and_its_time(rl: Rl, detach: Detach) -> None:
    trap = "trap 'echo asked; exit 3' USR1; echo up; while :; do sleep 0.05; done"
    container_id = detach(trap, "--stop-signal", "USR1")
    wait_until(lambda: logged(rl, container_id) == "up\n")
    rl("stop", container_id)
    assert record(rl, container_id)["exit_code"] == 3
    deaf = detach("trap '' TERM; echo up; while :; do sleep 0.05; done", "--stop-timeout", "1")
    wait_until(lambda: logged(rl, deaf) == "up\n")
    before = time.monotonic()
    rl("stop", deaf)
    assert 1 <= time.monotonic() - before < 8
    assert record(rl, deaf)["exit_code"] == 137


def test_stop_of_what_does_not_run(rl: Rl, detach: Detach) -> None:
    container_id = detach("true", command=("create",))
    assert rl("stop", container_id).stdout == f"{container_id}\n"
    assert "nobody" in rl("stop", "nobody", code=125).stderr
    assert rl("stop", "--ignore", "nobody").stdout == ""


def test_kill_with_a_signal(rl: Rl, detach: Detach) -> None:
    trap = "trap 'echo got' HUP; trap 'exit 4' INT; echo up; while :; do sleep 0.05; done"
    container_id = detach(trap)
    wait_until(lambda: logged(rl, container_id) == "up\n")
    rl("kill", "-s", "HUP", container_id)
    wait_until(lambda: logged(rl, container_id) == "up\ngot\n")
    rl("kill", "--signal", "2", container_id)
    assert rl("wait", container_id).stdout == "4\n"
    assert "is not running" in rl("kill", container_id, code=125).stderr
    assert "no such signal" in rl("kill", "-s", "NONE", container_id, code=125).stderr


def test_a_timeout(rl: Rl, detach: Detach) -> None:
    container_id = detach("exec sleep 1000", "--timeout", "1")
    assert rl("wait", container_id).stdout == "137\n"


def test_restart_on_failure(rl: Rl, detach: Detach, leftovers: Leftovers) -> None:
    container_id = detach("echo run; exit 3", "--restart", "on-failure:2")
    wait_until(lambda: logged(rl, container_id) == "run\n" * 3, 20)
    wait_until(lambda: leftovers.live() == [])
    ended = record(rl, container_id)
    assert (ended["status"], ended["exit_code"], ended["restart_count"]) == ("exited", 3, 2)


def test_success_is_no_failure(rl: Rl, detach: Detach, leftovers: Leftovers) -> None:
    container_id = detach("echo run", "--restart", "on-failure")
    wait_until(lambda: leftovers.live() == [])
    assert logged(rl, container_id) == "run\n"


@pytest.mark.parametrize("end", ["stop", "kill", "rm"])
def test_always_ends_when_it_is_told_to(
    rl: Rl, detach: Detach, leftovers: Leftovers, end: str
) -> None:
    container_id = detach("echo run; sleep 0.3", "--restart", "always")
    wait_until(lambda: logged(rl, container_id).count("run") >= 2, 20)
    if end == "kill":
        wait_until(lambda: rl("kill", container_id, code=None).returncode == 0, 20)
    else:
        rl(*(("rm", "-f") if end == "rm" else ("stop",)), container_id)
    wait_until(lambda: leftovers.live() == [])
    time.sleep(1)
    assert leftovers.live() == []
    assert leftovers.containers() == ([] if end == "rm" else [container_id])


def test_stop_while_it_waits_for_its_restart(rl: Rl, detach: Detach, leftovers: Leftovers) -> None:
    container_id = detach("exit 1", "--restart", "always")
    wait_until(lambda: record(rl, container_id).get("restarts_in_a_row", 0) >= 4, 20)
    wait_until(lambda: record(rl, container_id)["status"] == "restarting")
    assert "Restarting" in rl("ps", "-a").stdout
    before = time.monotonic()
    rl("stop", container_id)
    assert time.monotonic() - before < 1
    assert record(rl, container_id)["status"] == "exited"
    assert leftovers.live() == []


def test_restart_and_rm_exclude_each_other(rl: Rl, busybox_image: str) -> None:
    done = rl("run", "-d", "--rm", "--restart", "always", busybox_image, code=125)
    assert "--restart always" in done.stderr
    assert "no such policy" in rl("run", "--restart", "often", busybox_image, code=125).stderr


@pytest.mark.parametrize("victim", ["supervisor", "keeper", "server", "init", "network"])
def test_whatever_is_killed_the_truth_is_told(
    rl: Rl, detach: Detach, leftovers: Leftovers, victim: str
) -> None:
    flags = () if victim == "network" else ("--net=none",)
    container_id = detach("exec sleep 1000", *flags, "--net=slirp4netns", "--name", "box")
    os.kill(pid_of(rl, container_id, victim), signal.SIGKILL)
    if victim == "network":
        rl("stop", "-t", "0", "box")
    wait_until(lambda: not is_running(rl, container_id))
    wait_until(lambda: rl("ps", "-a").stdout and leftovers.live() == [])
    assert record(rl, container_id)["status"] == "exited"
    rl("start", "box")
    assert is_running(rl, container_id)


def test_a_supervisor_that_was_killed_does_not_restart(
    rl: Rl, detach: Detach, leftovers: Leftovers
) -> None:
    container_id = detach("exec sleep 1000", "--restart", "always")
    os.kill(pid_of(rl, container_id, "supervisor"), signal.SIGKILL)
    wait_until(lambda: rl("ps").stdout and leftovers.live() == [])
    assert record(rl, container_id)["exit_code"] == 255


def test_a_published_port_outlives_the_caller(rl: Rl, detach: Detach) -> None:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    serve = "echo served > /tmp/index.html; exec httpd -f -p 80 -h /tmp"
    container_id = detach(serve, "--net=slirp4netns", "-p", f"127.0.0.1:{port}:80")

    def served() -> bool:
        try:
            with socket.create_connection(("127.0.0.1", port), 5) as sock:
                sock.sendall(b"GET /index.html HTTP/1.0\r\n\r\n")
                return b"served" in sock.recv(4096) + sock.recv(4096)
        except OSError:
            return False

    wait_until(served)
    rl("stop", "-t", "0", container_id)
    assert not served()
    rl("start", container_id)
    wait_until(served)


def test_several_at_once(rl: Rl, detach: Detach, leftovers: Leftovers) -> None:
    ids = [detach("exec sleep 1000") for _ in range(5)]
    assert len(rl("ps", "-q").stdout.split()) == 5
    assert rl("stop", "-t", "0", *ids).stdout.split() == ids
    assert rl("start", *ids).stdout.split() == ids
    rl("rm", "-f", *ids)
    assert leftovers.everything() == {}


def test_a_command_that_is_over_at_once(rl: Rl, detach: Detach, leftovers: Leftovers) -> None:
    """It may have ended, and be removed, before its supervisor has taken over."""
    for _ in range(10):
        detach("true", "--rm")
    wait_until(lambda: leftovers.everything() == {})
    ids = [detach("echo said") for _ in range(5)]
    for container_id in ids:
        assert rl("wait", container_id).stdout == "0\n"
        assert logged(rl, container_id) == "said\n"


def together(rl: Rl, *commands: tuple[str, ...]) -> list[tuple[int, str]]:
    """Run them all at the same time: the exit code and the complaints of each."""
    running = [
        rl.popen(*words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for words in commands
    ]
    ends = [(process.communicate(timeout=60)[1], process.returncode) for process in running]
    return [(code, err.decode()) for err, code in ends]


def test_four_starts_of_one_container_at_once(rl: Rl, detach: Detach, leftovers: Leftovers) -> None:
    container_id = detach("echo run; exec sleep 1000", "--name", "box", command=("create",))
    assert together(rl, *[("start", "box")] * 4) == [(0, "")] * 4
    assert is_running(rl, container_id)
    assert leftovers.live() == [container_id]
    wait_until(lambda: logged(rl, container_id))
    assert logged(rl, container_id) == "run\n" and record(rl, container_id)["starts"] == 1


@pytest.mark.parametrize("end", [("rm", "-f"), ("stop", "-t", "0")], ids=" ".join)
def test_a_start_and_an_end_at_once(
    rl: Rl, detach: Detach, leftovers: Leftovers, end: tuple[str, ...]
) -> None:
    """Whichever comes first: what is left is what `rl ps` says, and nothing hangs."""
    for number in range(6):
        name = f"box{number}"
        container_id = detach("exec sleep 1000", "--name", name, command=("create",))
        (code, complaint), ending = together(rl, ("start", name), (*end, name))
        assert ending == (0, "")
        assert code == 0 or "Traceback" not in complaint
        assert is_running(rl, container_id) == (leftovers.live() == [container_id])
        rl("rm", "-f", name)
        assert leftovers.everything() == {}


def test_a_name_given_while_it_restarts_stays(rl: Rl, detach: Detach) -> None:
    container_id = detach("sleep 0.1; exit 1", "--restart", "always", "--name", "name0")
    for number in range(1, 16):
        rl("rename", f"name{number - 1}", f"name{number}")
    wait_until(lambda: record(rl, container_id)["restart_count"] >= 3, 20)
    assert record(rl, container_id)["name"] == "name15"
    assert os.listdir(rl.paths.names) == ["name15"]


def test_a_stop_at_any_moment_of_a_restart_is_the_end(
    rl: Rl, detach: Detach, leftovers: Leftovers
) -> None:
    for number in range(8):
        container_id = detach("exit 1", "--restart", "always")
        time.sleep(0.06 * number)
        rl("stop", "-t", "0", container_id)
        assert record(rl, container_id)["status"] == "exited"
        time.sleep(0.3)
        assert leftovers.live() == []
        rl("rm", container_id)


def test_a_restart_that_fails_is_the_end_and_says_why(
    rl: Rl, detach: Detach, work: Path, leftovers: Leftovers
) -> None:
    folder = work / "bound"
    folder.mkdir()
    container_id = detach("sleep 0.5; exit 1", "--restart", "always", "-v", f"{folder}:/bound")
    folder.rmdir()
    # It has also exited for a moment before it is to be restarted: so not by the status alone.
    wait_until(lambda: record(rl, container_id)["error"])
    assert str(folder) in record(rl, container_id)["error"]
    wait_until(lambda: record(rl, container_id)["status"] == "exited")
    wait_until(lambda: leftovers.live() == [])


def test_a_relative_store_is_found_again_by_a_restart(rl: Rl, detach: Detach) -> None:
    rl.env["RL_ROOT"] = os.path.relpath(rl.root)
    container_id = detach("exit 1", "--restart", "on-failure:2")
    wait_until(lambda: record(rl, container_id)["restart_count"] == 2)
    wait_until(lambda: record(rl, container_id)["status"] == "exited")


def test_what_speaks_nonsense_to_the_socket_is_shown_the_door(rl: Rl, detach: Detach) -> None:
    from rootless.engine import clients
    from rootless.store import containers

    container_id = detach("exec sleep 1000")
    folder = containers.live_directory(rl.paths, container_id)
    generator = random.Random(4711)
    words: list[bytes] = [
        b"\0\0\0\0", b"\xff\xff\xff\xff", b"\1\0\0\0N", b"\1\0\0\0)", b"\3\0\0\0()i", b"\2\0\0\0xy",
        *(framed(message) for message in [(), ("in", 5), ("in",), ("size", "x", 2), 7, {"a": 1}]),
        framed(("size", -1, 10**30)),
        *(framed(generator.randbytes(generator.randrange(40))) for _ in range(20)),
    ]  # fmt: skip
    for word in words:
        sock = clients.connect(folder)
        sock.sendall(word)
        sock.close()
    half = clients.connect(folder)
    half.sendall(b"\x10\0\0\0half a mess")
    assert rl("stop", "-t", "0", container_id).stdout
    half.close()
    assert record(rl, container_id)["exit_code"] == 137


def framed(message: object) -> bytes:
    import marshal

    body = message if isinstance(message, bytes) else marshal.dumps(message)
    return len(body).to_bytes(4, "little") + body


@pytest.mark.parametrize("victims", [("keeper",), ("server",), ("keeper", "init")], ids="+".join)
def test_what_is_killed_of_a_container_is_restarted(
    rl: Rl, detach: Detach, victims: tuple[str, ...]
) -> None:
    container_id = detach("exec sleep 1000", "--restart", "always")
    before = processes(rl, container_id)
    for name in victims:
        os.kill(before[name], signal.SIGKILL)
    wait_until(lambda: processes(rl, container_id).get("init", before["init"]) != before["init"])
    wait_until(lambda: record(rl, container_id)["status"] == "running")
    assert is_running(rl, container_id) and record(rl, container_id)["restart_count"] == 1
    wait_until(lambda: not any(has_not_ended(pid) for pid in before.values()))


def processes(rl: Rl, container_id: str) -> dict[str, int]:
    state: Any = containers.read_state(rl.paths, container_id)
    return {name: pid for name, (pid, _) in state.get("processes", {}).items()}


def has_not_ended(pid: int) -> bool:
    from rootless.kernel import proc

    return proc.start_time(pid) != 0


_LINES = 200_000
_NUMBERS = "".join(f"{number}\n" for number in range(1, _LINES + 1))


def test_a_slow_client_loses_nothing(rl: Rl, detach: Detach) -> None:
    container_id = detach(f"read x; seq 1 {_LINES}", "-i")
    client = attached(rl, container_id)
    assert client.stdin is not None and client.stdout is not None
    client.stdin.write(b"go\n")
    client.stdin.flush()
    pieces = []
    while piece := os.read(client.stdout.fileno(), 65536):
        pieces.append(piece)
        time.sleep(0.01 if len(pieces) < 50 else 0)
    assert b"".join(pieces).decode() == _NUMBERS
    assert client.wait(20) == 0
    client.communicate()
    assert logged(rl, container_id) == _NUMBERS


def test_a_client_that_does_not_read_holds_the_container_until_it_is_gone(
    rl: Rl, detach: Detach, work: Path
) -> None:
    bind = ("-v", f"{work}:/work")
    container_id = detach(f"read x; seq 1 {_LINES * 2}; touch /work/done", "-i", *bind)
    client = attached(rl, container_id)
    assert client.stdin is not None
    client.stdin.write(b"go\n")
    client.stdin.flush()
    wait_until(lambda: len(logged(rl, container_id)) > 1 << 20)
    time.sleep(0.5)
    held = len(logged(rl, container_id))
    time.sleep(0.3)
    assert len(logged(rl, container_id)) == held and not (work / "done").exists()
    client.kill()
    client.communicate()
    wait_until((work / "done").exists)
    assert rl("wait", container_id).stdout == "0\n"


def attached(rl: Rl, container_id: str) -> subprocess.Popen[bytes]:
    return rl.popen(
        "attach", container_id,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
