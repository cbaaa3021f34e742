"""Statements → typed instructions. Pure."""

from __future__ import annotations

import json
import re

from rootless.model import moment
from rootless.model.dockerfile import lines, mounts
from rootless.model.dockerfile.instructions import (
    Arg,
    Assign,
    Command,
    Copy,
    From,
    Healthcheck,
    Inline,
    Instruction,
    OnBuild,
    Run,
    Several,
    Text,
)
from rootless.model.dockerfile.place import did_you_mean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.model.dockerfile.lines import Flag, Statement
    from rootless.model.dockerfile.place import Place

_STAGE_NAME = re.compile(r"[a-z][a-z0-9_.-]*\Z")
_COPY_FLAGS = {"from", "chown", "chmod", "link", "parents", "exclude"}
_ADD_FLAGS = {"chown", "chmod", "link", "exclude", "checksum", "keep-git-dir", "unpack"}
_CHECK_TIMES = {
    "interval": "Interval", "timeout": "Timeout", "start-period": "StartPeriod",
    "start-interval": "StartInterval",
}  # fmt: skip
_FLAGS: dict[str, set[str]] = {
    "FROM": {"platform"},
    "RUN": {"mount", "network", "security"},
    "COPY": _COPY_FLAGS,
    "ADD": _ADD_FLAGS,
    "HEALTHCHECK": {*_CHECK_TIMES, "retries"},
}
_REPEATED = {"mount", "exclude"}
_SWITCHES = {"link", "parents", "keep-git-dir", "unpack"}
_NETWORKS = ("default", "none", "host")


def instruction(statement: Statement, escape: str = "\\") -> Instruction:
    """Raises DockerfileError."""
    return _READERS[statement.name](statement, _checked_flags(statement), escape)


def trigger(text: str, place: Place) -> Instruction:
    """The instruction that an image's ONBUILD holds. Raises DockerfileError."""
    return instruction(lines.parse_one(text, place))


class _Flags:
    """The flags of one statement, each known to the instruction."""

    def __init__(self, flags: list[Flag], place: Place) -> None:
        self._flags = flags
        self._place = place

    def all(self, name: str) -> list[str]:
        return [flag.value or "" for flag in self._flags if flag.name == name]

    def text(self, name: str) -> str:
        return "".join(self.all(name))

    def switch(self, name: str) -> bool | None:
        for flag in self._flags:
            if flag.name == name:
                if flag.value not in (None, "true", "false"):
                    raise self._place.error(f"--{name}={flag.value}: true or false was expected")
                return flag.value != "false"
        return None


def _checked_flags(statement: Statement) -> _Flags:
    known = _FLAGS.get(statement.name, set())
    seen: set[str] = set()
    for flag in statement.flags:
        if flag.name not in known:
            hint = did_you_mean(f"--{flag.name}", [f"--{name}" for name in known])
            raise statement.place.error(f"{statement.name} has no flag --{flag.name}", hint)
        if flag.value is None and flag.name not in _SWITCHES:
            raise statement.place.error(f"--{flag.name} needs a value", f"--{flag.name}=VALUE")
        if flag.name in seen and flag.name not in _REPEATED:
            raise statement.place.error(f"--{flag.name} stands here twice")
        seen.add(flag.name)
    return _Flags(statement.flags, statement.place)


def _needs_arguments(statement: Statement, example: str) -> None:
    if not statement.rest:
        raise statement.place.error(
            f"{statement.name} without arguments", f"{statement.name} {example}"
        )


def _json_words(statement: Statement, text: str) -> list[str] | None:
    """The argv where `text` is a JSON array; None where it is text for the shell."""
    if not text.startswith("["):
        return None
    try:
        document = json.loads(text)
    except ValueError:
        return None
    if not isinstance(document, list):
        return None
    if any(not isinstance(word, str) for word in document):
        raise statement.place.error(
            f"{statement.name}: the array holds something that is no string",
            f'{statement.name} ["WORD", "WORD"]',
        )
    return document


def split_quoted(text: str, escape: str) -> list[str]:
    """`text` split at spaces; quotes and escapes keep spaces, and stay as they are."""
    words: list[str] = []
    word, quote, position = "", "", 0
    while position < len(text):
        character = text[position]
        position += 1
        if character == escape and quote != "'" and position < len(text):
            word += character + text[position]
            position += 1
            continue
        if character.isspace() and not quote:
            words += [word] if word else []
            word = ""
            continue
        if character == quote:
            quote = ""
        elif character in ("'", '"') and not quote:
            quote = character
        word += character
    return [*words, word] if word else words


