"""Tests as a normal user, on the real helper programs; nothing of a test may stay behind it.

Every test that asks for `rl` has a store and a runtime directory of its own, below a directory with
a short name: paths of UNIX sockets end at 107 bytes, and pytest's tmp_path alone can be longer.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from rootless.image import embedded
from rootless.store import trees
from rootless.store.paths import Paths
from rootless.tools import idmap
from tests.user.run.run_images import ImageMaker

CHECKOUT = Path(__file__).parents[2]
# The installed launcher where there is one, else what it would do.
LAUNCHER = Path(sys.executable).parent / "rl"
RL_ARGV = (
    [str(LAUNCHER)]
    if LAUNCHER.exists()
    else [
        sys.executable,
        "-IS",
        "-c",
        f"import sys; sys.path += {[str(CHECKOUT), *sys.path[-1:]]!r};"
        " from rootless.cli.main import main; main()",
    ]
)
# A helper is told to end when its owner does; the kernel and the scheduler may need a moment.
SECONDS_TO_END = 3.0
# What this session's processes are known by: a limit, which every one of them inherits whatever
# else it gives up, and which limits nothing (31 years of a real-time process' CPU time, in
# microseconds).
# (Even numbers: a test needs another one, and sessions may run side by side.)
MARK = 10**15 + 2 * os.getpid()


@pytest.fixture(scope="session", autouse=True)
def mark() -> None:
    resource.setrlimit(resource.RLIMIT_RTTIME, (MARK, resource.RLIM_INFINITY))


@pytest.fixture(scope="session", autouse=True)
def normal_user() -> None:
    if os.geteuid() == 0:
        pytest.skip("needs a normal user: ./dev test makes one")


@pytest.fixture
def short_dir() -> Iterator[Path]:
    """A private directory with a path of about 12 bytes, removed with what subuids own in it."""
    path = Path(tempfile.mkdtemp(prefix="rl", dir="/tmp"))
    yield path
    idmap.call(lambda: trees.remove_tree(str(path)))


class Rl:
    """The command line, run in a subprocess on a private store.

    rl("run", "--rm", …) returns the completed process, with text; a code other than `code` fails
    the test and shows what was said. code=None takes any.
    """

    def __init__(self, folder: Path) -> None:
        self.root = folder / "s"
        self.runtime = folder / "r"
        self.home = folder / "h"
        self.home.mkdir()
        self.argv = RL_ARGV
        self.env = {
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "RL_ROOT": str(self.root),
            "RL_RUNTIME_DIR": str(self.runtime),
            "TERM": "xterm",
        }

    @property
    def paths(self) -> Paths:
        return Paths(str(self.root), str(self.runtime))

    def __call__(
        self,
        *arguments: str,
        code: int | None = 0,
        input: str | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float = 60,
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*self.argv, *arguments],
            input=input, env={**self.env, **(env or {})}, timeout=timeout,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True, text=True, errors="replace", check=False,
        )  # fmt: skip
        if code is not None and done.returncode != code:
            said = f"stdout: {done.stdout}\nstderr: {done.stderr}"
            pytest.fail(
                f"rl {' '.join(arguments)}: exit code {done.returncode}, not {code}\n{said}"
            )
        return done

    def popen(self, *arguments: str, **options: object) -> subprocess.Popen[bytes]:
        """The command line started and left running; options as Popen's."""
        return subprocess.Popen([*self.argv, *arguments], env=self.env, **options)  # type: ignore[call-overload, no-any-return]


@pytest.fixture
def rl(short_dir: Path) -> Rl:
    return Rl(short_dir)


@pytest.fixture
def store(short_dir: Path) -> Paths:
    """An empty store's paths, for tests that drive the libraries instead of the command."""
    (short_dir / "r").mkdir(mode=0o700)
    return Paths(str(short_dir / "s"), str(short_dir / "r"))


@pytest.fixture
def busybox_image(rl: Rl) -> str:
    """The name of the embedded image, present in rl's store."""
    return embedded.build(rl.paths)


