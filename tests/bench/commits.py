"""Commit of a container in which many files have changed."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import images
from engines import Rl
from measure import Command, seconds

FILES = 10_000
_CONTAINER = "bench-commit"
_MADE = "localhost/bench/made:latest"


def fill(folder: Path) -> None:
    """FILES files of 80 MB altogether in `folder`, the same on every machine."""
    for part in range(FILES // images.FILES_PER_LAYER):
        source = random.Random(100 + part)
        for number, size in enumerate(images.file_sizes(source)):
            place = folder / f"part{part}/{number // images.FILES_PER_FOLDER}"
            place.mkdir(parents=True, exist_ok=True)
            (place / f"file{number}").write_bytes(images.file_content(source, size))


def prepare(engine: Rl, image: str, changes: Path) -> None:
    """Make the container, and its changes, without running it."""
    argv, env = engine.argv, engine.env
    seconds(([*argv, "create", "--name", _CONTAINER, image, "true"], env))
    seconds(([*argv, "cp", str(changes), f"{_CONTAINER}:/changed"], env))


def committed(engine: Rl, measure: Callable[[Command], float]) -> Callable[[], float]:
    """Commit, timed, and forget the image."""
    command = [*engine.argv, "commit", "-q", _CONTAINER, _MADE], engine.env

    def once() -> float:
        value = measure(command)
        seconds(engine.forget(_MADE))
        return value

    return once


def clear(engine: Rl) -> None:
    """Remove the container."""
    seconds(([*engine.argv, "rm", "-f", _CONTAINER], engine.env))
