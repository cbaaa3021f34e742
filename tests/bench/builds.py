"""A build of ten steps, four of them RUN, on a large base image."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from engines import Rl
from measure import Command, seconds

_MADE = "localhost/bench/built:latest"
_DOCKERFILE = """FROM {image}
WORKDIR /app
ENV A=1
COPY f1 f2 /app/
RUN echo one > /app/one
RUN sh -c 'cat /app/f1 /app/f2 > /app/both'
COPY f3 f4 /app/
RUN cat /app/f3 > /three
RUN true > /four
CMD ["cat", "/app/one"]
"""


def fill(context: Path, image: str) -> None:
    """The context of a build on `image`."""
    context.mkdir()
    (context / "Dockerfile").write_text(_DOCKERFILE.format(image=image))
    for number in range(1, 5):
        (context / f"f{number}").write_text(f"{number}\n")


def built(engine: Rl, context: Path, *, cached: bool) -> Callable[[], float]:
    """A build, timed; cached: after another one, else every step is made."""
    words = ["build", "-q", *(() if cached else ("--no-cache",)), "-t", _MADE, str(context)]
    command: Command = [*engine.argv, *words], engine.env

    def once() -> float:
        return seconds(command)

    if cached:
        once()
    return once


def clear(engine: Rl) -> None:
    """Remove the image."""
    seconds(engine.forget(_MADE))
