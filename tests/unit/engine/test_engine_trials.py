"""When something is tried, and when what was found out is believed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from rootless.engine import network_trial, trials
from rootless.errors import HostError
from rootless.runtime import storage_trial
from rootless.store.paths import Paths
from rootless.store.verdicts import Verdicts
from rootless.tools import spawn


@pytest.fixture
def store(tmp_path: Path) -> Paths:
    return Paths(str(tmp_path / "s"), str(tmp_path / "r"))


class Tried:
    """Stands for the trials; asked: what was tried, in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, reasons: dict[str, str]) -> None:
        self.asked: list[str] = []
        self.reasons = reasons
        monkeypatch.setattr(storage_trial, "run", self._storage)
        monkeypatch.setattr(network_trial, "run", self._network)

    def _storage(self, paths: Paths, drivers: Sequence[str], program: str) -> list[tuple[str, str]]:
        found = []
        for driver in drivers:
            self.asked.append(driver)
            found.append((driver, self.reasons[driver]))
            if not found[-1][1]:
                break
        return found

    def _network(self, driver: str, paths: Paths) -> str:
        self.asked.append(driver)
        return self.reasons[driver]


def test_the_best_storage_driver_is_tried_once(
    store: Paths, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "fuse-overlayfs"
    program.touch()
    tried = Tried(monkeypatch, {"fuse-overlayfs": "broken", "overlay": ""})
    for _ in range(2):
        found = trials.storage(Verdicts(store), str(program))
        assert found == {"fuse-overlayfs": "broken", "overlay": ""}
    assert tried.asked == ["fuse-overlayfs", "overlay"]
    # Another version of the program: that alone is new.
    program.unlink()
    program.write_text("fixed")
    tried.reasons["fuse-overlayfs"] = ""
    assert trials.storage(Verdicts(store), str(program)) == {"fuse-overlayfs": ""}
    assert tried.asked == ["fuse-overlayfs", "overlay", "fuse-overlayfs"]
    # It is gone: what is known of the next one holds.
    assert trials.storage(Verdicts(store), "")["overlay"] == ""
    assert len(tried.asked) == 3


def test_native_overlay_beside_what_is_better(
    store: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = Tried(monkeypatch, {"fuse-overlayfs": "", "overlay": "EINVAL", "vfs": ""})
    found = trials.storage(Verdicts(store), "/program")
    both = trials.overlay_too(Verdicts(store), found)
    assert both == {"fuse-overlayfs": "", "overlay": "EINVAL", "vfs": ""}
    assert tried.asked == ["fuse-overlayfs", "overlay", "vfs"]


def test_without_user_namespaces_nothing_is_found_out(
    store: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*arguments: object) -> None:
        raise HostError("user namespaces: forbidden")

    monkeypatch.setattr(storage_trial, "run", forbidden)
    monkeypatch.setattr(network_trial, "run", forbidden)
    monkeypatch.setattr(trials, "check_tun", lambda: None)
    monkeypatch.setattr(spawn, "which", lambda name: f"/bin/{name}")
    assert trials.storage(Verdicts(store), "/program") == {}
    assert trials.network(Verdicts(store), "pasta") == ""
    assert not Path(store.verdicts).exists()


def test_a_network_is_tried_again_when_the_limit_is_another(
    store: Paths, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    limit = tmp_path / "limit"
    limit.write_text("0\n")
    monkeypatch.setattr(trials, "_LIMIT", str(limit))
    monkeypatch.setattr(spawn, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(trials, "check_tun", lambda: None)
    tried = Tried(monkeypatch, {"pasta": "no namespaces"})
    assert [trials.network(Verdicts(store), "pasta") for _ in range(2)] == ["no namespaces"] * 2
    limit.write_text("100\n")
    tried.reasons["pasta"] = ""
    assert [trials.network(Verdicts(store), "pasta") for _ in range(2)] == ["", ""]
    assert tried.asked == ["pasta", "pasta"]
    # What a device's mode says now is stronger than what worked before.
    monkeypatch.setattr(trials, "check_tun", closed)
    assert trials.network(Verdicts(store), "pasta") == "/dev/net/tun: permission denied"
    monkeypatch.setattr(spawn, "which", lambda name: None)
    assert trials.network(Verdicts(store), "pasta") == "pasta: not installed"


def closed() -> None:
    raise HostError("/dev/net/tun: permission denied")
