"""`rl diff` and `rl export`."""

from __future__ import annotations

from rootless.cli import output
from rootless.cli.options import Argument, Parsed, Signature, value

# podman-diff(1), "--format".
_WORDS = {"C": "changed", "A": "added", "D": "deleted"}
_STDOUT = 1


def diff(parsed: Parsed) -> int:
    """List what a container has changed."""
    from rootless.engine import changes, recover
    from rootless.store import paths

    places = paths.discover()
    recover.tidy(places)
    found = changes.of_container(places, parsed.arguments[0])
    if parsed.text("format"):
        by_word: dict[str, list[str]] = {}
        for kind, path in found:
            by_word.setdefault(_WORDS[kind], []).append(path)
        output.write_json(by_word)
        return 0
    for kind, path in found:
        output.write_line(f"{kind} {path}")
    return 0


def export(parsed: Parsed) -> int:
    """Write the archive to a file or to standard output."""
    from rootless.engine import export as engine_export
    from rootless.engine import recover
    from rootless.store import paths

    container = parsed.arguments[0]
    target = parsed.text("output")
    if not target:
        output.refuse_terminal("rl export", f"rl export -o {container}.tar {container}")
    places = paths.discover()
    recover.tidy(places)
    if target:
        engine_export.to_file(places, container, target)
    else:
        engine_export.to_descriptor(places, container, _STDOUT)
    return 0


DIFF = Signature(
    diff,
    "List what a container has added (A), changed (C) and deleted (D) in its image's files.",
    (value("--format", "FORMAT", "json for a document", choices=("json",)),),
    (Argument("CONTAINER"),),
)

EXPORT = Signature(
    export,
    "Write a container's root file system, without its volumes, as a tar archive.",
    (value("-o --output", "FILE", "Write to FILE instead of standard output"),),
    (Argument("CONTAINER"),),
    examples=("rl export -o web.tar web", "rl export web | gzip > web.tar.gz"),
)
