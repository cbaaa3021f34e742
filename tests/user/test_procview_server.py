"""The file server on real mounts: readers of every kind, and servers that are killed."""

from __future__ import annotations

import errno
import os
import random
import select
import signal
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rootless.kernel import libc
from rootless.procview import fuse, server
from rootless.procview.hostdir import PassThrough
from rootless.procview.session import Session
from rootless.procview.tree import Directory, File, Node
from rootless.procview.watched import Watched
from tests.user.fuse_tasks import SECONDS, Task, fork, inside, read_all, shared_counter

TEXT = b"".join(b"line %06d\n" % number for number in range(500))
KILLS = 100


@pytest.fixture(autouse=True)
def needs_fuse() -> None:
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("needs /dev/fuse, open to this user")


@pytest.fixture
def place(short_dir: Path) -> str:
    short_dir.chmod(0o711)  # for the container's other users
    path = short_dir / "m"
    path.mkdir()
    return str(path)


class View:
    """A tree mounted at `place` in a mount namespace of our own, with a watched server."""

    def __init__(
        self, place: str, root: Node, serve: Callable[..., None] = server.serve, **limits: int
    ) -> None:
        libc.unshare(libc.CLONE_NEWNS)
        libc.mount(None, "/", None, libc.MS_REC | libc.MS_PRIVATE)
        self.connection = server.mount(place)
        self.place = place
        self.servers = 0

        def start() -> int:
            self.servers += 1
            return fork(lambda: serve(self.connection, root))

        self.watched = Watched(self.connection, start, **limits)
        self.watched.begin()

    def start(self, function: Callable[[], Any]) -> Task:
        return Task(function, self.connection)

    def wait(self, *tasks: Task) -> list[Any]:
        """What the tasks return; servers that die meanwhile are replaced."""
        left = set(tasks)
        while left:
            fds = [task.fd for task in left]
            fds += [self.watched.fd] if self.watched.fd >= 0 else []
            ready = select.select(fds, [], [], SECONDS)[0]
            assert ready, "a reader hangs"
            if self.watched.fd in ready:
                self.watched.look()
            left -= {task for task in left if task.fd in ready and task.is_over()}
        return [task.result() for task in tasks]

    def do(self, function: Callable[[], Any]) -> Any:
        return self.wait(self.start(function))[0]

    def end(self) -> None:
        """Unmount; the server notices by itself, and nothing stays."""
        pid = self.watched.pid
        libc.umount2(self.place, libc.MNT_DETACH)
        assert select.select([self.watched.fd], [], [], SECONDS)[0], "the server lives on"
        self.watched.look()
        assert (self.watched.fd, self.connection.fd) == (-1, -1)
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def constant() -> Directory:
    return Directory({b"text": File(lambda _: TEXT)})


def test_files_are_read_by_everybody(place: str) -> None:
    def as_uid(uid: int, path: str) -> bytes:
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
        return read_all(path)

    def run() -> Any:
        view = View(place, constant())
        path = f"{place}/text"
        texts = [view.do(lambda: read_all(path)), view.do(lambda: as_uid(1000, path))]
        pieces = view.do(lambda: [read_all(path, size) for size in (1, 7, 512, 4096)])
        status = view.do(lambda: list(os.stat(path)))
        view.end()
        return texts + pieces, status

    texts, status = inside(run)
    assert texts == [TEXT] * 6
    assert (status[0], status[4], status[5], status[6]) == (0o100444, 0, 0, 0)


def own_text(reader: int) -> bytes:
    return b"%d\n" % reader * (1 + reader % 7 * 100)


def read_own(path: str, copy: Callable[[str], bytes], times: int) -> list[bytes]:
    """What was read that is not this process's own text."""
    expected = own_text(os.getpid())
    return [text for text in (copy(path) for _ in range(times)) if text != expected]


def read_with_sendfile(path: str) -> bytes:
    """Like busybox's cat."""
    fd, copy = os.open(path, os.O_RDONLY), os.memfd_create("copy")
    while os.sendfile(copy, fd, None, 1 << 20):
        pass
    text = os.pread(copy, 1 << 20, 0)
    os.close(fd)
    os.close(copy)
    return text


