"""Groups below our own, made and unmade.

`Cgroupfs` stands in for the kernel: directories with the three files that matter here, and the
rules of cgroup-v2.rst for them (no processes beside controllers that are passed on, no removal of
what is in use). It cannot show that the kernel keeps to these rules, nor any permission; a real
subtree is in tests/system.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from rootless import log
from rootless.cgroup import group as groups
from rootless.cgroup import hierarchy as hierarchies
from rootless.cgroup import subtree
from rootless.cgroup.group import Group
from rootless.cgroup.hierarchy import Hierarchy
from rootless.errors import EXIT_ENGINE, HostError

ME = str(os.getpid())


class Cgroupfs:
    """Below `root`. written: (path below root, text) in order; on_write: called before each."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.written: list[tuple[str, str]] = []
        self.on_write: Callable[[str, str], object] = lambda path, text: None
        self._mkdir, self._rmdir = os.mkdir, os.rmdir
        monkeypatch.setattr(os, "mkdir", self.mkdir)
        monkeypatch.setattr(os, "rmdir", self.rmdir)
        monkeypatch.setattr(groups, "write", self.write)

    def words(self, path: str, name: str = "procs") -> list[str]:
        return Path(self.root, path, f"cgroup.{name}").read_text().split()

    def put(self, path: str, name: str, *words: str) -> None:
        Path(self.root, path, f"cgroup.{name}").write_text("".join(f"{word}\n" for word in words))

    def fork(self, path: str, pid: str) -> None:
        self.put(path, "procs", *self.words(path), pid)

    def die(self, path: str, pid: str) -> None:
        self.put(path, "procs", *(word for word in self.words(path) if word != pid))

    def mkdir(self, path: str, mode: int = 0o777) -> None:
        self._mkdir(path, mode)
        parent = os.path.relpath(os.path.dirname(path), self.root)
        for name in ("procs", "subtree_control"):
            self.put(path, name)
        self.put(path, "controllers", *self.words(parent, "subtree_control"))

    def rmdir(self, path: str) -> None:
        with os.scandir(path) as entries:
            names = [entry.name for entry in entries if entry.is_dir()]
        if names or self.words(path):
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), path)
        for file in Path(path).iterdir():
            file.unlink()
        self._rmdir(path)

    def write(self, path: str, text: str) -> None:
        short = os.path.relpath(path, self.root)
        self.on_write(short, text)
        self.written.append((short, text))
        directory = os.path.dirname(short)
        if path.endswith("/cgroup.procs"):
            self._move(ME if text == "0" else text, directory)
        else:
            self._pass_on(directory, text.split())

    def _move(self, pid: str, target: str) -> None:
        if self.words(target, "subtree_control"):
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        sources = [str(file.parent) for file in self.root.rglob("cgroup.procs")]
        source = next((one for one in sources if pid in self.words(one)), None)
        if source is None:
            raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
        self.die(source, pid)
        self.fork(target, pid)

    def _pass_on(self, directory: str, changes: list[str]) -> None:
        names = set(self.words(directory, "subtree_control"))
        for change in changes:
            names = names | {change[1:]} if change[0] == "+" else names - {change[1:]}
        if names and self.words(directory):
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        self.put(directory, "subtree_control", *sorted(names))
        for child in filter(os.path.isdir, Path(self.root, directory).iterdir()):
            self.put(str(child), "controllers", *sorted(names))


@pytest.fixture
def fs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cgroupfs:
    """A hierarchy in which "own" is ours: with two controllers, this process and two others."""
    root = tmp_path / "fs"
    root.mkdir()
    made = Cgroupfs(root, monkeypatch)
    for name in ("procs", "subtree_control"):
        made.put(".", name)
    made.put(".", "subtree_control", "memory", "pids")
    os.mkdir(f"{root}/own")
    made.put("own", "procs", "11", ME, "12")
    return made


@pytest.fixture
def base(fs: Cgroupfs) -> str:
    return f"{fs.root}/own"


def listed(base: str) -> list[str]:
    with os.scandir(base) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir())


def assert_untouched(fs: Cgroupfs) -> None:
    assert listed(f"{fs.root}/own") == []
    assert sorted(fs.words("own")) == sorted(["11", ME, "12"])
    assert fs.words("own", "subtree_control") == []


def hierarchy(fs: Cgroupfs, own: str) -> Hierarchy:
    return Hierarchy(hierarchies.V2, str(fs.root), own)


def test_the_base_is_our_own_group(fs: Cgroupfs, base: str) -> None:
    assert subtree.base_of(hierarchy(fs, "/own")) == base


def test_the_base_of_who_has_been_moved_aside(fs: Cgroupfs, base: str) -> None:
    os.mkdir(f"{base}/rl-aside")
    assert subtree.base_of(hierarchy(fs, "/own/rl-aside")) == base


