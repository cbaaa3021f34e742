"""One stage: its instructions in order, each a step of the image's history."""

from __future__ import annotations

import json

from rootless.engine.building import gitsource, state, step_copy, step_run
from rootless.engine.building.copier import Source
from rootless.errors import RlError, describe_os_error
from rootless.model import image_change
from rootless.model.dockerfile import read, stages
from rootless.model.dockerfile.expansion import Expander
from rootless.model.dockerfile.instructions import (
    Arg,
    Assign,
    Command,
    Copy,
    Healthcheck,
    Instruction,
    OnBuild,
    Run,
    Several,
    Text,
)
from rootless.model.dockerfile.place import DockerfileError, shortened
from rootless.model.image_config import without_onbuild

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.engine.building.state import State
    from rootless.engine.building.workshop import Workshop
    from rootless.model.dockerfile.place import Place
    from rootless.model.dockerfile.stages import Stage

# Build arguments that no ARG needs to name.
NOT_DECLARED = step_run.PROXIES


def platform_args(wanted: str, ours: str, target: str) -> dict[str, str]:
    """Of the platforms as OS/ARCHITECTURE[/VARIANT]; target: the name of the target stage."""
    found = {"TARGETSTAGE": target or "default"}
    for prefix, text in (("TARGET", wanted), ("BUILD", ours)):
        system, architecture, variant, *_ = [*text.split("/"), "", ""]
        found[f"{prefix}PLATFORM"] = text
        found[f"{prefix}OS"] = system
        found[f"{prefix}ARCH"] = architecture
        found[f"{prefix}VARIANT"] = variant
    return found


class StageBuild:
    """`run` once. automatic: values of ARGs that have none of their own."""

    def __init__(self, shop: Workshop, stage: Stage, automatic: dict[str, str]) -> None:
        self._shop = shop
        self._stage = stage
        self._automatic = automatic
        self._author = ""
        self._now: State
        self._number = 1
        self._count = 1 + len(stage.instructions)

    def run(self) -> State:
        """The state after the last instruction. Raises DockerfileError that names the line."""
        base = self._stage.base
        self._say(base.place.text)
        self._now = self._begin()
        triggers = list(self._now.section.get("OnBuild") or ())
        if triggers:
            self._now.change(without_onbuild)
            self._count += len(triggers)
            for text in triggers:
                self._step(read.trigger(text, base.place), text)
        for instruction in self._stage.instructions:
            self._step(instruction, instruction.place.text)
        return self._now

    def _say(self, text: str) -> None:
        self._shop.say(f"STEP {self._number}/{self._count}: {shortened(text)}")

    def _begin(self) -> State:
        base, shop = self._stage.base, self._shop
        if self._stage.base_stage is not None:
            return state.from_fields(shop.done[self._stage.base_stage].to_fields())
        if base.image == stages.SCRATCH:
            return shop.scratch()
        return shop.image(base.image, base.place, base.platform)

    def _step(self, found: Instruction, text: str) -> None:
        self._number += 1
        self._say(text)
        try:
            self._dispatch(found)
        except DockerfileError:
            raise
        except RlError as error:
            raise found.place.error(error.message, error.hint) from error
        except OSError as error:
            raise found.place.error(describe_os_error(error)) from error

    def _dispatch(self, found: Instruction) -> None:
        if isinstance(found, Arg):
            self._arg(found)
            return
        now = self._now
        one = Expander(now.variables, self._shop.dockerfile.escape).instruction(found)
        if isinstance(one, Run):
            step_run.run(self._shop, now, one, self.source)
        elif isinstance(one, Copy):
            self._copy(one)
        elif isinstance(one, Text) and one.name == "WORKDIR":
            step_copy.workdir(self._shop, now, one.place, one.text)
        elif isinstance(one, Text) and one.name == "MAINTAINER":
            self._author = one.text
            self._note(f"MAINTAINER {one.text}", ["MAINTAINER", one.text])
        else:
            self._configure(one)

    def _copy(self, one: Copy) -> None:
        if one.name == "ADD" and any(map(gitsource.is_remote, one.sources)):
            # What fetches things is not imported for builds that fetch nothing.
            from rootless.engine.building import step_add

            step_add.add(self._shop, self._now, one)
        else:
            step_copy.copy(self._shop, self._now, one, self.source(one.source_stage, one.place))

    # The configuration.

    def _configure(self, one: Instruction) -> None:
        now = self._now
        now.change(image_change.of(one, keep_cmd=now.has_cmd))
        now.has_cmd = now.has_cmd or one.name == "CMD"
        text = _shown(one, now)
        self._note(text, [text])

    def _note(self, text: str, parts: list[str]) -> None:
        key = state.key_of(self._now.key, *parts)
        self._shop.take(self._now, key, text, None, self._author)

    def _arg(self, found: Arg) -> None:
        shown = []
        for name, default in found.pairs:
            value = self._value_of(name, default, found.place)
            if value is not None:
                self._now.args[name] = value
            shown.append(name if value is None else f"{name}={value}")
        # Which values there are makes the key of the steps that may use them.
        self._note(f"ARG {' '.join(shown)}", ["ARG", *(name for name, _ in found.pairs)])

    def _value_of(self, name: str, default: str | None, place: Place) -> str | None:
        given = self._shop.spec.args.get(name)
        if given is not None:
            return given
        if default is not None:
            return Expander(self._now.variables, self._shop.dockerfile.escape).word(default, place)
        known = self._shop.dockerfile.global_args.get(name)
        return self._automatic.get(name) if known is None else known

    # What is copied from.

    def source(self, name: str, place: Place) -> Source:
        """The context for "", else a stage of this file, else an image. Raises RlError."""
        shop = self._shop
        if not name:
            return Source(shop.context.shown, shop.context.fd)
        if name == stages.SCRATCH:
            return Source("scratch", trees=[])
        before = shop.dockerfile.stages[: self._stage.index]
        stage = stages.find(before, name)
        if stage is not None and stage.index not in shop.done:
            raise place.error(
                f"the stage {name} is not built yet where ONBUILD needs it",
                "FROM it, or copy from it, in the Dockerfile",
            )
        there = shop.image(name, place) if stage is None else shop.done[stage.index]
        shown = f"the image {name}" if stage is None else f"the stage {name}"
        return Source(shown, trees=shop.trees(there), diff_ids=there.diff_ids)


def _shown(one: Instruction, now: State) -> str:
    """An instruction as history has it, variables replaced."""
    if isinstance(one, Assign):
        return " ".join([one.name, *(f"{name}={value}" for name, value in one.pairs)])
    if isinstance(one, Command):
        key = {"CMD": "Cmd", "ENTRYPOINT": "Entrypoint", "SHELL": "Shell"}[one.name]
        return f"{one.name} {json.dumps(now.section[key], ensure_ascii=False)}"
    if isinstance(one, Several):
        return " ".join([one.name, *one.items])
    if isinstance(one, Healthcheck):
        return f"HEALTHCHECK {json.dumps(one.document, ensure_ascii=False)}"
    assert isinstance(one, Text | OnBuild)
    return f"{one.name} {one.text}"