def test_each_reader_gets_its_own_text(place: str) -> None:
    def run() -> Any:
        shown = File(own_text, lambda reader: len(own_text(reader)), lambda: True)
        view, path = View(place, Directory({b"own": shown})), f"{place}/own"
        tasks = [view.start(lambda: read_own(path, read_all, 200)) for _ in range(7)]
        wrong = view.wait(*tasks)
        # This way goes through the kernel's page cache, which is one for all readers, since Linux
        # 6.5: right one after the other only.
        wrong += [view.do(lambda: read_own(path, read_with_sendfile, 2)) for _ in range(14)]
        view.end()
        return wrong

    assert inside(run) == [[]] * 21


def test_content_moves_with_each_read_from_the_start(place: str) -> None:
    count = shared_counter()

    def read() -> list[bytes]:
        fd = os.open(f"{place}/count", os.O_RDONLY)
        seen = [os.pread(fd, 100, 0), os.pread(fd, 2, 0), os.pread(fd, 100, 2), os.pread(fd, 9, 99)]
        os.lseek(fd, 0, os.SEEK_SET)
        return [*seen, os.read(fd, 100)]

    def run() -> Any:
        view = View(place, Directory({b"count": File(lambda _: b"%06d\n" % count())}))
        seen = view.do(read)
        view.end()
        return seen

    assert inside(run) == [b"000001\n", b"00", b"0002\n", b"", b"000003\n"]


def test_directories_are_listed_and_walked(place: str) -> None:
    def run() -> Any:
        cpus = [0]
        fd = os.open("/sys/devices/system/cpu", os.O_PATH | os.O_CLOEXEC)
        shown = PassThrough(fd, {b"online": File(lambda _: b"0\n")}, lambda _: cpus)
        many = Directory({b"f%d" % number: File(lambda _: b"") for number in range(500)})
        view = View(place, Directory({b"cpu": shown, b"many": many}))
        seen = [
            view.do(lambda: sorted(os.listdir(place))),
            view.do(lambda: sorted(os.listdir(f"{place}/cpu"))),
            view.do(lambda: sorted(os.listdir(f"{place}/many"))),
            view.do(lambda: read_all(f"{place}/cpu/online")),
            view.do(lambda: read_all(f"{place}/cpu/cpu0/uevent")),
            view.do(lambda: os.readlink(f"{place}/cpu/cpu0/subsystem")),
            view.do(lambda: len([name for _, _, names in os.walk(place) for name in names])),
            view.do(lambda: read_all(f"{place}/cpu/../../etc/passwd")),
        ]
        view.end()
        return seen

    seen = inside(run)
    host = [name for name in os.listdir("/sys/devices/system/cpu") if not name[3:].isdigit()]
    assert seen[0] == ["cpu", "many"]
    assert seen[1] == sorted([*host, "cpu0"])
    assert seen[2] == sorted(f"f{number}" for number in range(500))
    assert seen[3] == b"0\n"
    assert seen[4] == Path("/sys/devices/system/cpu/cpu0/uevent").read_bytes()
    assert seen[5] == os.readlink("/sys/devices/system/cpu/cpu0/subsystem")
    assert seen[6] > 500
    assert seen[7] == "ENOENT"


def test_nothing_can_be_changed_even_after_a_remount(place: str) -> None:
    path = f"{place}/text"
    attempts: list[Callable[[], Any]] = [
        lambda: os.open(path, os.O_WRONLY),
        lambda: os.open(path, os.O_RDWR | os.O_TRUNC),
        lambda: os.open(f"{place}/new", os.O_CREAT | os.O_WRONLY),
        lambda: os.unlink(path),
        lambda: os.chmod(path, 0o666),
        lambda: os.chown(path, 1, 1),
        lambda: os.truncate(path, 0),
        lambda: os.mkdir(f"{place}/new"),
        lambda: os.symlink("a", f"{place}/new"),
        lambda: os.rename(path, f"{place}/new"),
        lambda: os.utime(path, (1, 1)),
    ]

    def run() -> Any:
        view = View(place, constant())
        before = [view.do(attempt) for attempt in attempts]
        # A server that waits for an answer of its own would never wake up: not from this process.
        view.do(lambda: libc.mount(None, place, None, libc.MS_REMOUNT))
        after = [view.do(attempt) for attempt in attempts]
        text = view.do(lambda: read_all(path))
        view.end()
        return before, after, text

    before, after, text = inside(run)
    assert before == ["EROFS"] * len(attempts)
    assert after == ["EROFS"] * len(attempts)
    assert text == TEXT


