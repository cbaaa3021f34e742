"""What the commands called `inspect` have in common."""

from __future__ import annotations

from rootless.cli import diagnostics, templates
from rootless.errors import RlError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from rootless.cli.options import Parsed


def write_each(parsed: Parsed, find: Callable[[str], dict[str, Any]]) -> int:
    """Print what `find` knows of each argument; after what was found, the errors for the rest.

    The exit code of the first error.
    """
    from rootless.cli.typed_document import typed

    found, errors = [], []
    for text in parsed.arguments:
        try:
            found.append(typed(find(text)))
        except RlError as error:
            errors.append(error)
    # As docker: an array is printed also when it is empty.
    templates.write_documents(found, parsed.text("format"))
    codes = [diagnostics.complain(error) for error in errors]
    return next(filter(None, codes), 0)
