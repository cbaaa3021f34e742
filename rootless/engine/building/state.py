"""A build on its way: configuration, layers, and the key that says what made them. Pure.

A key is a digest of its parent's and of all that the step depends on; equal keys mean that the step
would give the same again. What a command gets from the network, or from the clock, is not in it, as
with docker.
"""

from __future__ import annotations

import hashlib
import json

from rootless.model import image_config

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Layer = dict[str, Any]


class State:
    """config: the image's whole configuration; layers: lowest first, descriptors with "diff_id";
    steps: the records of all steps, by key; args: what ARG has set; has_cmd: CMD was set in this
    build; base: (name, manifest digest) of the image that it began with, ("", "") for scratch.
    """

    __slots__ = ("args", "base", "config", "has_cmd", "key", "layers", "steps")

    def __init__(
        self,
        config: dict[str, Any],
        layers: list[Layer],
        key: str,
        base: tuple[str, str] = ("", ""),
    ) -> None:
        self.config = config
        self.layers = layers
        self.key = key
        self.base = base
        self.args: dict[str, str] = {}
        self.has_cmd = False
        self.steps: dict[str, dict[str, Any]] = {}

    @property
    def section(self) -> dict[str, Any]:
        """What containers start with."""
        return dict(self.config.get("config") or {})

    @property
    def env(self) -> dict[str, str]:
        """The variables of the configuration."""
        return dict(row.partition("=")[::2] for row in self.section.get("Env") or ())

    @property
    def variables(self) -> dict[str, str]:
        """What an instruction may use: ENV wins over ARG."""
        return {**self.args, **self.env}

    @property
    def diff_ids(self) -> list[str]:
        """Of the layers, lowest first."""
        return [str(layer["diff_id"]) for layer in self.layers]

    def advance(self, step: image_config.Step, key: str, layer: Layer | None) -> None:
        """Take a step into the history."""
        self.config = image_config.with_step(self.config, step, layer["diff_id"] if layer else "")
        if layer is not None:
            self.layers = [*self.layers, layer]
        self.key = key

    def change(self, change: image_config.Change) -> None:
        """Change what containers start with."""
        self.config = image_config.with_changes(self.config, [change])

    def to_fields(self) -> dict[str, Any]:
        """In types that `marshal` carries."""
        return {name: getattr(self, name) for name in self.__slots__}


def from_fields(fields: dict[str, Any]) -> State:
    """The inverse of `to_fields`; also makes a copy."""
    state = State(fields["config"], list(fields["layers"]), fields["key"], tuple(fields["base"]))
    state.args = dict(fields["args"])
    state.has_cmd = fields["has_cmd"]
    state.steps = dict(fields["steps"])
    return state


def key_of(*parts: Any) -> str:
    """The key of what `parts`, JSON values, say."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()
