"""The group of one start, in its order: who is asked, what is left when that fails.

systemd is made up, and plain files stand in for cgroupfs: they show who is moved where, and take
everything. Which of it a kernel allows is for tests/system.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rootless import log
from rootless.cgroup import choice as choices
from rootless.cgroup import scope, subtree
from rootless.cgroup.choice import Choice
from rootless.cgroup.group import Group
from rootless.cgroup.hierarchy import HYBRID, V2, Hierarchy
from rootless.engine.grouping import Grouping, name_of
from rootless.errors import HostError
from rootless.tools import systemd
from tests.unit.engine.plans import CONTAINER_ID, spec_of

NAME = "rl-0123456789ab"
KEEPER = 42
LOST = systemd.ManagerLost("x.scope: no answer from systemd")
UNREACHABLE = systemd.ManagerUnreachable(systemd.NOT_CONNECTED, "/run/x: Connection refused")
REFUSED = systemd.ManagerRefused("result.failed", "failed", "x.scope: systemd could not do it")
FILES = {
    "cgroup.controllers": "memory pids\n",
    "cgroup.procs": "",
    "cgroup.subtree_control": "",
    "cgroup.kill": "",
    "memory.max": "max\n",
    "memory.swap.max": "max\n",
    "pids.max": "max\n",
}


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Our own group, below the mount `tmp_path`."""
    path = tmp_path / "own"
    path.mkdir()
    fill(path)
    return path


def fill(path: Path) -> None:
    for name, text in FILES.items():
        (path / name).write_text(text)


def make_group(path: Path) -> Group:
    """The group at `path`, all below it made already and with the kernel's files."""
    group = Group(str(path))
    for directory in (group.top, group.payload, group.container, group.helpers):
        Path(directory).mkdir()
        fill(Path(directory))
    return group


def procs(directory: str) -> str:
    return Path(directory, "cgroup.procs").read_text()


class Systemd:
    """In the place of cgroup.scope.Scope: its answers, and what was asked of it."""

    def __init__(self, group: Group) -> None:
        self.group = group
        self.asked: list[tuple[str, Any]] = []
        self.at_once: HostError | None = None
        self.later: HostError | None = None
        self.to_attach: HostError | None = None

    def __call__(self, name: str, pid: int, **wishes: Any) -> Systemd:
        self.asked.append(("scope", (name, pid, wishes)))
        if self.at_once:
            raise self.at_once
        return self

    def wait(self) -> Group:
        self.asked.append(("wait", None))
        if self.later:
            raise self.later
        return self.group

    def attach(self, directory: str, pid: int) -> None:
        if self.to_attach:
            raise self.to_attach
        self.asked.append(("attach", (directory, pid)))

    def forget(self) -> None:
        self.asked.append(("forget", None))

    @property
    def steps(self) -> list[str]:
        return [step for step, _ in self.asked]


