"""`rl run` down to its one call, with an engine that only listens."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from rootless.cli import cmd_run, main
from rootless.engine import run as engine_run
from rootless.errors import ImageError, RlError
from rootless.model.container import ContainerSpec

DIGEST = "sha256:" + "0123456789abcdef" * 4


class Engine:
    """Stands for `engine.run`: notes the call, pulls one blob when told to, and gives `code`."""

    def __init__(self) -> None:
        self.calls: list[tuple[ContainerSpec, dict[str, Any]]] = []
        self.code = 0
        self.error: RlError | None = None
        self.pulls = False

    def run(self, spec: ContainerSpec, launch: object, **options: Any) -> int:
        self.calls.append((spec, options))
        if self.pulls:
            options["progress"].begin(DIGEST, 1000, 0)
            options["progress"].advance(DIGEST, 1000)
            options["progress"].finish(DIGEST, "unpacked")
        if self.error is not None:
            raise self.error
        return self.code

    def describe(self, spec: ContainerSpec, joined: None) -> tuple[dict[str, Any], list[str]]:
        return {"process": {"args": spec.command}}, ["mkdir /x", "mount y"]


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    engine = Engine()
    # No keeper is forked for a container that never comes.
    launch = SimpleNamespace(request_maps=list)
    monkeypatch.setattr("rootless.runtime.launch.Launch", lambda *_, **__: launch)
    monkeypatch.setattr(engine_run, "run", engine.run)
    monkeypatch.setattr(engine_run, "describe", engine.describe)
    return engine


def test_the_exit_code_is_the_containers(engine: Engine) -> None:
    engine.code = 42
    assert main.run_cli(["run", "--rm", "-it", "alpine", "sh", "-c", "exit 42"]) == 42
    ((spec, options),) = engine.calls
    assert (spec.image, spec.command) == ("alpine", ["sh", "-c", "exit 42"])
    assert spec.remove and spec.tty and spec.interactive
    assert options["explain"] is None


@pytest.mark.parametrize(("error", "code"), [(ImageError("m"), 125), (RlError("m", "", 127), 127)])
def test_an_error_before_the_command_is_125(engine: Engine, error: RlError, code: int) -> None:
    engine.error = error
    assert main.run_cli(["run", "alpine"]) == code


def test_explain_start(engine: Engine, capfd: pytest.CaptureFixture[str]) -> None:
    assert main.run_cli(["container", "run", "--explain-start", "alpine"]) == 0
    ((_, options),) = engine.calls
    options["explain"]("1 ms")
    assert capfd.readouterr().err == "1 ms\n"


def test_dry_run_does_nothing(engine: Engine, capfd: pytest.CaptureFixture[str]) -> None:
    assert main.run_cli(["run", "--dry-run", "alpine", "sh"]) == 0
    sys.stdout.flush()
    said = capfd.readouterr()
    assert engine.calls == []
    assert json.loads(said.out) == {"process": {"args": ["sh"]}}
    assert said.err == "+ mkdir /x\n+ mount y\n"


def test_a_pull_on_the_way_is_shown(engine: Engine, capfd: pytest.CaptureFixture[str]) -> None:
    engine.pulls = True
    assert main.run_cli(["run", "alpine"]) == 0
    assert capfd.readouterr().err == "0123456789ab: pulling 1kB\n0123456789ab: unpacked\n"
    assert main.run_cli(["run", "-q", "alpine"]) == 0
    assert capfd.readouterr() == ("", "")


def test_progress_is_not_made_for_nothing() -> None:
    progress = cmd_run._ProgressWhenNeeded(quiet=False)
    progress.close()
    assert progress._chosen is None
