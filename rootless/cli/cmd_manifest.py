"""`rl manifest`: images of several platforms under one name."""

from __future__ import annotations

from rootless.cli import cmd_push, output, registry_options, removal
from rootless.cli.options import Argument, Option, Parsed, Signature, flag, repeat, value
from rootless.errors import EXIT_ENGINE, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.image.manifest_list import Change
    from rootless.image.push import Wishes
    from rootless.store.paths import Paths


def _access(parsed: Parsed) -> Wishes:
    from rootless.image.push import Wishes

    insecure, credentials = registry_options.access(parsed)
    return Wishes(insecure=insecure, credentials=credentials)


def _places() -> Paths:
    from rootless.store import paths

    return paths.discover()


def _name(parsed: Parsed) -> str:
    from rootless.image.tag import new_name

    return new_name(parsed.arguments[0])


def _change(parsed: Parsed) -> Change:
    from rootless.image.manifest_list import Change

    platform: dict[str, Any] = {
        "os": parsed.text("os"), "architecture": parsed.text("arch"),
        "variant": parsed.text("variant"), "os.version": parsed.text("os-version"),
        "os.features": parsed.split("os-features"), "features": parsed.split("features"),
    }  # fmt: skip
    return Change(platform, _annotations(parsed))


def _annotations(parsed: Parsed) -> dict[str, str]:
    found = {}
    for text in parsed.all("annotation"):
        key, equals, content = text.partition("=")
        if not key or not equals:
            raise UsageError(f"--annotation {text}: the form is KEY=VALUE")
        found[key] = content
    return found


def _say(index: bytes) -> int:
    from rootless.model import digest as digests

    output.write_line(digests.of(index))
    return 0


def create(parsed: Parsed) -> int:
    """Begin a list, and add the images that are named; its digest is printed."""
    from rootless.image import manifest_list
    from rootless.store import lists

    places, wishes = _places(), _access(parsed)
    name = manifest_list.create(places, parsed.arguments[0], amend=parsed.flag("amend"))
    nothing = manifest_list.Change({}, {})
    for image in parsed.arguments[1:]:
        manifest_list.add(places, name, image, nothing, wishes, every=parsed.flag("all"))
    return _say(manifest_list.index_of(lists.require(places, name)))


def add(parsed: Parsed) -> int:
    """Add images to a list; the digest that it has then is printed."""
    from rootless.image import manifest_list

    wishes, change, index = _access(parsed), _change(parsed), b""
    for image in parsed.arguments[1:]:
        index = manifest_list.add(
            _places(), _name(parsed), image, change, wishes, every=parsed.flag("all")
        )
    return _say(index)


def annotate(parsed: Parsed) -> int:
    """Change what a list says of an image."""
    from rootless.image import manifest_list

    return _say(
        manifest_list.annotate(_places(), _name(parsed), parsed.arguments[1], _change(parsed))
    )


def remove(parsed: Parsed) -> int:
    """Take one image out of a list."""
    from rootless.image import manifest_list

    return _say(manifest_list.remove_entry(_places(), _name(parsed), parsed.arguments[1]))


def inspect(parsed: Parsed) -> int:
    """Print a list of ours, else what the registry has under the name."""
    import json

    from rootless.image import manifest_list
    from rootless.store import lists

    places, text = _places(), parsed.arguments[0]
    found = None if text.startswith("docker://") or "@" in text else lists.find(
        places, _name(parsed)
    )  # fmt: skip
    data = manifest_list.index_of(found) if found else _from_registry(parsed, text)
    output.write_json(json.loads(data))
    return 0


def _from_registry(parsed: Parsed, text: str) -> bytes:
    """The first registry's that may be meant; what is below localhost is the store's."""
    from rootless.image import manifest_list, registries_config, resolve
    from rootless.model import reference as references
    from rootless.store import blobs

    place = references.parse_source(text)
    if isinstance(place, references.OciPath):
        raise UsageError(f"{text}: not in a registry")
    local = resolve.find_local(_places(), text)
    if local is not None and local.name.startswith("localhost/"):
        return blobs.read(_places(), local.manifest_digest)
    candidate = registries_config.candidates(place)[0]
    return manifest_list.fetch(candidate, _access(parsed))[1]


def exists(parsed: Parsed) -> int:
    """Exit code 0 when there is such a list, else 1."""
    from rootless.store import lists

    return 0 if lists.find(_places(), _name(parsed)) is not None else 1