class Host:
    """Which managers there are, for the choice that a start makes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, own: Path) -> None:
        self._monkeypatch = monkeypatch
        self.hierarchy = Hierarchy(V2, str(own.parent), "/own")
        self.own = own
        self.systemd = Systemd(make_group(own.parent / f"{NAME}.scope"))
        monkeypatch.setattr(scope, "Scope", self.systemd)
        self.removed: list[str] = []

    def has(self, manager: str, reason: str = "a reason") -> Choice:
        base = str(self.own) if manager == choices.CGROUPFS else ""
        said = "" if manager == choices.SYSTEMD else reason
        choice = Choice(manager, self.hierarchy, base=base, reason=said)
        self._monkeypatch.setattr(choices, "choose", lambda wished: choice)
        return choice

    def makes_subtrees(self) -> list[tuple[str, str, bool]]:
        made: list[tuple[str, str, bool]] = []

        def make(base: str, name: str, *, limited: bool) -> Group:
            made.append((base, name, limited))
            return make_group(Path(base, name))

        self._monkeypatch.setattr(subtree, "make", make)
        self._monkeypatch.setattr(subtree, "remove", lambda group: self.removed.append(group.top))
        return made


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, own: Path) -> Host:
    return Host(monkeypatch, own)


@pytest.fixture
def said() -> Iterator[list[str]]:
    lines: list[str] = []
    log.install(lambda level, text: lines.append(f"{level}: {text}"), debug=True)
    yield lines
    log.install(lambda level, text: None, debug=False)


def asked(*words: str) -> Grouping:
    """A start up to `ask`."""
    grouping = Grouping(spec_of(*words))
    grouping.ask(CONTAINER_ID, "web", KEEPER, 0)
    return grouping


def test_the_name_is_a_part_of_the_id() -> None:
    assert name_of(CONTAINER_ID) == NAME


def test_a_scope_from_the_question_to_the_end(host: Host) -> None:
    host.has(choices.SYSTEMD)
    grouping = asked()
    ((_, (name, pid, wishes)),) = host.systemd.asked
    assert (name, pid) == (NAME, KEEPER)
    assert wishes == {
        "description": "rl container web (alpine)",
        "weights": {},
        "slice_name": "",
        "hierarchy": host.hierarchy,
        "needed": False,
    }
    assert grouping.facts() == {}
    group = host.systemd.group
    assert grouping.settle() == {"top": group.top, "container": group.container, "leave": False}
    assert procs(group.helpers) == "42" and procs(group.top) == procs(group.payload) == ""
    for directory in (group.top, group.payload):
        assert Path(directory, "cgroup.subtree_control").read_text() == "+memory +pids"
    assert Path(group.container, "cgroup.subtree_control").read_text() == ""
    assert grouping.facts() == {"manager": "systemd", "path": group.top}


def test_the_keeper_has_left_before_controllers_are_passed_on(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel takes them in the other order only from a group without processes."""
    seen: list[str] = []
    delegate = Group.delegate
    monkeypatch.setattr(Group, "make", lambda group: seen.append(f"make {procs(group.helpers)}"))

    def note(group: Group) -> None:
        seen.append(procs(group.helpers))
        delegate(group)

    monkeypatch.setattr(Group, "delegate", note)
    host.has(choices.SYSTEMD)
    asked().settle()
    assert seen == ["make ", "42"]


def test_wishes_for_a_scope(host: Host) -> None:
    host.has(choices.SYSTEMD)
    asked("--cpu-shares", "1024", "--cgroup-parent", "batch.slice")
    wishes = host.systemd.asked[0][1][2]
    assert wishes["weights"] == {"CPUWeight": 39}
    assert (wishes["slice_name"], wishes["needed"]) == ("batch.slice", True)


def test_a_manager_that_was_insisted_on_is_waited_for(host: Host) -> None:
    host.has(choices.SYSTEMD)
    asked("--cgroup-manager", "systemd")
    assert host.systemd.asked[0][1][2]["needed"]


@pytest.mark.parametrize("words", [(), ("--pids-limit", "9")])
def test_our_own_subtree(host: Host, words: tuple[str, ...]) -> None:
    host.has(choices.CGROUPFS)
    made = host.makes_subtrees()
    grouping = asked(*words)
    assert host.systemd.asked == [] and made == []
    request = grouping.settle()
    top = f"{host.own}/{NAME}"
    assert made == [(str(host.own), NAME, bool(words))]
    assert request == {"top": top, "container": f"{top}/payload/container", "leave": True}
    assert procs(f"{top}/helpers") == "42"
    assert grouping.facts() == {"manager": "cgroupfs", "path": top}
    for part in ("payload", "payload/container"):
        written = Path(top, part, "pids.max").read_text()
        assert written.startswith("9" if words else "max")
    grouping.discard()
    assert host.removed == [top]


def test_nothing_is_removed_twice(host: Host) -> None:
    """The keeper has removed it already."""
    host.has(choices.CGROUPFS)
    host.makes_subtrees()
    grouping = asked()
    grouping.discard()
    grouping.settle()
    os.rename(f"{host.own}/{NAME}", f"{host.own}/gone")
    grouping.discard()
    assert host.removed == []


def test_a_scope_ends_by_itself(host: Host) -> None:
    host.has(choices.SYSTEMD)
    host.makes_subtrees()
    grouping = asked()
    grouping.discard()
    assert host.systemd.steps == ["scope", "forget"] and host.removed == []


