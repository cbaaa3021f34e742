"""A Dockerfile's text → its statements: directives, comments, continuations, heredocs. Pure.

Follows docs.docker.com/reference/dockerfile. A comment between continuation lines is skipped, and
so is (as Docker still does) an empty line there.
"""

from __future__ import annotations

import re

from rootless.model.dockerfile.place import Place, did_you_mean
from rootless.model.dockerfile.words import Lexer
from rootless.model.value import Value

_BOM = b"\xef\xbb\xbf"
_DIRECTIVE = re.compile(r"#\s*([A-Za-z][A-Za-z0-9]*)\s*=\s*(.+?)\s*$")
_DIRECTIVES = ("syntax", "escape", "check")
_HEREDOC = re.compile(r"(\d*)<<(-?)([^<]*)$")
_TAKE_HEREDOCS = ("ADD", "COPY", "RUN")

NAMES = (
    "ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL",
    "MAINTAINER", "ONBUILD", "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR",
)  # fmt: skip


class Heredoc(Value):
    """`<<NAME` and the lines up to NAME. expand: NAME was not quoted; chomp: `<<-`, leading tabs
    are taken off; content: the lines as they stand; descriptor: the digits before `<<`."""

    __slots__ = ("chomp", "content", "descriptor", "expand", "name")

    def __init__(
        self, name: str, content: str = "", *, expand: bool, chomp: bool, descriptor: str = ""
    ) -> None:
        self.name = name
        self.content = content
        self.expand = expand
        self.chomp = chomp
        self.descriptor = descriptor

    @property
    def text(self) -> str:
        """The content as a file has it."""
        return re.sub(r"(?m)^\t+", "", self.content) if self.chomp else self.content


class Flag(Value):
    """`--name=value`; value None without `=`."""

    __slots__ = ("name", "value")

    def __init__(self, name: str, value: str | None) -> None:
        self.name = name
        self.value = value


class Statement:
    """An instruction not yet read: NAME, its flags, the rest of the line, its heredocs."""

    __slots__ = ("flags", "heredocs", "name", "place", "rest")

    def __init__(
        self, name: str, flags: list[Flag], rest: str, heredocs: list[Heredoc], place: Place
    ) -> None:
        self.name = name
        self.flags = flags
        self.rest = rest
        self.heredocs = heredocs
        self.place = place


class Parsed:
    """directives: by name in lower case; escape: the character that escapes and continues."""

    __slots__ = ("directives", "escape", "statements")

    def __init__(
        self, directives: dict[str, str], escape: str, statements: list[Statement]
    ) -> None:
        self.directives = directives
        self.escape = escape
        self.statements = statements


def parse(content: bytes, file: str) -> Parsed:
    """Raises DockerfileError. file: what it is called in errors."""
    lines = _decoded(content.removeprefix(_BOM), file)
    directives = _directives(lines, file)
    escape = directives.get("escape", "\\")
    reading = _Reading(lines, file, escape)
    return Parsed(directives, escape, list(reading.statements()))


def parse_one(text: str, place: Place, escape: str = "\\") -> Statement:
    """A single instruction that stands elsewhere: of ONBUILD, or of `-c`. Raises DockerfileError.

    place: where it is said to be, whatever line of `text` it is on.
    """
    reading = _Reading(text.split("\n"), place.file, escape, place)
    found = list(reading.statements())
    if len(found) != 1:
        raise place.error("one instruction was expected")
    return found[0]


def _decoded(content: bytes, file: str) -> list[str]:
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        line = content.split(b"\n")[number - 1].decode(errors="backslashreplace")
        raise Place(file, number, line).error("not UTF-8") from None
    if "\0" in text:
        number = text.count("\n", 0, text.index("\0")) + 1
        line = text.split("\n")[number - 1].replace("\0", "\\0")
        raise Place(file, number, line).error("a null byte: this is no text file")
    return [line.removesuffix("\r") for line in text.split("\n")]


