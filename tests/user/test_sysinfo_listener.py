"""Callers of sysinfo(2) at a real seccomp listener: whoever dies, and whenever, nobody hangs.

Everything runs as root of a user namespace, below a process with an alarm; when that one dies, the
listener closes and the kernel lets go of all who wait.
"""

from __future__ import annotations

import ctypes
import errno
import marshal
import mmap
import os
import random
import select
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rootless.kernel import notify
from rootless.kernel.channel import pair
from rootless.model import sysinfo
from rootless.procview import notified
from rootless.procview.notified import Listener
from rootless.procview.watched import Watched
from tests.user.fuse_tasks import SECONDS, Task, fork, inside, shared_counter

KILLS = 100
ANSWER = bytes(range(112))
LIBC = ctypes.CDLL(None, use_errno=True)
PAGE = mmap.PAGESIZE
PROGRAM = sysinfo.program(os.uname().machine)


def call(address: int) -> str:
    """ "ok" or the name of the error."""
    if LIBC.sysinfo(ctypes.c_void_p(address)) == 0:
        return "ok"
    return errno.errorcode[ctypes.get_errno()]


def asked(times: int = 1) -> list[int]:
    """How often the answer was ours, and how often something else."""
    good = 0
    for _ in range(times):
        buffer = ctypes.create_string_buffer(len(ANSWER))
        good += call(ctypes.addressof(buffer)) == "ok" and buffer.raw == ANSWER
    return [good, times - good]


class Container:
    """Functions that run below the filter, in forks of one process, and a watched server.

    structure: what answers. serve: in the place of notified.serve.
    """

    def __init__(
        self,
        *functions: Callable[[], Any],
        structure: Callable[[int, int], bytes] = lambda pid, arch: ANSWER,
        serve: Callable[..., None] = notified.serve,
        max_deaths: int = 10**6,
    ) -> None:
        ours, theirs = pair()
        self.report, write_end = os.pipe()

        def run() -> None:
            theirs_listener = notify.install(PROGRAM)
            theirs.send("listener", fds=[theirs_listener])
            os.close(theirs_listener)
            tasks = [Task(function) for function in functions]
            os.write(write_end, marshal.dumps([task.pid for task in tasks]))
            os.write(write_end, marshal.dumps([task.result() for task in tasks]))

        self.pid = fork(run)
        os.close(write_end)
        theirs.close()
        received = ours.receive()
        assert received is not None
        self.listener = Listener(received[1][0])
        self.pids: list[int] = marshal.loads(os.read(self.report, 65536))
        self.watched = Watched(
            self.listener,
            lambda: fork(lambda: serve(self.listener, structure)),
            purpose="sysinfo",
            max_deaths=max_deaths,
        )
        self.watched.begin()

    def wait(self) -> Any:
        """What the functions return; servers that die meanwhile are replaced."""
        while True:
            fds = [self.report, *([self.watched.fd] if self.watched.fd >= 0 else [])]
            ready = select.select(fds, [], [], SECONDS)[0]
            assert ready, "a caller hangs"
            if self.watched.fd in ready:
                self.watched.look()
            if self.report in ready:
                outcome = marshal.loads(os.read(self.report, 65536))
                os.waitpid(self.pid, 0)
                return outcome

    def end(self) -> None:
        """The server notices that nobody is left."""
        while self.watched.fd >= 0:
            assert select.select([self.watched.fd], [], [], SECONDS)[0], "the server lives on"
            self.watched.look()
        assert (self.watched.fd, self.listener.fd) == (-1, -1)


def outcome_of(*functions: Callable[[], Any], **options: Any) -> Any:
    """What the functions return, run below the filter in a user namespace."""

    def run() -> Any:
        container = Container(*functions, **options)
        outcome = container.wait()
        container.end()
        return outcome

    return inside(run)


def test_four_callers_at_once() -> None:
    assert outcome_of(*[lambda: asked(200)] * 4) == [[200, 0]] * 4


