"""`rl inspect` and `rl container inspect`."""

from __future__ import annotations

from rootless.cli import inspecting, templates
from rootless.cli.options import Argument, Parsed, Signature, flag, value
from rootless.errors import NotFoundError, RlError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from rootless.cli.container_document import Facts
    from rootless.store.paths import Paths

    Record = dict[str, Any]

_CONTAINER, _IMAGE, _VOLUME = "container", "image", "volume"


def inspect(parsed: Parsed) -> int:
    """Print what is known of containers, images and volumes; looks for them in that order."""
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
    size = parsed.flag("size")
    return inspecting.write_each(parsed, lambda text: _document(places, text, kind, size=size))


def _document(places: Paths, text: str, kind: str, *, size: bool) -> dict[str, Any]:
    from rootless.cli import cmd_images, cmd_volumes

    finders: dict[str, Callable[[], dict[str, Any]]] = {
        _CONTAINER: lambda: _container(places, text, size=size),
        _IMAGE: lambda: cmd_images.document(places, text),
        _VOLUME: lambda: cmd_volumes.document(places, text),
    }
    if kind:
        return finders[kind]()
    for find in finders.values():
        try:
            return find()
        except NotFoundError:
            continue
    hint = "rl ps --all; rl images; rl volume ls"
    raise NotFoundError(f"no such container or image: {text}", hint)


def _container(places: Paths, text: str, *, size: bool) -> dict[str, Any]:
    from rootless.cli import container_document
    from rootless.engine import listing, recover
    from rootless.store import containers

    container_id = containers.find(places, text)
    record = recover.as_it_is(places, containers.read_record(places, container_id))
    document = container_document.build(record, _facts(places, text, record))
    if size:
        own, whole = listing.sizes(places, [record])[container_id]
        document = {**document, "SizeRw": own, "SizeRootFs": whole}
    return document


def _facts(places: Paths, text: str, record: Record) -> Facts:
    from rootless.cli.container_document import Facts
    from rootless.engine import listing, live, logs
    from rootless.store import containers, execs

    found = live.look(places, text, record["id"])
    state = found.state if found else {}
    ports = listing.ports(record, state)
    return Facts(
        state,
        status=live.status(places, record),
        pid=found.pid("init") if found else 0,
        directory=containers.directory(places, record["id"]),
        document=_or_nothing(lambda: containers.read_config(places, record["id"])),
        image=_or_nothing(lambda: _image_config(places, record)),
        ports=[{name: getattr(port, name) for name in port.__slots__} for port in ports],
        log_path=logs.path_of(places, record),
        layers=_layers(containers.directory(places, record["id"])),
        addresses=_addresses(record),
        exec_ids=list(execs.of_container(places, record["id"])),
    )


def _layers(directory: str) -> list[str]:
    """The image's layers below a container's own, the highest first."""
    import os

    try:
        links = sorted(os.listdir(f"{directory}/l"), key=lambda name: (len(name), name))
        # One that is relative is for an image file, which is mounted while the container runs.
        found = [os.readlink(f"{directory}/l/{name}") for name in links]
        return [
            os.path.normpath(f"{directory}/l/{path}") if path[0] == "." else path for path in found
        ]
    except OSError:
        return []  # removed meanwhile


def _or_nothing(read: Callable[[], Record]) -> Record:
    """What `read` gives; nothing where it is not there any more, or damaged."""
    try:
        return read()
    except RlError:
        return {}


def _image_config(places: Paths, record: Record) -> Record:
    from rootless.store import images

    if not record["manifest"]:
        from rootless.engine import image_files

        return image_files.section_of(record)
    config = images.load(places, {"digest": record["manifest"]}).config.get("config")
    return config if isinstance(config, dict) else {}


def _addresses(record: Record) -> dict[str, str]:
    """The container's own address, and that of its way out; what its driver hands out."""
    from rootless.model import network
    from rootless.net import drivers

    try:
        driver = drivers.make(network.parse_network(network.of_record(record)), [])
    except RlError:
        return {"host": "", "gateway": ""}
    return {"host": driver.container_address or "", "gateway": driver.gateway or ""}


_SIZE = flag("-s --size", "Also the sizes of the writable layer, and with the image")

INSPECT = Signature(
    inspect,
    "Print containers, images and volumes as JSON.",
    (
        templates.FORMAT,
        value("--type", "TYPE", "Only look for that", choices=(_CONTAINER, _IMAGE, _VOLUME)),
        _SIZE,
    ),
    (Argument("NAME", 1, None),),
    examples=(
        "rl inspect web",
        "rl inspect --format '{{.State.Pid}}' web",
        "rl inspect -f '{{range .Mounts}}{{.Source}} {{end}}' web",
    ),
)

INSPECT_CONTAINER = Signature(
    inspect_containers,
    "Print containers as JSON.",
    (templates.FORMAT, _SIZE),
    (Argument("CONTAINER", 1, None),),
)
