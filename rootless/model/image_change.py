"""`-c` of `rl commit` and `rl import`: instructions of a Dockerfile as changes of a config. Pure.

Those that docker-commit(1) and podman-commit(1) take, also as `NAME=VALUE`, which podman takes.
"""

from __future__ import annotations

import re

from rootless.errors import UsageError
from rootless.model import image_config, ports, signals
from rootless.model.dockerfile import lines, read
from rootless.model.dockerfile.expansion import Expander
from rootless.model.dockerfile.instructions import (
    Assign,
    Command,
    Healthcheck,
    Instruction,
    OnBuild,
    Several,
    Text,
)
from rootless.model.dockerfile.place import Place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless.model.image_config import Change, Section

NAMES = (
    "CMD", "ENTRYPOINT", "ENV", "EXPOSE", "HEALTHCHECK", "LABEL", "ONBUILD", "SHELL", "STOPSIGNAL",
    "USER", "VOLUME", "WORKDIR",
)  # fmt: skip
_WITH_EQUALS = re.compile(r"\s*([A-Za-z]+)=")


def parse(texts: Sequence[str], flag: str = "--change") -> list[Change]:
    """The changes that `texts` ask for, one instruction each. Raises DockerfileError, UsageError.

    flag: what they were given with, for messages.
    """
    has_cmd = False
    changes = []
    for text in texts:
        found = _read(text, flag)
        changes.append(_expanded(found, keep_cmd=has_cmd))
        has_cmd = has_cmd or found.name == "CMD"
    return changes


def _read(text: str, flag: str) -> Instruction:
    match = _WITH_EQUALS.match(text)
    if match is not None and match[1].upper() in NAMES:
        text = f"{match[1]} {text[match.end() :]}"
    found = read.instruction(lines.parse_one(text, Place(flag, 1, text)))
    if found.name not in NAMES:
        raise UsageError(
            f"{flag} {text}: {found.name} changes more than a configuration",
            hint=f"one of: {', '.join(NAMES)}",
        )
    return found


def _expanded(found: Instruction, *, keep_cmd: bool) -> Change:
    """With the variables that the config has where the change comes."""

    def change(section: Section) -> Section:
        variables = dict(row.partition("=")[::2] for row in section.get("Env") or ())
        return of(Expander(variables).instruction(found), keep_cmd=keep_cmd)(section)

    return change


def of(found: Instruction, *, keep_cmd: bool = False) -> Change:
    """The change that one of NAMES stands for, its variables replaced. Raises DockerfileError.

    keep_cmd: an ENTRYPOINT leaves the CMD, which was set after the base image's.
    """
    if isinstance(found, Assign):
        make = image_config.env if found.name == "ENV" else image_config.label
        return make(dict(found.pairs))
    if isinstance(found, Command):
        return _command(found, keep_cmd=keep_cmd)
    if isinstance(found, Several):
        return _expose(found) if found.name == "EXPOSE" else image_config.volume(found.items)
    if isinstance(found, Healthcheck):
        return image_config.healthcheck(found.document)
    if isinstance(found, OnBuild):
        return image_config.onbuild(found.text)
    assert isinstance(found, Text), found.name
    return _text(found)


def _command(found: Command, *, keep_cmd: bool) -> Change:
    def change(section: Section) -> Section:
        words = image_config.in_shell(section, found.words[0]) if found.shell else found.words
        if found.name == "SHELL":
            return image_config.shell(words)(section)
        if found.name == "CMD":
            return image_config.cmd(words)(section)
        return image_config.entrypoint(words, keep_cmd=keep_cmd)(section)

    return change


def _expose(found: Several) -> Change:
    try:
        rows = [row for item in found.items for row in ports.parse_expose(item, "EXPOSE")]
    except UsageError as error:
        raise found.place.error(error.message, error.hint) from None
    return image_config.expose([f"{row.container_port}/{row.protocol}" for row in rows])


def _text(found: Text) -> Change:
    if not found.text:
        raise found.place.error(f"{found.name} of nothing")
    if found.name == "USER":
        return image_config.user(found.text)
    if found.name == "WORKDIR":
        return image_config.workdir(found.text)
    try:
        signals.signal_number(found.text)
    except UsageError as error:
        raise found.place.error(error.message, error.hint) from None
    return image_config.stop_signal(found.text)