def bad_addresses() -> list[str]:
    memory = mmap.mmap(-1, 3 * PAGE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    LIBC.mprotect(ctypes.c_void_p(start + PAGE), PAGE, mmap.PROT_READ)
    LIBC.mprotect(ctypes.c_void_p(start + 2 * PAGE), PAGE, 0)
    places = [0, 8, 1 << 47, (1 << 64) - 64, start + PAGE, start + PAGE - 50, start + 2 * PAGE]
    outcome = [call(place) for place in places] + [call(start + PAGE - len(ANSWER))]
    assert memory[PAGE - len(ANSWER) : PAGE] == ANSWER
    assert memory[PAGE : 2 * PAGE] == bytes(PAGE), "read-only memory was written to"
    return outcome


def test_bad_addresses_fail_as_the_kernel_has_it() -> None:
    assert outcome_of(bad_addresses) == [["EFAULT"] * 7 + ["ok"]]


def test_other_calls_are_not_in_the_way() -> None:
    """While nobody answers: they do not come to the listener at all."""

    def run() -> Any:
        container = Container(lambda: [os.getpid() > 0, os.path.exists("/")], serve=wait_for_ever)
        outcome = container.wait()
        container.watched.stop()
        return outcome

    assert inside(run) == [[True, True]]


def wait_for_ever(listener: Listener, structure: Callable[[int, int], bytes]) -> None:
    signal.pause()


def test_a_second_listener_is_refused() -> None:
    def second() -> str:
        try:
            notify.install(PROGRAM)
        except OSError as error:
            return errno.errorcode[error.errno or 0]
        return "ok"

    assert outcome_of(second) == ["EBUSY"]


# Callers that end, or are interrupted.


def slow(pid: int, arch: int) -> bytes:
    time.sleep(0.1)
    return ANSWER


def killed_caller() -> bool:
    """A child is killed while its call is being answered."""
    pid = fork(lambda: print(asked()))
    time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    return os.waitpid(pid, 0)[1] == signal.SIGKILL


def exiting_caller() -> bool:
    """A thread waits for its answer when its process exits."""

    def run() -> None:
        threading.Thread(target=asked, daemon=True).start()
        time.sleep(0.05)
        os._exit(7)

    return os.waitstatus_to_exitcode(os.waitpid(fork(run), 0)[1]) == 7


@pytest.mark.parametrize("ending", [killed_caller, exiting_caller])
def test_a_caller_that_ends_meanwhile_harms_nobody(ending: Callable[[], bool]) -> None:
    outcome = outcome_of(lambda: [ending() for _ in range(5)], lambda: asked(5), structure=slow)
    assert outcome == [[True] * 5, [5, 0]]


def interrupted(*, restarts: bool) -> list[int]:
    """Calls answered, calls that failed with EINTR and an untouched buffer, and others."""
    count = [0]
    signal.signal(signal.SIGALRM, lambda *_: count.__setitem__(0, count[0] + 1))
    signal.siginterrupt(signal.SIGALRM, not restarts)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    seen = []
    for _ in range(1000):
        buffer = ctypes.create_string_buffer(len(ANSWER))
        seen.append((call(ctypes.addressof(buffer)), buffer.raw))
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert count[0] > 0
    good, refused = seen.count(("ok", ANSWER)), seen.count(("EINTR", bytes(len(ANSWER))))
    return [good, refused, len(seen) - good - refused]


def test_a_call_is_made_again_after_a_signal() -> None:
    assert outcome_of(lambda: interrupted(restarts=True)) == [[1000, 0, 0]]


def test_a_call_that_a_signal_ends_is_written_nothing() -> None:
    """Handlers without SA_RESTART: before the server has received it, a call can be given up."""
    ((good, _, wrong),) = outcome_of(lambda: interrupted(restarts=False))
    assert (good > 500, wrong) == (True, 0)


# Servers that die.


def killed_in_the_middle(count: Callable[[], int]) -> bytes:
    if count() % 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return ANSWER


def test_a_call_is_answered_when_the_server_dies_while_making_the_answer() -> None:
    count = shared_counter()
    outcome = outcome_of(
        lambda: asked(KILLS), structure=lambda pid, arch: killed_in_the_middle(count)
    )
    assert outcome == [[KILLS, 0]]
    assert count() == 2 * KILLS + 1


def dies_at(stage: str) -> Callable[..., None]:
    """A server for one call, killed at `stage`; it takes over like a good one."""

    def serve(listener: Listener, structure: Callable[[int, int], bytes]) -> None:
        listener.inbox.touch()
        notified._take_over(
            listener, lambda call: notified.write_structure(listener, call, structure)
        )
        if not select.select([listener.fd], [], [], SECONDS)[0]:
            return
        poller = select.poll()
        poller.register(listener.fd, select.POLLIN)
        if not poller.poll()[0][1] & select.POLLIN:
            return
        listener.inbox.receive(listener.fd)
        waiting = listener.inbox.unanswered()
        if stage != "received" and waiting is not None:
            assert notified.write_structure(listener, waiting, structure) == 0
        if stage == "answered" and waiting is not None:
            notify.succeed(listener.fd, waiting.id)
        os.kill(os.getpid(), signal.SIGKILL)

    return serve


@pytest.mark.parametrize("stage", ["received", "written", "answered"])
def test_every_call_may_be_the_last_of_its_server(stage: str) -> None:
    assert outcome_of(lambda: asked(30), lambda: asked(30), serve=dies_at(stage)) == [[30, 0]] * 2


def test_a_hundred_kills_at_any_moment(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    stop = tmp_path / "stop"

    def caller() -> list[int]:
        good = bad = 0
        while not stop.exists():
            one = asked(5)
            good, bad = good + one[0], bad + one[1]
        return [good, bad]

    def run() -> Any:
        container = Container(*[caller] * 4)
        chance = random.Random(4)
        for _ in range(KILLS):
            time.sleep(chance.uniform(0, 0.01))
            os.kill(container.watched.pid, signal.SIGKILL)
            container.watched.look()
        stop.touch()
        outcome = container.wait()
        container.end()
        return outcome

    outcome = inside(run)
    assert [bad for _, bad in outcome] == [0] * 4
    assert sum(good for good, _ in outcome) > KILLS


def hosts_own() -> bool:
    """Whether the kernel has answered: by the time since the host's boot."""
    buffer = ctypes.create_string_buffer(len(ANSWER))
    answer = call(ctypes.addressof(buffer))
    since_boot = time.clock_gettime(time.CLOCK_BOOTTIME)
    return answer == "ok" and abs(int.from_bytes(buffer.raw[:8], "little") - since_boot) < 5


def deadly(pid: int, arch: int) -> bytes:
    os.kill(os.getpid(), signal.SIGKILL)
    return ANSWER


def failing(pid: int, arch: int) -> bytes:
    raise ValueError("no figures")


@pytest.mark.parametrize("structure", [deadly, failing])
def test_what_cannot_be_answered_is_left_to_the_kernel(
    structure: Callable[[int, int], bytes],
) -> None:
    assert outcome_of(lambda: [hosts_own() for _ in range(3)], structure=structure) == [[True] * 3]


def test_servers_that_answer_nothing_are_given_up() -> None:
    def serve(listener: Listener, structure: Callable[[int, int], bytes]) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    assert outcome_of(lambda: call(0), serve=serve, max_deaths=3) == ["ENOSYS"]


def test_an_idle_server_does_not_wake_up() -> None:
    def switches(pid: int) -> list[str]:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return [line for line in lines if "voluntary_ctxt_switches" in line]

    def run() -> Any:
        container = Container(lambda: [asked(3), time.sleep(2)])
        time.sleep(0.5)
        before = switches(container.watched.pid)
        time.sleep(1)
        after = switches(container.watched.pid)
        outcome = container.wait()
        container.end()
        return before, after, outcome

    before, after, outcome = inside(run)
    assert (len(before), before, outcome) == (2, after, [[[3, 0], None]])