class Registry:
    """Debian's docker-registry on a loopback port, with the storage below `folder`."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.host = f"127.0.0.1:{self.port}"
        configuration = folder / "registry.yml"
        configuration.write_text(
            "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
            f"storage: {{filesystem: {{rootdirectory: {folder}/registry}}}}\n"
            f"http: {{addr: '{self.host}'}}\n"
        )
        self.process = subprocess.Popen(
            ["docker-registry", "serve", str(configuration)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        pytest.fail(f"docker-registry: not ready on {self.host} after 10 s")

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry for the whole session: give each test's repositories names of their own."""
    server = Registry(tmp_path_factory.mktemp("registry"))
    try:
        server.wait_until_ready()
        yield server
    finally:
        server.stop()


class Process:
    """A process as /proc shows it; `born` tells it from a later one with the same number."""

    def __init__(self, pid: int, *, name: str, parent: int, state: str, born: str) -> None:
        self.pid, self.name, self.parent, self.state, self.born = pid, name, parent, state, born

    def __repr__(self) -> str:
        return f"{self.name} (pid {self.pid}, parent {self.parent})"


def processes() -> Iterator[Process]:
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            stat = Path(f"/proc/{entry}/stat").read_text()
        except OSError:
            continue
        # proc_pid_stat(5): the name stands in parentheses and may hold some itself.
        head, _, tail = stat.rpartition(")")
        name, fields = head.partition("(")[2], tail.split()
        yield Process(
            int(entry), name=name, state=fields[0], parent=int(fields[1]), born=fields[19]
        )


HELPERS = ("fuse-overlayfs", "slirp4netns", "pasta", "pasta.avx2", "rl")


def belongs_to(process: Process, folder: str, before: set[tuple[int, str]]) -> bool:
    """Whether `process` is left from the test that used `folder`.

    By what it was started with or has mounted; a helper that has neither is told by its name, by
    having lost its parent, and by being of this session: another may test at the same time.
    """
    if (process.pid, process.born) in before or process.state == "Z":
        return False
    if process.name in HELPERS and process.parent == 1:
        return has_mark(process.pid)
    texts = (read_quietly(f"/proc/{process.pid}/{name}") for name in ("cmdline", "mountinfo"))
    return any(folder.encode() + b"/" in text for text in texts)


def has_mark(pid: int) -> bool:
    lines = read_quietly(f"/proc/{pid}/limits").splitlines()
    found = [line.split()[3] for line in lines if line.startswith(b"Max realtime timeout")]
    return found == [b"%d" % MARK]


def read_quietly(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""


def wait_for_no_process(folder: str, before: set[tuple[int, str]]) -> list[Process]:
    """The processes of the test that are still there after a moment of patience."""
    deadline = time.monotonic() + SECONDS_TO_END
    while left := [p for p in processes() if belongs_to(p, folder, before)]:
        if time.monotonic() > deadline:
            return left
        time.sleep(0.02)
    return []


def kill_all(left: Sequence[Process]) -> None:
    for process in left:
        try:
            os.kill(process.pid, signal.SIGKILL)
        except OSError:
            continue


def files_below(folder: Path) -> list[str]:
    return sorted(str(path) for path in folder.iterdir()) if folder.exists() else []


@pytest.fixture(autouse=True)
def nothing_left_behind(short_dir: Path) -> Iterator[None]:
    """After the test: none of its processes and mounts, no running container, no work in progress.

    A test that kills something on purpose lets the next command clear up before it ends.
    """
    before = {(process.pid, process.born) for process in processes()}
    yield
    left = wait_for_no_process(str(short_dir), before)
    kill_all(left)
    assert not left, f"processes are left: {left}"
    assert f"{short_dir}/" not in Path("/proc/self/mountinfo").read_text(), "a mount is left"
    store = Paths(str(short_dir / "s"), str(short_dir / "r"))
    assert files_below(Path(store.running)) == []
    assert files_below(short_dir / "s" / "tmp") == []


@pytest.fixture
def images(short_dir: Path) -> ImageMaker:
    """Makes OCI layouts below the test's directory."""
    return ImageMaker(short_dir, embedded.find_busybox())


@pytest.fixture
def work(short_dir: Path) -> Path:
    """A directory of the user's own, to bind into containers."""
    path = short_dir / "w"
    path.mkdir()
    return path
