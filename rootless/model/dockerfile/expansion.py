"""Variables in instructions: which of them take any, and where. Pure.

ADD, ARG, COPY, ENV, EXPOSE, FROM, LABEL, STOPSIGNAL, USER, VOLUME, WORKDIR and the options of
RUN --mount; the commands of RUN, CMD, ENTRYPOINT and HEALTHCHECK are the shell's business.
"""

from __future__ import annotations

from rootless.model.dockerfile import mounts
from rootless.model.dockerfile.instructions import (
    Assign,
    Copy,
    From,
    Inline,
    Instruction,
    Run,
    Several,
    Text,
)
from rootless.model.dockerfile.words import Lexer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from rootless.model.dockerfile.place import Place


class Expander:
    """Replaces variables. variables: what is set where the instruction stands."""

    def __init__(self, variables: Mapping[str, str], escape: str = "\\") -> None:
        self._variables = variables
        self._lexer = Lexer(escape)

    def word(self, text: str, place: Place) -> str:
        """Raises DockerfileError."""
        try:
            return self._lexer.word(text, self._variables)
        except ValueError as error:
            raise place.error(str(error)) from None

    def words(self, text: str, place: Place) -> list[str]:
        """As `word`, split at spaces. Raises DockerfileError."""
        try:
            return self._lexer.words(text, self._variables)
        except ValueError as error:
            raise place.error(str(error)) from None

    def content(self, text: str, place: Place) -> str:
        """Of a heredoc, where quotes mean nothing. Raises DockerfileError."""
        try:
            return Lexer(quotes=False).word(text, self._variables)
        except ValueError as error:
            raise place.error(str(error)) from None

    def instruction(self, found: Instruction) -> Instruction:
        """`found` with its variables replaced; itself where it takes none. Raises DockerfileError.

        Not ARG: each of its values can use those before it.
        """
        place = found.place
        if isinstance(found, Assign):
            pairs = [
                (self.word(name, place), self.word(value, place)) for name, value in found.pairs
            ]
            return Assign(found.name, place, pairs)
        if isinstance(found, Text) and found.name != "MAINTAINER":
            return Text(found.name, place, self.word(found.text, place))
        if isinstance(found, Several):
            return self._several(found)
        if isinstance(found, Copy):
            return self._copy(found)
        if isinstance(found, Run):
            return self._run(found)
        if isinstance(found, From):
            image = self.word(found.image, place)
            return From(place, image, found.stage, self.word(found.platform, place))
        return found

    def _several(self, found: Several) -> Several:
        place = found.place
        if found.name == "EXPOSE":
            items = [word for item in found.items for word in self.words(item, place)]
        else:
            items = [self.word(item, place) for item in found.items]
        return Several(found.name, place, items)

    def _copy(self, found: Copy) -> Copy:
        place = found.place
        copy = Copy(
            found.name, place,
            [self.word(source, place) for source in found.sources],
            [self._inline(one, place) for one in found.inline],
            self.word(found.destination, place),
        )  # fmt: skip
        copy.source_stage = found.source_stage
        copy.chown = self.word(found.chown, place)
        copy.chmod = self.word(found.chmod, place)
        copy.link = found.link
        copy.parents = found.parents
        copy.exclude = [self.word(pattern, place) for pattern in found.exclude]
        copy.checksum = self.word(found.checksum, place)
        copy.keep_git_dir = found.keep_git_dir
        copy.unpack = found.unpack
        return copy

    def _inline(self, inline: Inline, place: Place) -> Inline:
        text = self.content(inline.text, place) if inline.expand else inline.text
        return Inline(inline.name, text, expand=False)

    def _run(self, found: Run) -> Run:
        place = found.place
        run = Run(place, found.words, shell=found.shell)
        run.heredocs = found.heredocs
        run.network = found.network
        run.security = found.security
        run.mounts = [
            mounts.expanded(mount, lambda text: self.word(text, place), place)
            for mount in found.mounts
        ]
        return run
