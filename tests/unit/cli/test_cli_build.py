"""The flags of `rl build`."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from rootless.cli import cmd_build
from rootless.cli.argv import parse
from rootless.engine.building.spec import BuildSpec
from rootless.errors import UsageError


def spec(*words: str) -> BuildSpec:
    parsed = parse(cmd_build.BUILD, list(words))
    assert parsed is not None
    return cmd_build._spec(parsed)


def test_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    found = spec()
    assert (found.context, found.file, found.pull, found.epoch) == (".", "", "missing", None)
    assert (found.image_format, found.compression, found.jobs) == ("oci", "gzip", 0)


def test_build_arguments_can_be_variables_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINE", "v")
    monkeypatch.delenv("NOT_MINE", raising=False)
    words = [word for name in ("A=b=c", "MINE", "NOT_MINE", "E=") for word in ("--build-arg", name)]
    assert spec(*words).args == {"A": "b=c", "MINE": "v", "E": ""}


def test_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "12")
    assert spec().epoch == 12
    assert spec("--timestamp", "34").epoch == 34


def test_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f"
    path.write_text("x")
    monkeypatch.setenv("V", "x")
    found = spec(
        "--secret", f"id=a,src={path}", "--secret", "id=b,env=V", "--secret", f"src={path}",
        "--secret", "id=V",
    ).secrets  # fmt: skip
    assert {name: one.variable or one.path for name, one in found.items()} == {
        "a": str(path), "b": "V", "f": str(path), "V": "V",
    }  # fmt: skip


def test_repositories_of_steps() -> None:
    found = spec("--cache-from", "a/b:1", "--cache-to", "type=registry,ref=c/d,mode=max")
    assert (found.cache_from, found.cache_to) == (["a/b:1"], ["c/d"])


def test_agents(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        assert spec("--ssh", f"me={path}").ssh == {"me": str(path)}


def test_flags_for_the_containers_of_run() -> None:
    container = spec("--network", "none", "--add-host", "a:1.2.3.4", "-m", "64m").container
    assert container.network == "none"
    assert container.add_hosts == [("a", "1.2.3.4")]
    assert container.resources["memory"]["limit"] == 64 << 20


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--build-arg", "=x"], "the name before '=' is missing"),
        (["--secret", "id=a,src=/does/not/exist"], "no such file: /does/not/exist"),
        (["--secret", "id=a,env=DOES_NOT_EXIST"], "the variable DOES_NOT_EXIST is not set"),
        (["--secret", "a"], "a is not understood"),
        (["--secret", "id=a,type=magic"], "not understood"),
        (["--ssh", "default=/etc/passwd"], "not the socket of an agent"),
        (["--ssh", "default=/does/not/exist"], "/does/not/exist: No such file"),
        (["--timestamp", "yesterday"], "--timestamp yesterday: a number was expected"),
        (["--jobs", "-1"], "--jobs -1: a number was expected"),
        (["--cache-to", "type=local,dest=x"], "only caches in registries are supported"),
        (["--network", "container:x"], "--network container:x: not possible in a build"),
    ],
)
def test_errors(words: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        spec(*words)
