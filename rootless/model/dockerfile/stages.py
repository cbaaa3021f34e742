"""A Dockerfile as stages, what each needs of the others, and which a target needs. Pure."""

from __future__ import annotations

from rootless.model.dockerfile import lines, read
from rootless.model.dockerfile.expansion import Expander
from rootless.model.dockerfile.instructions import Arg, Copy, From, Instruction, Run
from rootless.model.dockerfile.place import DockerfileError, did_you_mean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SCRATCH = "scratch"


class Stage:
    """index: from 0; base: FROM, its variables replaced; needs: indexes of the stages that it
    builds on or copies from; images: references that `--from` and `from=` name."""

    __slots__ = ("base", "base_stage", "images", "index", "instructions", "needs")

    def __init__(self, index: int, base: From) -> None:
        self.index = index
        self.base = base
        self.base_stage: int | None = None
        self.instructions: list[Instruction] = []
        self.needs: set[int] = set()
        self.images: set[str] = set()

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return self.base.stage or str(self.index)


class Dockerfile:
    """stages: all that it has; global_args: what ARG before FROM sets; escape: its character;
    declared: every name that an ARG has anywhere."""

    __slots__ = ("declared", "escape", "file", "global_args", "stages")

    def __init__(
        self, file: str, escape: str, stages: list[Stage], global_args: dict[str, str],
        declared: set[str],
    ) -> None:  # fmt: skip
        self.file = file
        self.escape = escape
        self.stages = stages
        self.global_args = global_args
        self.declared = declared

    def target(self, name: str) -> Stage:
        """The stage of that name or number, the last one for "". Raises DockerfileError."""
        if not name:
            return self.stages[-1]
        found = find(self.stages, name)
        if found is None:
            known = [stage.name for stage in self.stages]
            raise DockerfileError(
                f"{self.file}: --target {name}: no stage is called so", did_you_mean(name, known)
            )
        return found

    def needed(self, target: Stage) -> list[Stage]:
        """The stages that `target` takes, itself last; each after those that it needs."""
        wanted: set[int] = set()
        pending = [target.index]
        while pending:
            index = pending.pop()
            if index not in wanted:
                wanted.add(index)
                pending += self.stages[index].needs
        return [self.stages[index] for index in sorted(wanted)]


def find(stages: Iterable[Stage], name: str) -> Stage | None:
    """The last stage that is called `name`, else the one of that number."""
    known = list(stages)
    for stage in reversed(known):
        if stage.base.stage and stage.base.stage == name.lower():
            return stage
    if name.isascii() and name.isdecimal() and int(name) < len(known):
        return known[int(name)]
    return None


def load(
    content: bytes, file: str, build_args: Mapping[str, str], predefined: Mapping[str, str]
) -> Dockerfile:
    """Raises DockerfileError.

    build_args: of --build-arg; predefined: TARGETPLATFORM and its like.
    """
    parsed = lines.parse(content, file)
    if not parsed.statements:
        raise DockerfileError(f"{file}: no instructions", "a first line could be: FROM IMAGE")
    found = [read.instruction(statement, parsed.escape) for statement in parsed.statements]
    first = next((at for at, one in enumerate(found) if isinstance(one, From)), len(found))
    global_args = _global_args(found[:first], parsed.escape, build_args, predefined)
    variables = {**predefined, **global_args}
    stages: list[Stage] = []
    for one in found[first:]:
        if isinstance(one, From):
            stages.append(_begun(len(stages), one, Expander(variables, parsed.escape), stages))
        else:
            stages[-1].instructions.append(one)
            _note_needs(stages[-1], one, stages[:-1])
    if not stages:
        raise DockerfileError(f"{file}: no FROM", "FROM IMAGE")
    declared = {name for one in found if isinstance(one, Arg) for name, _ in one.pairs}
    return Dockerfile(file, parsed.escape, stages, global_args, declared)


def _global_args(
    before: list[Instruction], escape: str, build_args: Mapping[str, str],
    predefined: Mapping[str, str],
) -> dict[str, str]:  # fmt: skip
    values: dict[str, str] = {}
    for one in before:
        if not isinstance(one, Arg):
            raise one.place.error(f"{one.name} before FROM", "only ARG can stand before FROM")
        for name, default in one.pairs:
            value = build_args.get(name)
            if value is None and default is not None:
                value = Expander({**predefined, **values}, escape).word(default, one.place)
            if value is not None:
                values[name] = value
    return values


def _begun(index: int, wish: From, expander: Expander, before: list[Stage]) -> Stage:
    base = expander.instruction(wish)
    assert isinstance(base, From)
    if not base.image:
        raise wish.place.error(
            "the name of the image is empty", "ARG NAME=DEFAULT before FROM, or --build-arg"
        )
    stage = Stage(index, base)
    # A number is no stage here: an image may be called so.
    parent = None if base.image.isdecimal() else find(before, base.image)
    if parent is not None:
        stage.base_stage = parent.index
        stage.needs.add(parent.index)
    return stage


def source_names(found: Instruction) -> list[str]:
    """What an instruction takes from stages and images: of `--from` and `from=`."""
    if isinstance(found, Copy):
        return [found.source_stage] if found.source_stage else []
    if isinstance(found, Run):
        return [mount.get("from") for mount in found.mounts if mount.get("from")]
    return []


def _note_needs(stage: Stage, found: Instruction, before: list[Stage]) -> None:
    for name in source_names(found):
        source = find(before, name)
        if source is not None:
            stage.needs.add(source.index)
        elif name.isdecimal():
            raise found.place.error(
                f"there is no stage {name} before this one",
                f"the number of stages is {len(before)}",
            )
        elif name.lower() == stage.base.stage:
            raise found.place.error(f"the stage {name} cannot take files from itself")
        elif name != SCRATCH:
            stage.images.add(name)
