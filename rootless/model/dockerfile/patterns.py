"""The two kinds of wildcards that Dockerfiles have, as regular expressions. Pure.

`${x#…}`, `${x%…}` and `${x/…}` use the shell's without brackets: "*", "?" and "\\" before one of
them. COPY and ADD use those of Go's path.Match: "*" and "?" stop at "/", and there are brackets.
"""

from __future__ import annotations

import re


def of_substitution(pattern: str, *, greedy: bool) -> re.Pattern[str]:
    """Raises ValueError where a backslash stands before something that needs none."""
    out = []
    rest = iter(pattern)
    for character in rest:
        if character == "*":
            out.append(".*" if greedy else ".*?")
        elif character == "?":
            out.append(".")
        elif character == "\\":
            out.append(_escaped(next(rest, "")))
        else:
            out.append(re.escape(character))
    return re.compile("".join(out), re.DOTALL)


def _escaped(character: str) -> str:
    # "}" and "/" end parts of a substitution, so they may need the backslash.
    if character not in ("*", "?", "\\", "}", "/"):
        raise ValueError(f"a backslash before {character!r}")
    return re.escape(character)


def without_prefix(value: str, pattern: str, *, greedy: bool) -> str:
    """`value` without the shortest or (greedy) the longest beginning that matches."""
    found = of_substitution(pattern, greedy=greedy).match(value)
    return value[found.end() :] if found else value


def without_suffix(value: str, pattern: str, *, greedy: bool) -> str:
    """`value` without the shortest or (greedy) the longest end that matches."""
    whole = of_substitution(pattern, greedy=True)
    starts = range(len(value) + 1) if greedy else range(len(value), -1, -1)
    for start in starts:
        if whole.fullmatch(value, start):
            return value[:start]
    return value


def replaced(value: str, pattern: str, replacement: str, *, everywhere: bool) -> str:
    """`value` with the first match, or every one, replaced."""
    whole = of_substitution(pattern, greedy=True)
    return whole.sub(lambda _: replacement, value, count=0 if everywhere else 1)


def has_wildcards(path: str) -> bool:
    """Whether a source of COPY is a pattern."""
    return any(character in path for character in "*?[\\")


def of_component(pattern: str) -> re.Pattern[str]:
    """One component of a source of COPY, as path.Match has it. Raises ValueError."""
    out = []
    position = 0
    while position < len(pattern):
        character = pattern[position]
        position += 1
        if character == "*":
            out.append("[^/]*")
        elif character == "?":
            out.append("[^/]")
        elif character == "[":
            text, position = _bracket(pattern, position)
            out.append(text)
        elif character == "\\":
            if position == len(pattern):
                raise ValueError("nothing after the backslash")
            out.append(re.escape(pattern[position]))
            position += 1
        else:
            out.append(re.escape(character))
    return re.compile("".join(out) + r"\Z", re.DOTALL)


def _bracket(pattern: str, position: int) -> tuple[str, int]:
    out = "["
    if pattern[position : position + 1] == "^":
        out += "^"
        position += 1
    first = True
    while True:
        if position >= len(pattern):
            raise ValueError("'[' without ']'")
        if pattern[position] == "]" and not first:
            return out + "]", position + 1
        low, position = _bracket_member(pattern, position)
        out += re.escape(low)
        if pattern[position : position + 1] == "-":
            high, position = _bracket_member(pattern, position + 1)
            if high < low:
                raise ValueError(f"the range {low}-{high} is empty")
            out += "-" + re.escape(high)
        first = False


def _bracket_member(pattern: str, position: int) -> tuple[str, int]:
    if pattern[position : position + 1] in ("", "-", "]"):
        raise ValueError("brackets that hold nothing")
    if pattern[position] == "\\":
        position += 1
        if position == len(pattern):
            raise ValueError("nothing after the backslash")
    return pattern[position], position + 1