def test_calls_that_are_not_there_fail_and_harm_nothing(place: str) -> None:
    path = f"{place}/text"

    def poll() -> int:
        poller = select.poll()
        poller.register(os.open(path, os.O_RDONLY), select.POLLIN)
        return len(poller.poll(1000))

    def run() -> Any:
        view = View(place, constant())
        seen = [
            view.do(lambda: os.getxattr(path, "user.a")),
            view.do(lambda: os.listxattr(path)),
            view.do(poll),
            view.do(lambda: os.statvfs(path).f_namemax),
            view.do(lambda: os.access(path, os.R_OK)),
            view.do(lambda: os.access(path, os.W_OK)),
            view.do(lambda: os.stat(f"{place}/{'x' * 255}")),
            view.do(lambda: os.stat(f"{place}/{'x' * 256}")),
            view.do(lambda: read_all(path)),
        ]
        view.end()
        return seen

    assert inside(run) == [
        "ENOTSUP", "ENOTSUP", 1, 255, True, False, "ENOENT", "ENAMETOOLONG", TEXT,
    ]  # fmt: skip


def test_four_readers_at_once(place: str) -> None:
    def reader() -> bool:
        return all(read_all(f"{place}/text", size) == TEXT for size in [4096, 100, 65536] * 20)

    def run() -> Any:
        view = View(place, constant())
        pid = view.watched.pid
        view.do(reader)
        fds = len(os.listdir(f"/proc/{pid}/fd"))
        answers = view.wait(*(view.start(reader) for _ in range(4)))
        assert (view.watched.pid, len(os.listdir(f"/proc/{pid}/fd"))) == (pid, fds)
        view.end()
        return answers

    assert inside(run) == [True] * 4


def test_an_idle_server_does_not_wake_up(place: str) -> None:
    def switches(pid: int) -> list[str]:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return [line for line in lines if "voluntary_ctxt_switches" in line]

    def run() -> Any:
        view = View(place, constant())
        view.do(lambda: read_all(f"{place}/text"))
        time.sleep(0.2)  # the RELEASE comes after the close
        before = switches(view.watched.pid)
        time.sleep(1)
        after = switches(view.watched.pid)
        view.end()
        return before, after

    before, after = inside(run)
    assert before == after
    assert len(before) == 2


# Servers that die.


def killed_in_the_middle(count: Callable[[], int], text: bytes) -> bytes:
    """A text whose making kills the server every other time."""
    if count() % 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return text


def test_a_reader_gets_its_text_when_the_server_dies_while_making_it(place: str) -> None:
    count = shared_counter()
    root = Directory({b"text": File(lambda _: killed_in_the_middle(count, TEXT))})

    def reader() -> int:
        return sum(read_all(f"{place}/text") == TEXT for _ in range(KILLS))

    def run() -> Any:
        view = View(place, root)
        good = view.do(reader)
        view.end()
        return good, view.servers - 1

    assert inside(run) == (KILLS, KILLS)


def dies_at(stage: str) -> Callable[..., None]:
    """A server for one request, killed at `stage`; it takes over like a good one."""

    def serve(connection: server.Connection, root: Node) -> None:
        connection.page.touch()
        session = Session(root, connection.page)
        server._take_over(connection, session)
        raw = connection.page.receive(connection.fd)
        if stage == "answered":
            os.write(connection.fd, session.answer(raw) or b"")
        os.kill(os.getpid(), signal.SIGKILL)

    return serve