def _from(statement: Statement, flags: _Flags, escape: str) -> Instruction:
    _needs_arguments(statement, "IMAGE")
    words = statement.rest.split()
    stage = ""
    if len(words) == 3 and words[1].upper() == "AS":
        stage = words[2].lower()
        if not _STAGE_NAME.match(stage):
            raise statement.place.error(
                f"{words[2]} cannot be the name of a stage",
                "a letter first, then letters, digits, '_', '.' and '-'",
            )
    elif len(words) != 1:
        raise statement.place.error("FROM has one or three arguments", "FROM IMAGE [AS NAME]")
    return From(statement.place, words[0], stage, flags.text("platform"))


def _arg(statement: Statement, flags: _Flags, escape: str) -> Instruction:
    _needs_arguments(statement, "NAME[=VALUE]")
    pairs: list[tuple[str, str | None]] = []
    for word in split_quoted(statement.rest, escape):
        name, equals, value = word.partition("=")
        if not name:
            raise statement.place.error("the name before '=' is missing")
        pairs.append((name, value if equals else None))
    return Arg(statement.place, pairs)


def _assign(statement: Statement, flags: _Flags, escape: str) -> Instruction:
    _needs_arguments(statement, "NAME=VALUE")
    words = split_quoted(statement.rest, escape)
    if "=" not in words[0]:
        # The old form: one name, and the rest of the line is its value.
        name, *rest = statement.rest.split(maxsplit=1)
        if not rest:
            raise statement.place.error(
                f"{statement.name}: {name} has no value", f"{statement.name} {name}=VALUE"
            )
        return Assign(statement.name, statement.place, [(name, rest[0])])
    pairs = []
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise statement.place.error(
                f"{word}: NAME=VALUE was expected", f'quotes keep spaces: {words[0]}" {word}"'
            )
        if not name:
            raise statement.place.error("the name before '=' is missing")
        pairs.append((name, value))
    return Assign(statement.name, statement.place, pairs)


def _command(statement: Statement, flags: _Flags, escape: str) -> Instruction:
    words = _json_words(statement, statement.rest)
    if words is not None:
        return Command(statement.name, statement.place, words, shell=False)
    text = [statement.rest] if statement.rest else []
    return Command(statement.name, statement.place, text, shell=True)


def _shell(statement: Statement, flags: _Flags, escape: str) -> Instruction:
    words = _json_words(statement, statement.rest)
    if not words:
        raise statement.place.error("SHELL takes a JSON array", 'SHELL ["/bin/sh", "-c"]')
    return Command("SHELL", statement.place, words, shell=False)


def _run(statement: Statement, flags: _Flags, escape: str) -> Instruction:
    words = _json_words(statement, statement.rest)
    if words == [] or not statement.rest:
        raise statement.place.error("RUN without a command", "RUN COMMAND")
    run = Run(statement.place, [statement.rest] if words is None else words, shell=words is None)
    run.heredocs = statement.heredocs
    run.mounts = [mounts.parse(text, statement.place) for text in flags.all("mount")]
    run.network = flags.text("network") or "default"
    run.security = flags.text("security") or "sandbox"
    if run.network not in _NETWORKS:
        hint = did_you_mean(run.network, _NETWORKS)
        raise statement.place.error(f"unknown --network={run.network}", hint)
    if run.security not in ("sandbox", "insecure"):
        raise statement.place.error(f"unknown --security={run.security}", "--security=sandbox")
    return run


def _copy(statement: Statement, flags: _Flags, escape: str) -> Instruction:
    listed = _json_words(statement, statement.rest)
    words = statement.rest.split() if listed is None else listed
    if len(words) < 2:
        raise statement.place.error(
            f"{statement.name} needs a source and a destination", f"{statement.name} SOURCE… PATH"
        )
    *sources, destination = words
    by_name = {heredoc.name: heredoc for heredoc in statement.heredocs}
    inline, paths = [], []
    for source in sources:
        opened = lines.heredoc_of(source) if listed is None else None
        heredoc = by_name.get(opened.name) if opened else None
        if heredoc is None:
            paths.append(source)
        else:
            inline.append(Inline(heredoc.name, heredoc.text, expand=heredoc.expand))
    if listed is None and lines.heredoc_of(destination) is not None:
        raise statement.place.error("a heredoc cannot be the destination")
    copy = Copy(statement.name, statement.place, paths, inline, destination)
    _set_copy_flags(copy, flags)
    return copy


