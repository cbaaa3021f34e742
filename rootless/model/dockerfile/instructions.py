"""The instructions of a Dockerfile, one class each. `read` makes them. Pure."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.model.dockerfile.lines import Heredoc
    from rootless.model.dockerfile.mounts import RunMount
    from rootless.model.dockerfile.place import Place

    Pairs = list[tuple[str, str]]


class Instruction:
    """name: in capitals; place: where it stands."""

    __slots__ = ("name", "place")

    def __init__(self, name: str, place: Place) -> None:
        self.name = name
        self.place = place


class From(Instruction):
    """image: a reference, the name of a stage, or "scratch"; stage: its own name, "" without."""

    __slots__ = ("image", "platform", "stage")

    def __init__(self, place: Place, image: str, stage: str, platform: str) -> None:
        super().__init__("FROM", place)
        self.image = image
        self.stage = stage
        self.platform = platform


class Arg(Instruction):
    """pairs: names with their defaults, None without one."""

    __slots__ = ("pairs",)

    def __init__(self, place: Place, pairs: list[tuple[str, str | None]]) -> None:
        super().__init__("ARG", place)
        self.pairs = pairs


class Assign(Instruction):
    """ENV and LABEL."""

    __slots__ = ("pairs",)

    def __init__(self, name: str, place: Place, pairs: Pairs) -> None:
        super().__init__(name, place)
        self.pairs = pairs


class Command(Instruction):
    """CMD, ENTRYPOINT and SHELL. shell: words is one text for the shell, else an argv."""

    __slots__ = ("shell", "words")

    def __init__(self, name: str, place: Place, words: list[str], *, shell: bool) -> None:
        super().__init__(name, place)
        self.words = words
        self.shell = shell


class Run(Command):
    """network: "default", "none" or "host"; security: "sandbox" or "insecure"."""

    __slots__ = ("heredocs", "mounts", "network", "security")

    def __init__(self, place: Place, words: list[str], *, shell: bool) -> None:
        super().__init__("RUN", place, words, shell=shell)
        self.heredocs: list[Heredoc] = []
        self.mounts: list[RunMount] = []
        self.network = "default"
        self.security = "sandbox"


class Inline:
    """A file that COPY or ADD has in the Dockerfile itself. expand: variables are replaced."""

    __slots__ = ("expand", "name", "text")

    def __init__(self, name: str, text: str, *, expand: bool) -> None:
        self.name = name
        self.text = text
        self.expand = expand


class Copy(Instruction):
    """COPY and ADD. source_stage: `--from`; checksum, keep_git_dir, unpack: ADD's alone.

    unpack: None where ADD decides by what the source is.
    """

    __slots__ = (
        "checksum", "chmod", "chown", "destination", "exclude", "inline", "keep_git_dir", "link",
        "parents", "source_stage", "sources", "unpack",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        place: Place,
        sources: list[str],
        inline: list[Inline],
        destination: str,
    ) -> None:
        super().__init__(name, place)
        self.sources = sources
        self.inline = inline
        self.destination = destination
        self.source_stage = ""
        self.chown = ""
        self.chmod = ""
        self.link = False
        self.parents = False
        self.exclude: list[str] = []
        self.checksum = ""
        self.keep_git_dir = False
        self.unpack: bool | None = None


class Text(Instruction):
    """WORKDIR, USER, STOPSIGNAL and MAINTAINER: one text."""

    __slots__ = ("text",)

    def __init__(self, name: str, place: Place, text: str) -> None:
        super().__init__(name, place)
        self.text = text


class Several(Instruction):
    """VOLUME and EXPOSE: a list."""

    __slots__ = ("items",)

    def __init__(self, name: str, place: Place, items: list[str]) -> None:
        super().__init__(name, place)
        self.items = items


class Healthcheck(Instruction):
    """document: as model.healthcheck has it."""

    __slots__ = ("document",)

    def __init__(self, place: Place, document: dict[str, Any]) -> None:
        super().__init__("HEALTHCHECK", place)
        self.document = document


class OnBuild(Instruction):
    """text: the instruction for who builds on this image, with its heredocs."""

    __slots__ = ("text",)

    def __init__(self, place: Place, text: str) -> None:
        super().__init__("ONBUILD", place)
        self.text = text