def _directives(lines: list[str], file: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        match = _DIRECTIVE.match(line.lstrip())
        if match is None or match[1].lower() not in _DIRECTIVES:
            return found
        name, value = match[1].lower(), match[2]
        place = Place(file, number, line)
        if name in found:
            raise place.error(f"the directive {name} stands here a second time")
        if name == "escape" and value not in ("\\", "`"):
            raise place.error(f"escape={value} is not possible", "# escape=\\ or # escape=`")
        found[name] = value
    return found


class _Reading:
    """The lines, one after the other. place: given where their numbers mean nothing."""

    def __init__(
        self, lines: list[str], file: str, escape: str, place: Place | None = None
    ) -> None:
        self._lines = lines
        self._file = file
        self._at = 0
        self._place = place
        self._lexer = Lexer(escape)
        self._continued = re.compile(rf"(?:^|(?<!{re.escape(escape)})){re.escape(escape)}[ \t]*$")

    def statements(self) -> list[Statement]:
        found = []
        while self._at < len(self._lines):
            number = self._at + 1
            line = self._logical()
            if line.strip():
                place = self._place or Place(self._file, number, line.strip())
                found.append(self._statement(line, place))
        return found

    def _logical(self) -> str:
        """The next line with those that continue it; "" for a comment."""
        line = self._lines[self._at].lstrip()
        self._at += 1
        if line.startswith("#"):
            return ""
        line, more = self._cut(line)
        while more and self._at < len(self._lines):
            following = self._lines[self._at]
            self._at += 1
            if following.strip() and not following.lstrip().startswith("#"):
                following, more = self._cut(following)
                line += following
        return line

    def _cut(self, line: str) -> tuple[str, bool]:
        found = self._continued.search(line)
        return (line[: found.start()], True) if found else (line, False)

    def _statement(self, line: str, place: Place) -> Statement:
        name, rest = _split(line)
        if name not in NAMES:
            raise place.error(f"unknown instruction {name}", did_you_mean(name, NAMES))
        flags, rest = _flags(rest, place)
        heredocs = self._heredocs(name, rest, place)
        return Statement(name, flags, rest, heredocs, place)

    def _heredocs(self, name: str, rest: str, place: Place) -> list[Heredoc]:
        if name == "ONBUILD" and rest:
            name, rest = _split(rest)
        if name not in _TAKE_HEREDOCS or "<<" not in rest or rest.lstrip().startswith("["):
            return []
        found = heredocs_of(rest, self._lexer.escape)
        for heredoc in found:
            heredoc.content = self._content(heredoc, place)
        return found

    def _content(self, heredoc: Heredoc, place: Place) -> str:
        start = self._at
        for at in range(start, len(self._lines)):
            line = self._lines[at]
            if (line.lstrip("\t") if heredoc.chomp else line) == heredoc.name:
                self._at = at + 1
                return "".join(f"{one}\n" for one in self._lines[start:at])
        raise place.error(
            f"the heredoc <<{heredoc.name} has no end",
            f"a line with {heredoc.name} alone, without spaces around it",
        )


def _split(line: str) -> tuple[str, str]:
    name, *rest = line.strip().split(maxsplit=1)
    return name.upper(), rest[0].strip() if rest else ""


def heredocs_of(text: str, escape: str = "\\") -> list[Heredoc]:
    """The heredocs that `text`, the arguments of an instruction, opens; without their content."""
    lexer = Lexer(escape, keep_quotes=True, keep_escapes=True, keep_unset=True)
    try:
        words = lexer.words(text, {})
    except ValueError:
        # Quotes that the shell will complain about.
        return []
    return [found for word in words if (found := heredoc_of(word)) is not None]


def heredoc_of(word: str) -> Heredoc | None:
    """The heredoc that `word` opens, without its content."""
    match = _HEREDOC.match(word)
    if match is None or not match[3]:
        return None
    try:
        plain = Lexer(keep_unset=True).words(match[3], {})
        raw = Lexer(keep_quotes=True, keep_escapes=True, keep_unset=True).words(match[3], {})
    except ValueError:
        return None
    if len(plain) != 1:
        return None
    return Heredoc(plain[0], expand=plain == raw, chomp=bool(match[2]), descriptor=match[1])


def _flags(rest: str, place: Place) -> tuple[list[Flag], str]:
    """The words at the beginning that are flags, and what follows them."""
    flags: list[Flag] = []
    while rest.startswith("--"):
        word, rest = _flag_word(rest)
        if word == "--":
            break
        name, equals, value = word[2:].partition("=")
        if not name:
            raise place.error(f"{word}: the name of the flag is missing")
        flags.append(Flag(name, value if equals else None))
    return flags, rest


def _flag_word(text: str) -> tuple[str, str]:
    """The first word, quotes and escapes taken off, and the rest."""
    out = []
    quote = ""
    position = 0
    while position < len(text):
        character = text[position]
        if quote:
            if character == quote:
                quote = ""
            else:
                out.append(character)
        elif character in ("'", '"'):
            quote = character
        elif character == "\\" and position + 1 < len(text):
            position += 1
            out.append(text[position])
        elif character.isspace():
            break
        else:
            out.append(character)
        position += 1
    return "".join(out), text[position:].lstrip()
