"""Image configurations that grow: one config and one change make the next config. Pure.

A config is the JSON object of image-spec, config.md; nothing here changes one in place. The same
config and the same changes give the same bytes (`canonical`), and so the same image id.

Changes are typed here, as `Change`; text becomes one in `rootless.model.image_change`.
"""

from __future__ import annotations

import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    Config = dict[str, Any]
    # The object "config" of a Config: what a container starts with.
    Section = dict[str, Any]
    Change = Callable[[Section], Section]

# Written by docker: how it made the image that this one is based on.
_OF_THE_BASE = ("container", "container_config", "docker_version", "id", "parent")
_SECONDS = 10**9
# image-spec, config.md: Windows aside, the search path that docker gives to who has none.
SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def scratch(platform: Mapping[str, str]) -> Config:
    """The config of an image without a layer. platform: as Platform.as_document()."""
    return {
        **platform,
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": []},
        "history": [],
    }


def created_text(nanoseconds: int) -> str:
    """A time since 1970 as RFC 3339 in UTC, as docker writes it: without a fraction that is 0."""
    from datetime import datetime, timedelta, timezone

    seconds, fraction = divmod(nanoseconds, _SECONDS)
    # Not fromtimestamp, which refuses times that the platform's C library does not know.
    moment = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=seconds)
    digits = f".{fraction:09d}".rstrip("0") if fraction else ""
    return f"{moment:%Y-%m-%dT%H:%M:%S}{digits}Z"


class Step:
    """What the history tells of one change. created: RFC 3339; by: the instruction or command."""

    __slots__ = ("author", "by", "comment", "created")

    def __init__(self, created: str, by: str, *, author: str = "", comment: str = "") -> None:
        self.created = created
        self.by = by
        self.author = author
        self.comment = comment

    def entry(self, *, has_layer: bool) -> dict[str, Any]:
        """The row of the history (config.md, "history")."""
        row: dict[str, Any] = {"created": self.created}
        row.update((key, text) for key, text in self._texts() if text)
        return row if has_layer else {**row, "empty_layer": True}

    def _texts(self) -> tuple[tuple[str, str], ...]:
        return ("created_by", self.by), ("author", self.author), ("comment", self.comment)


def with_step(config: Config, step: Step, diff_id: str = "") -> Config:
    """`config` after `step`, with the layer `diff_id` on top; "" for a step without a layer."""
    rootfs = config.get("rootfs") or {}
    ids = [*(rootfs.get("diff_ids") or ()), *([diff_id] if diff_id else ())]
    history = [*_complete_history(config), step.entry(has_layer=bool(diff_id))]
    kept = {key: value for key, value in config.items() if key not in _OF_THE_BASE}
    author = {"author": step.author} if step.author else {}
    rootfs = {"type": "layers", "diff_ids": ids}
    return {**kept, **author, "created": step.created, "rootfs": rootfs, "history": history}


def _complete_history(config: Config) -> list[dict[str, Any]]:
    """The history with a row for each layer: what made it may not be told, by old tools."""
    rows = [row for row in config.get("history") or () if isinstance(row, dict)]
    told = sum(1 for row in rows if not row.get("empty_layer"))
    untold = len((config.get("rootfs") or {}).get("diff_ids") or ()) - told
    created = {"created": config["created"]} if config.get("created") else {}
    return [dict(created) for _ in range(untold)] + rows


def squashed(config: Config, step: Step, diff_id: str) -> Config:
    """`config` with `diff_id` as its one layer and `step` as its whole history."""
    return with_step({**config, "rootfs": {}, "history": []}, step, diff_id)


def with_changes(config: Config, changes: Sequence[Change]) -> Config:
    """`config` with each change applied to what containers start with, in order."""
    section = dict(config.get("config") or {})
    for change in changes:
        section = change(section)
    return {**config, "config": section}


def canonical(document: Mapping[str, Any]) -> bytes:
    """The bytes of a document, always the same for the same content."""
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


# The changes that instructions stand for (Dockerfile reference). Each returns a Change.


def env(pairs: Mapping[str, str]) -> Change:
    """ENV: set variables; one that is there keeps its place."""

    def change(section: Section) -> Section:
        known = (row.partition("=") for row in section.get("Env") or ())
        merged = {**{name: text for name, _, text in known}, **pairs}
        return {**section, "Env": [f"{name}={text}" for name, text in merged.items()]}

    return change


def label(pairs: Mapping[str, str]) -> Change:
    """LABEL: set labels."""
    return lambda section: {**section, "Labels": {**(section.get("Labels") or {}), **pairs}}


def expose(ports: Sequence[str]) -> Change:
    """EXPOSE: ports as PORT/PROTOCOL."""
    return lambda section: {**section, "ExposedPorts": _marks(section, "ExposedPorts", ports)}


def volume(paths: Sequence[str]) -> Change:
    """VOLUME: directories of the container that are volumes unless the user says otherwise."""
    return lambda section: {**section, "Volumes": _marks(section, "Volumes", paths)}


def _marks(section: Section, key: str, names: Sequence[str]) -> dict[str, Any]:
    return {**(section.get(key) or {}), **{name: {} for name in names}}


def cmd(words: Sequence[str]) -> Change:
    """CMD: the words of the exec form, or those that the shell form stands for (`in_shell`)."""
    return lambda section: {**section, "Cmd": list(words)}


def entrypoint(words: Sequence[str], *, keep_cmd: bool = False) -> Change:
    """ENTRYPOINT, likewise; a CMD that was the base image's goes, unless `keep_cmd`."""

    def change(section: Section) -> Section:
        rest = {key: value for key, value in section.items() if keep_cmd or key != "Cmd"}
        return {**rest, "Entrypoint": list(words)}

    return change


def user(text: str) -> Change:
    """USER."""
    return lambda section: {**section, "User": text}


def workdir(path: str) -> Change:
    """WORKDIR: a relative path continues the one before."""
    return lambda section: {**section, "WorkingDir": joined(section.get("WorkingDir"), path)}


def joined(folder: str | None, path: str) -> str:
    """`path` taken from `folder` ("" is the root), absolute and without odd components."""
    parts: list[str] = []
    for part in f"{'' if path.startswith('/') else folder or ''}/{path}".split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    return "/" + "/".join(parts)


def stop_signal(text: str) -> Change:
    """STOPSIGNAL."""
    return lambda section: {**section, "StopSignal": text}


def shell(words: Sequence[str]) -> Change:
    """SHELL: what runs the shell forms that come after."""
    return lambda section: {**section, "Shell": list(words)}


def onbuild(instruction: str) -> Change:
    """ONBUILD: an instruction for builds that start from this image."""
    return lambda section: {**section, "OnBuild": [*(section.get("OnBuild") or ()), instruction]}


def without_onbuild(section: Section) -> Section:
    """A Change: the instructions of the base image were carried out."""
    return {key: value for key, value in section.items() if key != "OnBuild"}


def healthcheck(document: Mapping[str, Any]) -> Change:
    """HEALTHCHECK: docker's document (model.healthcheck)."""
    return lambda section: {**section, "Healthcheck": dict(document)}


def in_shell(section: Section, text: str) -> list[str]:
    """The words that a shell form stands for in an image with this section."""
    return [*(section.get("Shell") or ("/bin/sh", "-c")), text]
