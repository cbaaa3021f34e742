"""--device VENDOR/CLASS=NAME: which file counts, and what becomes of the wish."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rootless.engine import cdi
from rootless.errors import NotFoundError, UsageError
from rootless.model.container import ContainerSpec


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    first, second = tmp_path / "etc", tmp_path / "run"
    first.mkdir()
    monkeypatch.setattr(cdi, "FOLDERS", (str(first), str(second)))
    return first, second


def write(path: Path, *names: str, common: dict[str, Any] | None = None, **edits: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    devices = [{"name": name, "containerEdits": edits} for name in names]
    document = {"cdiVersion": "0.6.0", "kind": "v.com/gpu", "devices": devices}
    path.write_text(json.dumps({**document, "containerEdits": common or {}}))


def applied(*words: str, **fields: Any) -> ContainerSpec:
    spec = ContainerSpec(image="x", **fields)
    cdi.apply(spec, words)
    return spec


def test_a_device(folders: tuple[Path, Path]) -> None:
    write(folders[0] / "v.json", "0", "all", common={"env": ["ALL=1"]}, env=["A=1", "B=2"],
          deviceNodes=[{"path": "/dev/gpu", "hostPath": "/dev/null"}],
          mounts=[{"hostPath": "/etc", "containerPath": "/gpu"}], additionalGids=[5])  # fmt: skip
    spec = applied("v.com/gpu=0", "v.com/gpu=all", env={"B": "mine"})
    assert spec.env == {"ALL": "1", "A": "1", "B": "mine"}
    assert [(one.source, one.target) for one in spec.devices] == [("/dev/null", "/dev/gpu")]
    assert [(one.source, one.target) for one in spec.mounts] == [("/etc", "/gpu")]
    assert spec.given == ["/gpu"]
    assert spec.group_add == ["keep-groups"]


def test_the_later_directory_counts(folders: tuple[Path, Path]) -> None:
    write(folders[0] / "v.json", "0", "1", env=["FROM=etc"])
    write(folders[1] / "v.json", "0", env=["FROM=run"])
    assert applied("v.com/gpu=0").env == {"FROM": "run"}
    assert applied("v.com/gpu=1").env == {"FROM": "etc"}


def test_a_device_that_is_there_twice(folders: tuple[Path, Path]) -> None:
    write(folders[0] / "a.json", "0")
    write(folders[0] / "b.json", "0")
    with pytest.raises(UsageError, match="is in several files"):
        applied("v.com/gpu=0")


def test_a_damaged_file_is_left_out(folders: tuple[Path, Path]) -> None:
    write(folders[0] / "v.json", "0", env=["A=1"])
    (folders[0] / "w.json").write_text("{")
    assert applied("v.com/gpu=0").env == {"A": "1"}


def test_no_such_device(folders: tuple[Path, Path]) -> None:
    write(folders[0] / "v.json", "0")
    with pytest.raises(NotFoundError, match=r"no such device; there is v\.com/gpu=0"):
        applied("v.com/gpu=1")
    with pytest.raises(UsageError, match="neither a path nor"):
        applied("gpu=1")
    (folders[0] / "w.yaml").touch()
    with pytest.raises(NotFoundError, match="YAML is not read") as caught:
        applied("w.com/gpu=1")
    assert caught.value.hint == f"yq -o json {folders[0]}/w.yaml > {folders[0]}/w.json"


def test_hooks_are_refused(folders: tuple[Path, Path]) -> None:
    write(folders[0] / "v.json", "0", hooks=[{"hookName": "createContainer", "path": "/x"}])
    with pytest.raises(UsageError, match="asks for hooks, which rl does not do"):
        applied("v.com/gpu=0")


def test_a_node_that_is_not_here(folders: tuple[Path, Path]) -> None:
    write(folders[0] / "v.json", "0", deviceNodes=[{"path": "/dev/no-such-gpu"}])
    with pytest.raises(UsageError, match="/dev/no-such-gpu: is not on this host"):
        applied("v.com/gpu=0")