@pytest.mark.parametrize("manager", [choices.SYSTEMD, choices.CGROUPFS])
def test_what_a_killed_keeper_has_left_is_ended(
    host: Host, monkeypatch: pytest.MonkeyPatch, manager: str
) -> None:
    """First killed, then waited for, then removed; a scope is removed by systemd."""
    host.has(manager)
    host.makes_subtrees()
    grouping = asked()
    request = grouping.settle()
    assert request is not None
    killed = Path(request["top"], "payload/cgroup.kill")
    waited: list[str] = []

    def wait(group: Group, seconds: float) -> bool:
        waited.append(f"{killed.read_text()} {host.removed}")
        return True

    monkeypatch.setattr(Group, "wait_until_empty", wait)
    assert killed.read_text() == ""
    grouping.discard()
    assert killed.read_text() == "1"
    is_ours = manager == choices.CGROUPFS
    assert waited == (["1 []"] if is_ours else [])
    assert host.removed == ([request["top"]] if is_ours else [])


def test_a_scope_that_vanishes_meanwhile_is_no_problem(
    host: Host, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    host.has(choices.SYSTEMD)
    grouping = asked()
    grouping.settle()

    def fail(group: Group) -> bool:
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))

    monkeypatch.setattr(Group, "kill", fail)
    grouping.discard()
    assert not [line for line in said if line.startswith("warn")]


@pytest.mark.parametrize(
    ("path", "shown"), [("/x\n\x1b[31m", "/x??[31m"), ("/x\udcff", "/x?"), ("/ö x", "/ö x")]
)
def test_any_path_can_be_shown_in_the_description(host: Host, path: str, shown: str) -> None:
    host.has(choices.SYSTEMD)
    spec = spec_of()
    spec.image, spec.rootfs = "", path
    Grouping(spec).ask(CONTAINER_ID, "web", KEEPER, 0)
    assert host.systemd.asked[0][1][2]["description"] == f"rl container web ({shown})"


def test_no_group(host: Host) -> None:
    host.has(choices.DISABLED)
    grouping = asked()
    assert grouping.settle() is None
    grouping.add_helper(77)
    grouping.discard()
    assert grouping.facts() == {}
    assert host.systemd.asked == []


def test_no_group_and_a_limit(host: Host, said: list[str]) -> None:
    host.has(choices.DISABLED, "no systemd here")
    with pytest.raises(HostError, match=r"^--pids-limit 9: "):
        asked("--pids-limit", "9").settle()
    assert asked("--pids-limit", "9", "--limits", "best-effort").settle() is None
    (warning,) = [line for line in said if line.startswith("warning")]
    assert warning.startswith("warning: not enforced: --pids-limit 9: ")


def test_a_limit_that_fails_is_raised_after_the_group_is_known(host: Host) -> None:
    """Or `discard` would leave it."""
    host.has(choices.CGROUPFS)
    host.makes_subtrees()
    grouping = asked("--cpus", "1")
    with pytest.raises(HostError, match=r"^--cpus 1: the kernel has no cpu controller"):
        grouping.settle()
    grouping.discard()
    assert host.removed == [f"{host.own}/{NAME}"]


