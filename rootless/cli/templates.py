"""`--format` of `rl inspect`: json, or a text with fields such as {{.State.OOMKilled}}.

Of Go's text/template only that: no functions, no conditions, no loops.
"""

from __future__ import annotations

import re

from rootless.cli import output
from rootless.cli.options import value
from rootless.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FORMAT = value("-f --format", "FORMAT", "json, or a text with fields: {{.State.Status}}")

_ACTION = re.compile(r"\{\{(.*?)\}\}")
_FIELD = re.compile(r"\s*((?:\.\w+)+)\s*")


def write_documents(documents: list[dict[str, Any]], template: str) -> None:
    """Print `documents` as one array, or a line for each with a template. Raises UsageError."""
    if template in ("", "json"):
        output.write_json(documents)
        return
    for line in [fill(template, document) for document in documents]:
        output.write_line(line)


def fill(template: str, document: dict[str, Any]) -> str:
    """`template` with its fields taken from `document`. Raises UsageError."""
    if "{{" not in template:
        raise UsageError(f"--format {template}: names no field", hint="--format '{{.Name}}'")
    return _ACTION.sub(lambda found: _field(template, found.group(1), document), template)


def _field(template: str, action: str, document: dict[str, Any]) -> str:
    match = _FIELD.fullmatch(action)
    if match is None:
        raise UsageError(
            f"--format {template}: only fields are known, not {action.strip()!r}",
            hint="--format '{{.State.Status}}', or json",
        )
    found: Any = document
    for name in match.group(1)[1:].split("."):
        if not isinstance(found, dict) or name not in found:
            raise UsageError(f"--format {template}: there is no {match.group(1)}", "--format json")
        found = found[name]
    if isinstance(found, (dict, list)):
        raise UsageError(
            f"--format {template}: {match.group(1)} is no single value", "--format json"
        )
    return str(found).lower() if isinstance(found, bool) else str("" if found is None else found)