@pytest.mark.parametrize("own", ["", "/"])
def test_no_base_where_no_group_is_ours(fs: Cgroupfs, own: str) -> None:
    """The root group is the host's, or that of a container as its engine set it up."""
    assert subtree.base_of(hierarchy(fs, own)) == ""


@pytest.mark.parametrize("name", ["", "/cgroup.procs", "/cgroup.subtree_control"])
def test_no_base_where_we_may_not_write(
    fs: Cgroupfs, base: str, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: path != base + name and access(path, mode))
    assert subtree.base_of(hierarchy(fs, "/own")) == ""


def test_without_limits_nobody_is_moved(fs: Cgroupfs, base: str) -> None:
    group = subtree.make(base, "rl-1", limited=False)
    assert group.top == f"{base}/rl-1"
    assert listed(base) == ["rl-1"] and listed(group.top) == ["helpers", "payload"]
    assert fs.written == []
    subtree.remove(group)
    assert_untouched(fs)


def test_limits_move_everybody_aside_and_back(fs: Cgroupfs, base: str) -> None:
    group = subtree.make(base, "rl-1", limited=True)
    assert fs.words("own") == []
    assert sorted(fs.words("own/rl-aside")) == sorted(["11", ME, "12"])
    assert fs.words("own/rl-1", "controllers") == ["memory", "pids"]
    subtree.remove(group)
    assert_untouched(fs)


def test_controllers_that_are_passed_on_already(fs: Cgroupfs, base: str) -> None:
    fs.put("own", "procs")
    fs.put("own", "subtree_control", "memory", "pids")
    group = subtree.make(base, "rl-1", limited=True)
    assert fs.written == []
    subtree.remove(group)
    assert fs.words("own", "subtree_control") == ["memory", "pids"]


def test_only_what_is_missing_is_asked_for(fs: Cgroupfs, base: str) -> None:
    fs.put("own", "procs")
    fs.put("own", "subtree_control", "pids")
    subtree.make(base, "rl-1", limited=True)
    assert fs.written == [("own/cgroup.subtree_control", "+memory")]


def test_processes_that_appear_and_end_meanwhile(fs: Cgroupfs, base: str) -> None:
    """11 forks 13 while it is moved; 12 ends before it is."""

    def busy(path: str, text: str) -> None:
        if (path, text) == ("own/rl-aside/cgroup.procs", "11"):
            fs.fork("own", "13")
            fs.die("own", "12")

    fs.on_write = busy
    subtree.make(base, "rl-1", limited=True)
    assert sorted(fs.words("own/rl-aside")) == sorted(["11", ME, "13"])


def test_a_process_that_appears_on_the_way_back(fs: Cgroupfs, base: str) -> None:
    group = subtree.make(base, "rl-1", limited=True)

    def busy(path: str, text: str) -> None:
        if (path, text) == ("own/cgroup.procs", "11"):
            fs.fork("own/rl-aside", "13")

    fs.on_write = busy
    subtree.remove(group)
    assert listed(base) == []
    assert sorted(fs.words("own")) == sorted(["11", ME, "12", "13"])


def test_the_last_container_puts_everybody_back(fs: Cgroupfs, base: str) -> None:
    one, two = (subtree.make(base, name, limited=True) for name in ("rl-1", "rl-2"))
    subtree.remove(one)
    assert listed(base) == ["rl-2", "rl-aside"]
    assert fs.words("own", "subtree_control") == ["memory", "pids"]
    subtree.remove(two)
    assert_untouched(fs)


def test_somebody_elses_group_keeps_its_controllers(fs: Cgroupfs, base: str) -> None:
    os.mkdir(f"{base}/theirs")
    subtree.remove(subtree.make(base, "rl-1", limited=True))
    assert listed(base) == ["rl-aside", "theirs"]
    assert fs.words("own/theirs", "controllers") == ["memory", "pids"]


def test_a_return_that_was_cut_is_finished(fs: Cgroupfs, base: str) -> None:
    """Killed after the controllers were taken back: nobody passes any on, and all are aside."""
    group = subtree.make(base, "rl-1", limited=False)
    os.mkdir(f"{base}/rl-aside")
    fs.put("own", "procs")
    fs.put("own/rl-aside", "procs", "11", ME, "12")
    subtree.remove(group)
    assert_untouched(fs)


def test_a_group_in_use_stays_and_so_do_its_limits(fs: Cgroupfs, base: str) -> None:
    group = subtree.make(base, "rl-1", limited=True)
    fs.fork("own/rl-1/payload", "77")
    subtree.remove(group)
    assert listed(base) == ["rl-1", "rl-aside"] and listed(group.top) == ["payload"]
    fs.die("own/rl-1/payload", "77")
    subtree.remove(group)
    assert_untouched(fs)


