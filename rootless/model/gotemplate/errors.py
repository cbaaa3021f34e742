"""What is wrong with a template, or with what it asks of the data, and where."""

from __future__ import annotations

from rootless.errors import RlError


class TemplateError(RlError):
    """A template that cannot be read or filled; the message has Go's words and the position."""


class CallError(Exception):
    """A function of a template refuses its arguments; the evaluator adds the position."""


def where(source: str, position: int) -> str:
    """`LINE:COLUMN` of a character, as text/template counts: lines from 1, columns from 0."""
    before = source[:position]
    return f"{before.count(chr(10)) + 1}:{position - before.rfind(chr(10)) - 1}"


def parse_error(source: str, position: int, reason: str) -> TemplateError:
    """For a template that breaks the grammar."""
    return TemplateError(f"template parsing error: template: :{where(source, position)}: {reason}")
