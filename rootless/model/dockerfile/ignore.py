"""`.dockerignore` and `.containerignore`: which files of a context are left out. Pure.

Patterns as in moby's patternmatcher: Go's filepath.Match, "**" for any number of directories, "!"
for exceptions; the last pattern that matches a path, or a directory above it, decides.
"""

from __future__ import annotations

import posixpath
import re

from rootless.errors import UsageError

_BOM = "\ufeff"


class Pattern:
    """exception: it began with "!"; regex: matches whole paths; parts: how many components."""

    __slots__ = ("exception", "regex", "text")

    def __init__(self, text: str, *, exception: bool, source: str) -> None:
        self.text = text
        self.exception = exception
        try:
            self.regex = re.compile(_regex(text), re.DOTALL)
        except (re.error, ValueError):
            raise UsageError(f"{source}: not a pattern: {text}", exit_code=1) from None

    @property
    def prefix(self) -> str:
        """The leading components without wildcards: what it matches lies at, or below it."""
        parts = []
        for part in self.text.split("/"):
            if any(character in part for character in "*?[\\"):
                break
            parts.append(part)
        return "/".join(parts)


class Ignore:
    """The patterns of one file."""

    def __init__(self, patterns: list[Pattern]) -> None:
        self.patterns = patterns
        self._exceptions = [pattern.prefix for pattern in patterns if pattern.exception]

    def ignores(self, path: str) -> bool:
        """Whether `path`, relative and clean, is left out."""
        parts = path.split("/")
        above = ["/".join(parts[: count + 1]) for count in range(len(parts))]
        ignored = False
        for pattern in self.patterns:
            # What it could only confirm needs no look.
            if pattern.exception != ignored:
                continue
            if any(pattern.regex.match(one) for one in above):
                ignored = not pattern.exception
        return ignored

    def skips_below(self, directory: str) -> bool:
        """Whether nothing below an ignored `directory` can be an exception."""
        return not any(_related(directory, prefix) for prefix in self._exceptions)


def _related(directory: str, prefix: str) -> bool:
    return (
        not prefix
        or directory == prefix
        or prefix.startswith(directory + "/")
        or directory.startswith(prefix + "/")
    )


def parse(content: bytes, source: str) -> Ignore:
    """Raises UsageError that names `source`."""
    patterns = []
    text = content.decode(errors="surrogateescape").removeprefix(_BOM)
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.startswith("#"):
            patterns += _patterns([line], f"{source}:{number}")
    return Ignore(patterns)


def of_patterns(lines: list[str], source: str) -> Ignore:
    """Of COPY --exclude. Raises UsageError that names `source`."""
    return Ignore(_patterns(lines, source))


def _patterns(lines: list[str], source: str) -> list[Pattern]:
    found = []
    for line in lines:
        text = line.strip()
        exception = text.startswith("!")
        text = text.removeprefix("!").strip()
        if exception and not text:
            raise UsageError(f"{source}: '!' without a pattern", exit_code=1)
        if not text:
            continue
        text = posixpath.normpath(text)
        text = text.lstrip("/") if len(text) > 1 else text
        found.append(Pattern(text, exception=exception, source=source))
    return found


def _regex(pattern: str) -> str:
    out = []
    position = 0
    while position < len(pattern):
        character = pattern[position]
        position += 1
        if character == "*" and pattern[position : position + 1] == "*":
            position += 1
            if pattern[position : position + 1] == "/":
                position += 1
            # At the end all that follows; else any number of directories, none too.
            out.append(".*" if position == len(pattern) else "(?:.*/)?")
        elif character == "*":
            out.append("[^/]*")
        elif character == "?":
            out.append("[^/]")
        elif character == "[":
            end = _bracket_end(pattern, position)
            out.append("[" + pattern[position:end].replace("[", r"\["))
            position = end
        elif character == "\\":
            if position == len(pattern):
                raise ValueError("nothing after the backslash")
            out.append(re.escape(pattern[position]))
            position += 1
        else:
            out.append(re.escape(character))
    return "".join(out) + r"\Z"


def _bracket_end(pattern: str, position: int) -> int:
    start = position + (pattern[position : position + 1] == "^")
    end = pattern.find("]", start + 1)
    if end < 0:
        raise ValueError("'[' without ']'")
    return end + 1