@pytest.mark.parametrize("stage", ["read", "answered"])
def test_every_single_request_may_be_the_last_of_its_server(place: str, stage: str) -> None:
    def use() -> list[Any]:
        fd = os.open(f"{place}/text", os.O_RDONLY)
        texts = [os.pread(fd, 10**6, 0), os.pread(fd, 10**6, 0), os.pread(fd, 10, len(TEXT))]
        names = os.listdir(place)
        size = os.stat(f"{place}/text").st_size
        return [*texts, names, size, os.statvfs(place).f_namemax]

    def run() -> Any:
        # From INIT on: each server answers what its forerunner has left, and dies of the next.
        view = View(place, constant(), serve=dies_at(stage))
        seen = view.do(use)
        view.watched.stop()
        return seen, view.servers - 1

    seen, deaths = inside(run)
    assert seen == [TEXT, TEXT, b"", ["text"], 0, 255]
    assert deaths > 6


def test_a_hundred_kills_at_any_moment(place: str) -> None:
    def reader() -> tuple[int, int]:
        good = bad = 0
        with_open = os.open(f"{place}/text", os.O_RDONLY)
        while not os.path.exists(f"{place}.stop"):
            for text in (read_all(f"{place}/text", 1000), os.pread(with_open, 10**6, 0)):
                good, bad = (good + 1, bad) if text == TEXT else (good, bad + 1)
        return good, bad

    def run() -> Any:
        view = View(place, constant())
        chance = random.Random(4)
        tasks = [view.start(reader) for _ in range(4)]
        for _ in range(KILLS):
            time.sleep(chance.uniform(0, 0.01))
            os.kill(view.watched.pid, signal.SIGKILL)
            view.watched.look()
        Path(f"{place}.stop").touch()
        counts = view.wait(*tasks)
        view.end()
        return counts

    counts = inside(run)
    assert [bad for _, bad in counts] == [0] * 4
    assert sum(good for good, _ in counts) > KILLS


def test_a_killed_reader_dies_with_the_next_server(place: str) -> None:
    count = shared_counter()
    root = Directory({b"text": File(lambda _: killed_in_the_middle(count, TEXT))})

    def run() -> Any:
        view = View(place, root)
        task = view.start(lambda: read_all(f"{place}/text"))
        assert select.select([view.watched.fd], [], [], SECONDS)[0]
        os.kill(task.pid, signal.SIGKILL)
        time.sleep(0.05)
        is_stuck = os.waitpid(task.pid, os.WNOHANG) == (0, 0)
        view.watched.look()
        status = os.waitpid(task.pid, 0)[1]
        text = view.do(lambda: read_all(f"{place}/text"))
        view.end()
        return is_stuck, status, text

    assert inside(run) == (True, signal.SIGKILL, TEXT)


def test_a_text_that_kills_every_server_becomes_an_error(place: str) -> None:
    root = Directory({
        b"deadly": File(lambda _: killed_in_the_middle(lambda: 1, TEXT)),
        b"text": File(lambda _: TEXT),
    })  # fmt: skip

    def run() -> Any:
        view = View(place, root)
        seen = [
            view.do(lambda: read_all(f"{place}/deadly")),
            view.do(lambda: read_all(f"{place}/text")),
        ]
        view.end()
        return seen

    assert inside(run) == ["EIO", TEXT]


def test_whoever_asks_again_and_again_for_a_deadly_text_ends_the_view(place: str) -> None:
    """Each such request costs a few forks, and the keeper's time is not the container's."""
    root = Directory({
        b"deadly": File(lambda _: killed_in_the_middle(lambda: 1, TEXT)),
        b"text": File(lambda _: TEXT),
    })  # fmt: skip

    def insist() -> list[Any]:
        seen = []
        for _ in range(100):
            # What is answered in between does not help.
            for name in ("deadly", "text"):
                try:
                    seen.append(read_all(f"{place}/{name}"))
                except OSError as error:
                    seen.append(errno.errorcode[error.errno or 0])
        return seen

    def run() -> Any:
        view = View(place, root)
        return view.do(insist), view.servers, view.watched.fd

    seen, servers, left = inside(run)
    assert seen[:4] == ["EIO", TEXT] * 2
    assert seen[-2:] == ["ENOTCONN"] * 2
    assert 50 <= servers < 100 and left == -1