@pytest.mark.parametrize(
    ("at_once", "later", "steps"),
    [
        (UNREACHABLE, None, ["scope"]),
        (LOST, None, ["scope"]),
        (None, LOST, ["scope", "wait"]),
        # A bus without systemd on it says so only when its answer is read.
        (None, UNREACHABLE, ["scope", "wait"]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("is_ours", [True, False])
def test_systemd_does_not_answer(
    host: Host, said: list[str], is_ours: bool,
    at_once: HostError | None, later: HostError | None, steps: list[str],
) -> None:  # fmt: skip
    host.has(choices.SYSTEMD)
    made = host.makes_subtrees()
    host.systemd.at_once, host.systemd.later = at_once, later
    if not is_ours:
        (host.own / "cgroup.subtree_control").unlink()
    grouping = asked()
    request = grouping.settle()
    assert host.systemd.steps == steps
    assert made == ([(str(host.own), NAME, False)] if is_ours else [])
    assert (request is not None) == is_ours
    assert grouping.choice.reason == (at_once or later).message  # type: ignore[union-attr]
    assert f"debug: no scope: {grouping.choice.reason}" in said


@pytest.mark.parametrize("failure", [LOST, REFUSED])
def test_systemd_fails_who_insists_on_it(host: Host, failure: HostError) -> None:
    host.has(choices.SYSTEMD)
    made = host.makes_subtrees()
    host.systemd.later = failure
    grouping = asked("--cgroup-manager", "systemd")
    with pytest.raises(type(failure)):
        grouping.settle()
    grouping.discard()
    assert made == [] and host.systemd.steps == ["scope", "wait", "forget"]


def test_systemd_that_cannot_be_reached_fails_who_insists_on_it(host: Host) -> None:
    host.has(choices.SYSTEMD)
    host.systemd.at_once = UNREACHABLE
    with pytest.raises(systemd.ManagerUnreachable):
        asked("--cgroup-manager", "systemd")


def test_a_refusal_is_told_to_who_wants_limits(host: Host) -> None:
    """systemd is there and says no: to go on in another way would hide why."""
    host.has(choices.SYSTEMD)
    made = host.makes_subtrees()
    host.systemd.later = REFUSED
    with pytest.raises(systemd.ManagerRefused):
        asked("--pids-limit", "9").settle()
    assert made == []


def test_helpers_of_a_scope_are_moved_by_systemd(host: Host, said: list[str]) -> None:
    host.has(choices.SYSTEMD)
    grouping = asked()
    grouping.add_helper(77)
    grouping.settle()
    grouping.add_helper(0)
    grouping.add_helper(77)
    attached = [what for step, what in host.systemd.asked if step == "attach"]
    assert attached == [(host.systemd.group.helpers, 77)]
    host.systemd.to_attach = REFUSED
    grouping.add_helper(78)
    expected = "debug: process 78 stays outside of the container's group: x.scope: systemd could"
    assert said[-1].startswith(expected)


def test_helpers_of_a_subtree_are_moved_by_ourselves(host: Host, said: list[str]) -> None:
    host.has(choices.CGROUPFS)
    host.makes_subtrees()
    grouping = asked()
    grouping.settle()
    grouping.add_helper(77)
    helpers = Path(host.own, NAME, "helpers")
    assert procs(str(helpers)) == "77"
    (helpers / "cgroup.procs").unlink()
    grouping.add_helper(78)
    assert said[-1].startswith("debug: process 78 stays outside of the container's group: cgroup ")


@pytest.mark.parametrize(
    ("manager", "words", "path"),
    [
        (choices.SYSTEMD, (), ":rl:0123456789ab"),
        (choices.SYSTEMD, ("--cgroup-parent", "b.slice"), "b.slice:rl:0123456789ab"),
        (choices.CGROUPFS, (), f"/own/{NAME}"),
        (choices.DISABLED, (), ""),
    ],
)
def test_the_path_in_the_document(
    host: Host, manager: str, words: tuple[str, ...], path: str
) -> None:
    host.has(manager)
    assert Grouping(spec_of(*words)).path_in_document(CONTAINER_ID) == path


@pytest.mark.parametrize("manager", [choices.CGROUPFS, choices.DISABLED])
def test_a_slice_without_systemd(host: Host, manager: str) -> None:
    host.has(manager, "no systemd")
    with pytest.raises(HostError, match=r"^--cgroup-parent b\.slice: no systemd here: no systemd$"):
        Grouping(spec_of("--cgroup-parent", "b.slice"))


@pytest.mark.parametrize(
    ("manager", "line"),
    [
        (choices.SYSTEMD, f"control group: {NAME}.scope of the user's systemd"),
        (choices.CGROUPFS, f"mkdir OWN/{NAME}"),
        (choices.DISABLED, "control group: none, a reason"),
    ],
)
def test_what_would_be_done(host: Host, manager: str, line: str) -> None:
    host.has(manager)
    lines = Grouping(spec_of()).describe(CONTAINER_ID)
    assert lines == [line.replace("OWN", str(host.own))]


def test_what_would_be_written(host: Host) -> None:
    host.has(choices.SYSTEMD)
    lines = Grouping(spec_of("--pids-limit", "9", "--cpus", "0.5")).describe(CONTAINER_ID)
    assert lines[1:] == [
        "write '50000 100000' to payload/cpu.max",
        "write '9' to payload/pids.max",
    ]
    assert host.systemd.asked == []


def test_hybrid_hosts_have_no_path(host: Host, own: Path) -> None:
    host.hierarchy = Hierarchy(HYBRID, str(own.parent), "/")
    host.has(choices.DISABLED)
    assert Grouping(spec_of()).path_in_document(CONTAINER_ID) == ""
