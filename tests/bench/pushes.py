"""Pushes of the large image into a registry that knows nothing yet."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import images
from engines import Rl
from measure import Command


def into_an_empty_registry(
    engine: Rl, image: str, place: Path, measure: Callable[[Command], float]
) -> Callable[[], float]:
    """Measures one push; each goes to a registry of its own, so that no blob is there already
    and none can be mounted from another repository."""

    def once() -> float:
        folder = Path(tempfile.mkdtemp(dir=place))
        registry = images.Registry(folder)
        try:
            return measure(engine.push(image, f"{registry.host}/bench/pushed:1"))
        finally:
            registry.stop()
            shutil.rmtree(folder)

    return once
