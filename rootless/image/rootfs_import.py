"""`rl import`: an image of one layer, out of the tar archive of a root file system."""

from __future__ import annotations

import os
import time

from rootless import log
from rootless.errors import NotFoundError, RegistryError, RlError
from rootless.image import make, tag
from rootless.image.layer_writer import LayerWriter
from rootless.model import image_change, image_config
from rootless.store import blobs, events, files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless.image.make import MadeImage
    from rootless.model.platform import Platform
    from rootless.store.paths import Paths

_STDIN = 0
_PIECE = 1 << 18


def import_rootfs(
    paths: Paths,
    source: str,
    name: str,
    platform: Platform,
    *,
    message: str = "",
    changes: Sequence[str] = (),
) -> MadeImage:
    """Make an image of `source`: a file, a URL (http, https) or "-", standard input.

    name: "" for none. platform: what is in it is for. changes: instructions (model.image_change).
    Raises NotFoundError, RegistryError, ImageError, UsageError, StoreError.
    """
    wanted = image_change.parse(changes)
    names = [tag.new_name(name)] if name else []
    config = image_config.with_changes(image_config.scratch(platform.as_document()), wanted)
    blobs.ensure_layout(paths)
    with LayerWriter(paths) as writer:
        fd = _open(source, writer)
        try:
            layer = writer.from_archive(fd, source)
        finally:
            if fd != _STDIN:
                os.close(fd)
        for note in layer.notes:
            log.notice(note)
        step = image_config.Step(
            image_config.created_text(time.time_ns()), "",
            comment=message or f"Imported from {source}",
        )  # fmt: skip
        config = image_config.with_step(config, step, layer.diff_id)
        made = make.make(paths, config, [layer.descriptor], names, fresh=[layer])
    events.emit(paths, events.IMAGE, "import", made.image_id, {"name": source})
    return made


def _open(source: str, writer: LayerWriter) -> int:
    if source == "-":
        return _STDIN
    if source.startswith(("http://", "https://")):
        return _fetch(source, writer.file())
    try:
        return os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise NotFoundError(f"{source}: no such file") from None
    except OSError as error:
        raise RlError(f"{source}: {error.strerror}") from error


def _fetch(url: str, path: str) -> int:
    """The file `path`, with what is at `url`, from its beginning."""
    from rootless.image import http, urls

    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    client = http.Client()
    try:
        # A host that was named with http:// is asked so.
        insecure = url.startswith("http://")
        with client.open(url, {}, insecure=insecure) as response:
            if response.status != 200:
                raise RegistryError(f"{urls.shown_url(url)}: HTTP {response.status}")
            while data := response.read_some(_PIECE):
                _write_all(fd, data, path)
        os.lseek(fd, 0, os.SEEK_SET)
    except BaseException:
        os.close(fd)
        raise
    finally:
        client.close()
    return fd


def _write_all(fd: int, data: bytes, path: str) -> None:
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(fd, view) :]
    except OSError as error:
        raise files.explain(error, path) from error
