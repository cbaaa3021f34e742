"""Templates as docker and podman take them for --format: Go's text/template.

Sources: the documentation of Go's packages text/template and fmt, and docker's "Format command and
log output" for its functions. Left out: `define`, `template`, `block`, imaginary numbers, calling
of functions that are data.
"""

from __future__ import annotations

from rootless.model.gotemplate import parser
from rootless.model.gotemplate.evaluator import Evaluator
from rootless.model.gotemplate.functions import FUNCTIONS, HEADING_FUNCTIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Template:
    """A template that was read. Raises TemplateError where it is none."""

    __slots__ = ("_nodes", "_source")

    def __init__(self, source: str) -> None:
        self._source = source
        self._nodes = parser.parse(source, FUNCTIONS)

    def fill(self, data: Any, clean: Callable[[str], str] = str) -> str:
        """The text for `data` (see `values`). clean: applied to each printed value, not to the
        template's own text. Raises TemplateError."""
        return Evaluator(self._source, FUNCTIONS, clean).run(self._nodes, data)

    def heading(self, names: Any) -> str:
        """The text for the names of the columns: functions that change a text leave them alone."""
        return Evaluator(self._source, HEADING_FUNCTIONS, str).run(self._nodes, names)