def push(parsed: Parsed) -> int:
    """Push a list; its digest on standard output."""
    from rootless.cli import progress
    from rootless.image import manifest_list
    from rootless.image import push as image_push
    from rootless.store import lists

    places, name = _places(), _name(parsed)
    destination = "".join(parsed.arguments[1:])
    wishes = _access(parsed)
    with progress.choose(quiet=parsed.flag("quiet"), doing="pushing") as shown:
        wishes.progress = shown
        pushed = manifest_list.push_list(
            places, name, destination, wishes,
            every=parsed.flag("all"), docker=parsed.text("format") != "oci",
        )  # fmt: skip
    cmd_push.write_digest(parsed.text("digestfile"), pushed.digest)
    if parsed.flag("rm"):
        lists.remove(places, name)
    quiet = parsed.flag("quiet")
    output.write_line(pushed.digest if quiet else image_push.shown_digest(pushed))
    return 0


def forget(parsed: Parsed) -> int:
    """Forget lists; goes on after an error."""
    from rootless.image.tag import new_name
    from rootless.store import lists

    places = _places()

    def one(text: str) -> list[str]:
        name = new_name(text)
        lists.remove(places, name)
        return [f"Untagged: {name}"]

    return removal.remove_each(parsed.arguments, one, gone_is_well=False)


def _platform_options() -> tuple[Option, ...]:
    return (
        value("--arch", "ARCH", "Architecture of the image"),
        value("--os", "OS", "Operating system of the image"),
        value("--variant", "VARIANT", "Variant of the architecture"),
        value("--os-version", "VERSION", "Version of the operating system"),
        repeat("--os-features", "FEATURE", "Features of the operating system"),
        repeat("--features", "FEATURE", "Features of the processor"),
        repeat("--annotation", "KEY=VALUE", "Annotation of the image in the list"),
    )


_LIST, _IMAGE = Argument("LIST"), Argument("IMAGE")

CREATE = Signature(
    create,
    "Begin a manifest list, of IMAGEs of the store or of registries.",
    (
        flag("-a --amend", "Go on with a list that is there"),
        flag("--all", "Of an IMAGE for several platforms all, not only this machine's"),
        *registry_options.ACCESS,
    ),
    (_LIST, Argument("IMAGE", 0, None)),
    error_code=EXIT_ENGINE,
    examples=("rl manifest create app:1.2 app:1.2-amd64 docker://quay.io/me/app:1.2-arm64",),
)

ADD = Signature(
    add,
    "Add images to a manifest list. docker://NAME is one of a registry in any case.",
    (
        flag("--all", "Of an IMAGE for several platforms all, not only this machine's"),
        *_platform_options(),
        *registry_options.ACCESS,
    ),
    (_LIST, Argument("IMAGE", 1, None)),
    error_code=EXIT_ENGINE,
)

ANNOTATE = Signature(
    annotate,
    "Change what a manifest list says of an image.",
    _platform_options(),
    (_LIST, _IMAGE),
    error_code=EXIT_ENGINE,
)

REMOVE = Signature(
    remove, "Take an image out of a manifest list.", (), (_LIST, _IMAGE), error_code=EXIT_ENGINE
)

INSPECT = Signature(
    inspect,
    "Print a manifest list that is put together here, else what a registry has under the name.",
    registry_options.ACCESS,
    (Argument("NAME"),),
    error_code=EXIT_ENGINE,
)

EXISTS = Signature(exists, "Exit with 0 when there is such a manifest list.", (), (_LIST,))

PUSH = Signature(
    push,
    "Send a manifest list, and the images that it names, to a registry.",
    (
        flag("--all", "The images too, not only the list", default=True),
        flag("--rm -p --purge", "Forget the list once it is there"),
        value("-f --format", "FORMAT", "Kind of list", default="oci", choices=("oci", "v2s2")),
        cmd_push.DIGEST_FILE,
        flag("-q --quiet", "Print only the digest"),
        *registry_options.ACCESS,
    ),
    (_LIST, Argument("DESTINATION", 0, 1)),
    error_code=EXIT_ENGINE,
    examples=("rl manifest push app:1.2 registry.example.org/team/app:1.2",),
)

RM = Signature(forget, "Forget manifest lists.", (), (Argument("LIST", 1, None),))