def test_servers_that_die_too_fast_are_given_up(place: str) -> None:
    root = Directory({b"deadly": File(lambda _: killed_in_the_middle(lambda: 1, TEXT))})

    def run() -> Any:
        view = View(place, root, max_deaths=3)
        seen = [view.do(lambda: read_all(f"{place}/deadly")) for _ in range(2)]
        return seen, view.watched.fd, view.connection.fd, view.watched.pid

    seen, *left = inside(run)
    assert seen[0] in ("ECONNABORTED", "ENOTCONN"), "which one depends on the kernel"
    assert seen[1] == "ENOTCONN"
    assert left == [-1, -1, 0]


def test_a_server_that_fails_by_itself_is_not_tried_often(place: str) -> None:
    def fail(connection: server.Connection, root: Node) -> None:
        raise RuntimeError("nothing works")

    def run() -> Any:
        view = View(place, constant(), serve=fail)
        return view.do(lambda: read_all(f"{place}/text")), view.servers, view.watched.fd

    assert inside(run) in [(name, 5, -1) for name in ("ECONNABORTED", "ENOTCONN")]


# A peer that is worse than any kernel.


def hostile_requests(chance: random.Random) -> bytes:
    numbers = [0, 1, 2, 3, 4, 2**31, 2**62, 2**63, 2**64 - 1, chance.getrandbits(64)]
    opcode = chance.choice([*range(60), 4096, 2**32 - 1])
    body = chance.choice([
        b"", chance.randbytes(chance.randrange(200)), b"\xff" * 8152, b"../../etc/passwd\0",
        b"a/b\0", b"\0", b"text\0", b"cpu\0", b"cpu0\0", b"x" * 300 + b"\0",
        struct.pack(
            "=QQIIQII", chance.choice(numbers), chance.choice(numbers),
            chance.getrandbits(32), 0, 0, 0, 0,
        ),
    ])  # fmt: skip
    length = 40 + len(body) + chance.choice([0] * 9 + [1, -1, 8192, -40])
    header = struct.pack("=IIQQIIII", length % 2**32, opcode, 7, chance.choice(numbers), 0, 0, 0, 0)
    return (header + body)[: chance.choice([8192] * 9 + [chance.randrange(1, 60)])]


def test_raw_bytes_of_a_hostile_peer() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(10)
    cpu = os.open("/sys/devices/system/cpu", os.O_PATH | os.O_CLOEXEC)
    root = Directory({
        b"text": File(lambda _: TEXT),
        b"cpu": PassThrough(cpu, {b"online": File(lambda _: b"0\n")}, lambda _: [0]),
    })  # fmt: skip
    connection = server.Connection(theirs.detach())

    def serve() -> None:
        ours.close()
        server.serve(connection, root)

    pid = fork(serve)
    connection.close()
    os.close(cpu)

    def ask(opcode: int, node: int, body: bytes) -> bytes:
        ours.send(struct.pack("=IIQQIIII", 40 + len(body), opcode, 99, node, 0, 0, 0, 0) + body)
        while True:
            answer = ours.recv(1 << 20)
            if answer[8:16] == struct.pack("=Q", 99):
                return answer[16:]

    assert len(ask(fuse.INIT, 0, struct.pack("=IIII", 7, 45, 0, 0))) == 64
    chance = random.Random(7)
    for number in range(3000):
        ours.send(hostile_requests(chance))
        if number % 20 == 19:
            read = struct.pack("=QQIIQII", 12345, 0, 100, 0, 0, 0, 0)
            assert ask(fuse.READ, 2, read) == TEXT[:100]
    ours.close()
    assert os.waitpid(pid, 0)[1] == 0