def _set_copy_flags(copy: Copy, flags: _Flags) -> None:
    copy.source_stage = flags.text("from")
    copy.chown = flags.text("chown")
    copy.chmod = flags.text("chmod")
    copy.link = bool(flags.switch("link"))
    copy.parents = bool(flags.switch("parents"))
    copy.exclude = flags.all("exclude")
    copy.checksum = flags.text("checksum")
    copy.keep_git_dir = bool(flags.switch("keep-git-dir"))
    copy.unpack = flags.switch("unpack")
    if "$" in copy.source_stage:
        raise copy.place.error(
            "variables are not possible in --from", "FROM … AS NAME and --from=NAME"
        )
    if copy.inline and copy.source_stage:
        raise copy.place.error("a heredoc and --from do not go together")


def _text(statement: Statement, flags: _Flags, escape: str) -> Instruction:
    _needs_arguments(statement, "VALUE")
    return Text(statement.name, statement.place, statement.rest)


def _volume(statement: Statement, flags: _Flags, escape: str) -> Instruction:
    listed = _json_words(statement, statement.rest)
    paths = statement.rest.split() if listed is None else listed
    if not paths or any(not path.strip() for path in paths):
        raise statement.place.error("VOLUME needs a path", "VOLUME PATH")
    return Several("VOLUME", statement.place, paths)


def _expose(statement: Statement, flags: _Flags, escape: str) -> Instruction:
    _needs_arguments(statement, "PORT[/PROTOCOL]")
    return Several("EXPOSE", statement.place, statement.rest.split())


def _healthcheck(statement: Statement, flags: _Flags, escape: str) -> Instruction:
    kind, *rest = statement.rest.split(maxsplit=1) or [""]
    text = rest[0] if rest else ""
    if kind.upper() == "NONE" and not text and not statement.flags:
        return Healthcheck(statement.place, {"Test": ["NONE"]})
    if kind.upper() != "CMD" or not text:
        raise statement.place.error(
            "HEALTHCHECK takes CMD and a command, or NONE alone", "HEALTHCHECK CMD COMMAND"
        )
    words = _json_words(statement, text)
    if words == []:
        raise statement.place.error("HEALTHCHECK CMD without a command", "HEALTHCHECK CMD COMMAND")
    document: dict[str, object] = {
        "Test": ["CMD-SHELL", text] if words is None else ["CMD", *words]
    }
    for flag, key in _CHECK_TIMES.items():
        if flags.all(flag):
            document[key] = _check_time(statement.place, flag, flags.text(flag))
    if flags.all("retries"):
        text = flags.text("retries")
        if not (text.isascii() and text.isdecimal()):
            raise statement.place.error(f"--retries={text} is no number", "--retries=3")
        document["Retries"] = int(text)
    return Healthcheck(statement.place, document)


def _check_time(place: Place, flag: str, text: str) -> int:
    span = moment.parse_duration(text)
    if span is None or 0 < span < 1_000_000:
        raise place.error(f"--{flag}={text} is no duration of 1ms or more", f"--{flag}=30s")
    return span


def _onbuild(statement: Statement, flags: _Flags, escape: str) -> Instruction:
    _needs_arguments(statement, "INSTRUCTION")
    name = statement.rest.split()[0].upper()
    if name in ("ONBUILD", "FROM", "MAINTAINER"):
        raise statement.place.error(f"ONBUILD {name} is not possible")
    if name not in lines.NAMES:
        hint = did_you_mean(name, lines.NAMES)
        raise statement.place.error(f"ONBUILD: unknown instruction {name}", hint)
    text = statement.rest
    for heredoc in statement.heredocs:
        text += f"\n{heredoc.content}{heredoc.name}"
    instruction(lines.parse_one(text, statement.place, escape), escape)
    return OnBuild(statement.place, text)


_READERS: dict[str, Callable[[Statement, _Flags, str], Instruction]] = {
    "ADD": _copy, "ARG": _arg, "CMD": _command, "COPY": _copy, "ENTRYPOINT": _command,
    "ENV": _assign, "EXPOSE": _expose, "FROM": _from, "HEALTHCHECK": _healthcheck,
    "LABEL": _assign, "MAINTAINER": _text, "ONBUILD": _onbuild, "RUN": _run, "SHELL": _shell,
    "STOPSIGNAL": _text, "USER": _text, "VOLUME": _volume, "WORKDIR": _text,
}  # fmt: skip
