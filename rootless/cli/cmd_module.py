"""`rl module ls` and `rl module inspect`: what site modules there are, and what they add."""

from __future__ import annotations

import os

from rootless.cli import output
from rootless.cli.options import Argument, Parsed, Signature

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.model.sitemodule import SiteModule


def show(parsed: Parsed) -> int:
    """List the modules, and which of them every container gets here by itself."""
    from rootless.engine import modules

    listed = modules.listed()
    rows = []
    for name in modules.names():
        module = modules.load(name)
        is_auto = name in listed and modules.holds(module, os.environ)
        rows.append([name, "yes" if is_auto else "no", module.path, module.description])
    output.write_table(["NAME", "AUTO", "FILE", "DESCRIPTION"], rows)
    return 0


def inspect(parsed: Parsed) -> int:
    """Print modules as an array of JSON documents."""
    from rootless.engine import modules

    output.write_json([_document(modules.load(name)) for name in parsed.arguments])
    return 0


def _document(module: SiteModule) -> dict[str, Any]:
    names = (name for name in module.__slots__ if name not in ("is_system", "path"))
    return {"file": module.path, **{name: getattr(module, name) for name in names}}


LIST = Signature(show, "List site modules (docs/site.md).", ())

INSPECT = Signature(
    inspect,
    "Print site modules as JSON.",
    (),
    (Argument("MODULE", 1, None),),
)