@pytest.mark.parametrize("limited", [True, False])
def test_the_last_process_leaves_by_itself(fs: Cgroupfs, base: str, limited: bool) -> None:
    group = subtree.make(base, "rl-1", limited=limited)
    fs.die("own/rl-aside" if limited else "own", ME)
    fs.fork("own/rl-1/helpers", ME)
    subtree.remove(group, leave=True)
    assert_untouched(fs)


def test_a_process_that_cannot_leave_says_so(fs: Cgroupfs, base: str) -> None:
    """As an OSError, which is what a keeper that unwinds reports."""
    fs.put("own", "procs")
    fs.put("own", "subtree_control", "memory", "pids")
    group = subtree.make(base, "rl-1", limited=True)
    with pytest.raises(OSError, match=os.strerror(errno.EBUSY)):
        subtree.remove(group, leave=True)


def test_a_place_that_is_never_quiet(
    fs: Cgroupfs, base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subtree, "_ROUNDS", 3)
    numbers = iter(range(100, 200))

    def busy(path: str, text: str) -> None:
        if path == "own/rl-aside/cgroup.procs":
            fs.fork("own", str(next(numbers)))

    fs.on_write = busy
    with pytest.raises(HostError) as caught:
        subtree.make(base, "rl-1", limited=True)
    assert caught.value.message == f"cgroup {base}/rl-1: Device or resource busy"
    assert caught.value.hint == f"cat {base}/cgroup.procs"
    assert caught.value.exit_code == EXIT_ENGINE
    assert listed(base) == []
    assert {"11", ME, "12", "100"} <= set(fs.words("own"))


def test_a_controller_that_is_refused_keeps_none_of_the_others(fs: Cgroupfs, base: str) -> None:
    """As cpu cannot be passed on while a real-time process is there."""

    def refuse(path: str, text: str) -> None:
        if "+memory" in text.split():
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    fs.on_write = refuse
    group = subtree.make(base, "rl-1", limited=True)
    assert fs.words("own", "subtree_control") == ["pids"]
    subtree.remove(group)
    assert_untouched(fs)


def test_a_group_that_is_cut_short_leaves_nothing(
    fs: Cgroupfs, base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """cgroup.max.descendants: the kernel refuses one more with EAGAIN."""

    def mkdir(path: str, mode: int = 0o777) -> None:
        if path.endswith("/helpers"):
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN), path)
        fs.mkdir(path, mode)

    monkeypatch.setattr(os, "mkdir", mkdir)
    with pytest.raises(HostError, match="temporarily unavailable"):
        subtree.make(base, "rl-1", limited=True)
    assert_untouched(fs)


def test_another_failure_on_the_way_back_is_told(
    fs: Cgroupfs, base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = subtree.make(base, "rl-1", limited=True)

    def rmdir(path: str) -> None:
        if path.endswith("/rl-aside"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        fs.rmdir(path)

    monkeypatch.setattr(os, "rmdir", rmdir)
    with pytest.raises(PermissionError):
        subtree.remove(group)


def test_another_containers_group_is_left_alone(fs: Cgroupfs, base: str) -> None:
    theirs = subtree.make(base, "rl-1", limited=True)
    with pytest.raises(HostError, match=f"cgroup {theirs.top}: File exists"):
        subtree.make(base, "rl-1", limited=True)
    assert listed(theirs.top) == ["helpers", "payload"]


def test_a_base_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="No such file"):
        subtree.make(f"{tmp_path}/no-such", "rl-1", limited=False)
    with pytest.raises(FileNotFoundError):
        subtree.remove(Group(f"{tmp_path}/no-such/rl-1"))


def test_starts_and_ends_in_one_place_take_turns(fs: Cgroupfs, base: str) -> None:
    """Each write happens under a lock on the directory, which is free before and after."""

    def is_locked() -> bool:
        fd = os.open(base, os.O_RDONLY)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return False
        except BlockingIOError:
            return True
        finally:
            os.close(fd)

    held: list[bool] = []
    fs.on_write = lambda path, text: held.append(is_locked())
    group = subtree.make(base, "rl-1", limited=True)
    assert len(held) > 3 and all(held) and not is_locked()
    held.clear()
    subtree.remove(group)
    assert len(held) > 3 and all(held) and not is_locked()


def test_effects_are_told(fs: Cgroupfs, base: str) -> None:
    said: list[str] = []
    log.install(lambda level, text: said.append(text), debug=True)
    try:
        subtree.make(base, "rl-1", limited=True)
    finally:
        log.install(lambda level, text: None, debug=False)
    assert said == [
        f"mkdir {base}/rl-1",
        f"move the processes of {base} to {base}/rl-aside",
    ]
