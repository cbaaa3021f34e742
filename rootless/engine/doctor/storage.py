"""Storage drivers: which one a run takes, and what is less without the others. Pure."""

from __future__ import annotations

from rootless.engine.doctor.finding import (
    ADMINISTRATOR,
    BROKEN,
    REDUCED,
    Finding,
    Fix,
    open_device,
    unneeded,
    works,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_WHY_FUSE = "FUSE for users, so that containers share the files of their image"
_WHY_PROGRAM = "fuse-overlayfs, so that containers share the files of their image"
_PACKAGE = "sudo apt-get install fuse-overlayfs"
_NAMES = {
    "fuse-overlayfs": "fuse-overlayfs", "overlay": "the kernel's overlay", "vfs": "plain copies"
}  # fmt: skip
_COPIES = "each container begins with a copy of its whole image"
_NO_SHIFT = "no --userns with shifted ids"
_NO_VIEW = "/proc in containers shows the host's memory and CPUs"


def judge(facts: dict[str, Any]) -> list[Finding]:
    """facts: of probes.storage."""
    return [_driver(facts), _device(facts), _program(facts), _overlay(facts), _squash(facts)]


def _usable(facts: dict[str, Any]) -> list[str]:
    return [name for name, problem in facts["tried"].items() if not problem]


def _driver(facts: dict[str, Any]) -> Finding:
    chosen = facts["chosen"]
    if not chosen:
        return Finding("storage-driver", BROKEN, facts["refused"], "no container can run")
    problem = facts["tried"][chosen]
    if not problem and chosen == "vfs":
        return Finding("storage-driver", REDUCED, _NAMES[chosen], _COPIES)
    if not problem:
        return works("storage-driver", f"{_NAMES[chosen]} (tried where the store is)")
    others = _usable(facts)
    meaning = f"rl run needs --storage-driver {others[0]}" if others else "no container can run"
    return Finding("storage-driver", BROKEN, f"{_NAMES[chosen]}: {problem}", meaning)


def _device(facts: dict[str, Any]) -> Finding:
    if not facts["device"]:
        return works("dev-fuse", "/dev/fuse can be opened")
    return Finding(
        "dev-fuse", REDUCED, f"/dev/fuse: {facts['device'].lower()}",
        f"{_instead(facts)}; {_NO_SHIFT}; {_NO_VIEW}",
        Fix(ADMINISTRATOR, _WHY_FUSE, open_device("/dev/fuse", "fuse", facts["container"])),
    )  # fmt: skip


def _program(facts: dict[str, Any]) -> Finding:
    problem = facts["tried"]["fuse-overlayfs"]
    if not problem:
        version = facts["version"] or "unknown version"
        return works("fuse-overlayfs", f"{version} ({facts['program']})")
    if not facts["program"]:
        return Finding(
            "fuse-overlayfs", REDUCED, "not installed", f"{_instead(facts)}; {_NO_SHIFT}",
            Fix(ADMINISTRATOR, _WHY_PROGRAM, _PACKAGE),
        )  # fmt: skip
    if facts["device"]:
        return unneeded("fuse-overlayfs", f"{facts['program']} is of no use without a device")
    return Finding("fuse-overlayfs", REDUCED, problem, f"{_instead(facts)}; {_NO_SHIFT}")


def _instead(facts: dict[str, Any]) -> str:
    chosen = facts["chosen"]
    if not chosen or chosen == "fuse-overlayfs":
        return "containers do not start"
    return _COPIES if chosen == "vfs" else f"{_NAMES[chosen]} is used"


def _overlay(facts: dict[str, Any]) -> Finding:
    problem = facts["tried"]["overlay"]
    if not problem:
        return works("native-overlay", "can be mounted in a user namespace")
    if facts["tried"]["fuse-overlayfs"]:
        return Finding(
            "native-overlay", REDUCED, f"cannot be mounted: {problem}", _instead(facts)
        )  # fmt: skip
    return unneeded("native-overlay", f"not here, and not needed ({problem})")


def _squash(facts: dict[str, Any]) -> Finding:
    program, problem = facts["squash"]
    if program:
        return works("squashfuse", f"{program}: FILE.sqsh is mounted")
    # Without what helps, which stands where it is needed.
    reason = problem.partition(" (")[0]
    return unneeded("squashfuse", f"FILE.sqsh is unpacked first: {reason}")
