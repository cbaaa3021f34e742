"""Names of entries in a layer's archive: cleaned, or refused. Pure.

Absolute names are taken relative to the layer's root, as docker does; `..` is refused wherever it
stands, since no honest writer of layers uses it.
"""

from __future__ import annotations

import re

from rootless.errors import ImageError
from rootless.image.tarentry import shown

# A component that is empty, "." or "..", or a NUL: such a name needs a closer look.
_UNUSUAL = re.compile(rb"(?:^|/)\.{0,2}(?:/|$)|\0")
MAX_PATH = 4095
_MAX_NAME = 255


def clean(name: bytes, entry_name: bytes) -> bytes:
    """`name` relative to the layer's root, without odd components; "" is the root itself.

    Raises ImageError that names the entry `entry_name`, for whose sake `name` is looked at.
    """
    if name.startswith(b"./"):
        name = name[2:]
    if name.endswith(b"/"):
        name = name[:-1]
    if _UNUSUAL.search(name):
        name = _normalized(name, entry_name)
    if len(name) > _MAX_NAME and (
        len(name) > MAX_PATH or max(map(len, name.split(b"/"))) > _MAX_NAME
    ):
        raise ImageError(f"{shown(entry_name)}: the name is too long")
    return name


def _normalized(name: bytes, entry_name: bytes) -> bytes:
    if b"\0" in name:
        raise ImageError(f"{shown(entry_name)}: a NUL in a name")
    components = [part for part in name.split(b"/") if part not in (b"", b".")]
    if b".." in components:
        raise ImageError(f"{shown(entry_name)}: '..' in a name ({shown(name)})")
    return b"/".join(components)
