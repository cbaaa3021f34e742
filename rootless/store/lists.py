"""Manifest lists that are being put together: one file each, by the name that it has here.

They are not in the store's own index: what is there runs, and a list is only pushed. Each is
{"name", "entries", "annotations"}; an entry is a descriptor of an image index (image-spec,
image-index.md), and for an image that is not in the store, under "rl.source" and "rl.manifest",
where its manifest was found and what it says.
"""

from __future__ import annotations

import hashlib
import os

from rootless.errors import NotFoundError, StoreError
from rootless.model import jsontext
from rootless.store import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from rootless.store.paths import Paths

    Json = dict[str, Any]

SOURCE, MANIFEST = "rl.source", "rl.manifest"


def _path(paths: Paths, name: str) -> str:
    return f"{paths.lists}/{hashlib.sha256(name.encode()).hexdigest()}.json"


def find(paths: Paths, name: str) -> Json | None:
    """The list with the full name `name`. Raises StoreError for a damaged one."""
    path = _path(paths, name)
    try:
        with open(path, "rb", buffering=0) as file:
            document = jsontext.loads(file.read())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise files.explain(error, path) from error
    except ValueError:
        document = None
    if not isinstance(document, dict) or not isinstance(document.get("entries"), list):
        raise StoreError(f"{path}: damaged", hint=f"rl manifest rm {name}")
    return document


def digests(paths: Paths) -> set[str]:
    """The manifests that any list names; a damaged list names none."""
    found: set[str] = set()
    try:
        files_here = os.listdir(paths.lists)
    except FileNotFoundError:
        return found
    for file in files_here:
        try:
            with open(f"{paths.lists}/{file}", "rb", buffering=0) as stream:
                entries = jsontext.loads(stream.read())["entries"]
            found.update(entry["digest"] for entry in entries)
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return found


def require(paths: Paths, name: str) -> Json:
    """As `find`. Raises NotFoundError."""
    found = find(paths, name)
    if found is None:
        raise NotFoundError(f"{name}: no such manifest list", hint=f"rl manifest create {name}")
    return found


def put(paths: Paths, name: str, document: Json) -> None:
    """Keep `document` as the list `name`."""
    files.make_dirs(paths.lists)
    data = jsontext.dumps({**document, "name": name}).encode()
    files.write_atomic(_path(paths, name), data, durable=True)


def change(paths: Paths, name: str, edit: Callable[[Json], None]) -> Json:
    """Let `edit` change the list `name`, while nobody else does. Raises NotFoundError."""
    require(paths, name)
    with files.Lock(f"{paths.locks}/lists"):
        document = require(paths, name)
        edit(document)
        put(paths, name, document)
    return document


def remove(paths: Paths, name: str) -> None:
    """Forget the list `name`. Raises NotFoundError."""
    path = _path(paths, name)
    try:
        os.unlink(path)
    except FileNotFoundError:
        raise NotFoundError(f"{name}: no such manifest list") from None
    except OSError as error:
        raise files.explain(error, path) from error
