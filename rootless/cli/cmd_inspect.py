"""`rl inspect` and `rl container inspect`."""

from __future__ import annotations

from rootless.cli import templates
from rootless.cli.options import Argument, Parsed, Signature, value
from rootless.errors import NotFoundError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.store.paths import Paths

_CONTAINER, _IMAGE = "container", "image"


def inspect(parsed: Parsed) -> int:
    """Print what is known of containers and images; a container comes first."""
    return _write(parsed, parsed.text("type"))


def inspect_containers(parsed: Parsed) -> int:
    """Print what is known of containers."""
    return _write(parsed, _CONTAINER)


def _write(parsed: Parsed, kind: str) -> int:
    from rootless.engine import recover
    from rootless.store import paths

    places = paths.discover()
    recover.tidy(places)
    recover.heal_records(places)
    documents = [_document(places, text, kind) for text in parsed.arguments]
    templates.write_documents(documents, parsed.text("format"))
    return 0


def _document(places: Paths, text: str, kind: str) -> dict[str, Any]:
    if kind == _CONTAINER:
        return _container(places, text)
    from rootless.cli import cmd_images

    if kind == _IMAGE:
        return cmd_images.document(places, text)
    try:
        return _container(places, text)
    except NotFoundError:
        pass
    try:
        return cmd_images.document(places, text)
    except NotFoundError as error:
        raise NotFoundError(
            f"no such container or image: {text}", "rl ps --all; rl images"
        ) from error


def _container(places: Paths, text: str) -> dict[str, Any]:
    from rootless.cli import container_document
    from rootless.engine import live
    from rootless.store import containers

    container_id = containers.find(places, text)
    record = containers.read_record(places, container_id)
    found = live.look(places, text, container_id)
    return container_document.build(
        record,
        found.state if found else {},
        status=live.status(places, record),
        pid=found.pid("init") if found else 0,
    )


INSPECT = Signature(
    inspect,
    "Print containers and images as JSON.",
    (
        templates.FORMAT,
        value("--type", "TYPE", "Only look for that", choices=(_CONTAINER, _IMAGE)),
    ),
    (Argument("NAME", 1, None),),
    examples=("rl inspect web", "rl inspect --format '{{.State.OOMKilled}}' web"),
)

INSPECT_CONTAINER = Signature(
    inspect_containers,
    "Print containers as JSON.",
    (templates.FORMAT,),
    (Argument("CONTAINER", 1, None),),
)
