"""`--format`: json, a table with columns of one's own, or a Go template, as docker takes it."""

from __future__ import annotations

import sys
from operator import itemgetter

from rootless.cli import output
from rootless.cli.diagnostics import harmless
from rootless.cli.options import value
from rootless.model.gotemplate.errors import TemplateError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from rootless.model.gotemplate.template import Template
    from rootless.model.gotemplate.values import View

FORMAT = value("-f --format", "FORMAT", "json, or a Go template: '{{.State.Status}}'")
LIST_FORMAT = value(
    "--format", "FORMAT", "json, a Go template: '{{.ID}}', or 'table' and one: 'table {{.ID}}\\t…'"
)
_TABLE = "table"
# docker's, for a template of `inspect` that is none.
EXIT_TEMPLATE = 64
_WRITTEN_OUT = (("\\t", "\t"), ("\\n", "\n"))


def write_documents(documents: Sequence[Any], form: str) -> None:
    """Print `documents` as one array, indented or with `json` in a line; with a template a line
    for each. Raises TemplateError, before anything is printed."""
    if not form:
        output.write_json(documents)
    elif form == "json":
        from rootless.model.gotemplate import gojson

        sys.stdout.write(f"{gojson.compact(list(documents))}\n")
    else:
        template = _inspecting(form)
        sys.stdout.write("".join(f"{template.fill(one, clean)}\n" for one in documents))


def write_document(document: dict[str, Any], form: str) -> None:
    """Print the one `document` of `rl info` or `rl version`. Raises TemplateError."""
    if form == "json":
        output.write_json(document)
        return
    from rootless.cli.typed_document import typed
    from rootless.model.gotemplate.template import Template

    sys.stdout.write(f"{Template(form).fill(typed(document), clean)}\n")


def _inspecting(form: str) -> Template:
    from rootless.model.gotemplate.template import Template

    try:
        return Template(form)
    except TemplateError as error:
        error.exit_code = EXIT_TEMPLATE
        raise


def write_listing(
    form: str, columns: Sequence[str], rows: Sequence[View], heads: Mapping[str, str]
) -> None:
    """Print `rows`: as a table with the fields `columns`, or as the template `form` has it.

    heads: what stands over a field in a table. Raises TemplateError.
    """
    if form in ("", _TABLE):
        output.write_table([heads[name] for name in columns], cells(columns, rows))
        return
    from rootless.model.gotemplate.template import Template

    is_table = form.startswith(_TABLE)
    text = form.removeprefix(_TABLE).strip(" ") if is_table else form
    for written, meant in _WRITTEN_OUT:
        text = text.replace(written, meant)
    template = Template(text)
    lines = [template.fill(row, clean) for row in rows]
    if is_table:
        lines = _aligned([template.heading(_heading(heads)), *lines])
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def cells(columns: Sequence[str], rows: Sequence[View]) -> list[list[str]]:
    """The texts of the fields `columns`."""
    return [[str(row.fields[name](row.subject)) for name in columns] for row in rows]


def _heading(heads: Mapping[str, str]) -> View:
    from rootless.model.gotemplate.values import View

    fields = {name: itemgetter(name) for name in heads}
    return View("heading", heads, fields, {"Label": lambda _, name: _label_head(name)})


def _label_head(name: str) -> str:
    """docker's: the last part of the label's name, with spaces."""
    return name.rpartition(".")[2].replace("-", " ").replace("_", " ")


def _aligned(lines: Sequence[str]) -> list[str]:
    rows = [line.split("\t") for text in lines for line in text.split("\n")]
    width = max(map(len, rows))
    return output.table_lines([row + [""] * (width - len(row)) for row in rows])


def clean(text: str) -> str:
    """A value without control characters, but for the ends of lines and tabs."""
    if text.isprintable():
        return text
    return "".join(one if one in "\n\t" else harmless(one) for one in text)
