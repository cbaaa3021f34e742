"""Names of images: `index.json` of the OCI image layout (image-spec, image-index.md).

One descriptor for each name; the name is the annotation org.opencontainers.image.ref.name and is
always full (`docker.io/library/alpine:latest`). A descriptor without that annotation is an image
that lost its name to another (dangling). Readers take no lock: the file is replaced by rename(2).
"""

from __future__ import annotations

from rootless.errors import StoreError
from rootless.model import jsontext
from rootless.store import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from rootless.store.paths import Paths

    Descriptor = dict[str, Any]

REF_NAME = "org.opencontainers.image.ref.name"
_INDEX_TYPE = "application/vnd.oci.image.index.v1+json"


def entries(paths: Paths) -> list[Descriptor]:
    """All descriptors, dangling ones included; an empty list when there is no store yet."""
    try:
        with open(paths.index, "rb", buffering=0) as file:
            manifests = jsontext.loads(file.read())["manifests"]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise files.explain(error, paths.index) from error
    except (ValueError, KeyError, TypeError):
        manifests = None
    if isinstance(manifests, list) and all(isinstance(entry, dict) for entry in manifests):
        return manifests
    raise StoreError(
        f"{paths.index}: not an OCI image index",
        hint=f"mv {paths.index} {paths.index}.damaged  # and pull the images again",
    )


def visible(paths: Paths) -> list[tuple[Descriptor, bool]]:
    """What commands show and find: the own descriptors, then those of additional stores that no
    name or manifest of ours hides; and whether it is another store's."""
    found = [(entry, False) for entry in entries(paths)]
    for other in paths.additional:
        names_taken = {name_of(entry) for entry, _ in found}
        digests_taken = {entry.get("digest") for entry, _ in found}
        found += [
            (entry, True)
            for entry in entries(other)
            if (name_of(entry) or entry.get("digest")) not in names_taken | digests_taken
        ]
    return found


def name_of(descriptor: Descriptor) -> str:
    """The full name, empty for a dangling image."""
    name = (descriptor.get("annotations") or {}).get(REF_NAME, "")
    return name if isinstance(name, str) else ""


def names(paths: Paths) -> list[tuple[str, Descriptor]]:
    """(full name, descriptor) of every image that has a name, in the order of the file."""
    return [(name_of(entry), entry) for entry in entries(paths) if name_of(entry)]


def find(paths: Paths, name: str) -> Descriptor | None:
    """The descriptor of full name `name`."""
    for entry in entries(paths):
        if name_of(entry) == name:
            return entry
    return None


def set_name(
    paths: Paths,
    name: str,
    manifest_digest: str,
    *,
    media_type: str,
    size: int,
    platform: dict[str, Any] | None = None,
) -> None:
    """Let `name` mean the manifest; the image that had the name stays, dangling.

    name: "" to list an image without one, unless it is there with a name already.
    media_type and size (bytes) are the manifest's; platform is the object of the image index.
    The caller holds `guard.adding`.
    """
    descriptor: Descriptor = {"mediaType": media_type, "digest": manifest_digest, "size": size}
    if platform:
        descriptor["platform"] = platform
    if name:
        descriptor["annotations"] = {REF_NAME: name}

    def change(old: list[Descriptor]) -> list[Descriptor]:
        return _without_spare([*(_untagged(entry, name) for entry in old), descriptor])

    _update(paths, change)


def _untagged(entry: Descriptor, name: str) -> Descriptor:
    if not name or name_of(entry) != name:
        return entry
    annotations = {key: text for key, text in entry["annotations"].items() if key != REF_NAME}
    rest = {key: value for key, value in entry.items() if key != "annotations"}
    return {**rest, "annotations": annotations} if annotations else rest


def _without_spare(descriptors: list[Descriptor]) -> list[Descriptor]:
    """Drop nameless descriptors of manifests that also have a name or came before."""
    seen = {entry.get("digest") for entry in descriptors if name_of(entry)}
    kept = []
    for entry in descriptors:
        if name_of(entry):
            kept.append(entry)
        elif entry.get("digest") not in seen:
            seen.add(entry.get("digest"))
            kept.append(entry)
    return kept


def remove_name(paths: Paths, name: str) -> None:
    """Take the descriptor with `name` out; the manifest's other names stay."""
    _update(paths, lambda old: [entry for entry in old if name_of(entry) != name])


def release_name(paths: Paths, name: str) -> None:
    """Take `name` from its image, which stays: dangling, when that was its last name."""
    _update(paths, lambda old: _without_spare([_untagged(entry, name) for entry in old]))


def remove_manifest(paths: Paths, manifest_digest: str) -> None:
    """Take every descriptor of the manifest out, named or dangling."""
    _update(paths, lambda old: [entry for entry in old if entry.get("digest") != manifest_digest])


def _update(paths: Paths, change: Callable[[list[Descriptor]], list[Descriptor]]) -> None:
    with files.Lock(f"{paths.locks}/index"):
        document = {
            "schemaVersion": 2,
            "mediaType": _INDEX_TYPE,
            "manifests": change(entries(paths)),
        }
        files.write_atomic(paths.index, jsontext.dumps(document).encode(), durable=True)
