"""The layers of an image compressed otherwise, for a push: the same image in another manifest.

Each layer that is not packed as wished is unpacked, hashed and packed again into a nameless file.
Its plain bytes must have the digest that the configuration has for it, so that what goes out is
what the image says; the configuration, and with it the image's id, does not change.
"""

from __future__ import annotations

import os

from rootless.errors import StoreError
from rootless.image import decompress
from rootless.image.layer_stream import LayerStream, media_type
from rootless.image.openblobs import Blob
from rootless.model import digest as digests
from rootless.model import image_config, media
from rootless.store import blobs, files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.image.openblobs import OpenBlobs
    from rootless.image.progress import Progress
    from rootless.store.paths import Paths


def repack(
    paths: Paths, manifest_digest: str, opened: OpenBlobs, compression: str, progress: Progress
) -> bytes:
    """The manifest of the image with all layers packed by `compression` ("gzip" or "zstd").

    `opened` has the image's blobs, and afterwards those that the new manifest names. Raises
    UsageError where the manifest's format has no such compression, StoreError for a damaged blob
    or a full disk.
    """
    what = f"image {manifest_digest}"
    document = media.parse_json(blobs.read(paths, manifest_digest), what)
    is_docker = media.media_type_of(document, "", what) == media.DOCKER_MANIFEST
    kind = media_type(compression, docker=is_docker)
    diff_ids = media.diff_ids(
        media.parse_config(blobs.read(paths, document["config"]["digest"]), what), what
    )
    fresh: dict[str, Blob] = {}
    for layer, diff_id in zip(document["layers"], diff_ids, strict=True):
        blob = opened.take(layer["digest"])
        if blob is None:  # a layer that occurs twice
            blob = fresh[layer["digest"]]
        elif decompress.compression_of(blob.read(0, min(4, blob.size))) != compression:
            old, blob = blob, _packed(paths, blob, diff_id, compression, progress)
            os.close(old.fd)
        fresh.setdefault(layer["digest"], blob)
        if blob.digest != layer["digest"]:
            layer.update({"mediaType": kind, "digest": blob.digest, "size": blob.size})
    opened.blobs += list({id(blob): blob for blob in fresh.values()}.values())
    return image_config.canonical(document)


def _packed(paths: Paths, blob: Blob, diff_id: str, compression: str, progress: Progress) -> Blob:
    progress.message(f"{digests.short(blob.digest)}: packing with {compression}")
    fd = files.nameless(paths.tmp)
    try:
        stream = LayerStream(fd, compression)
        try:
            os.lseek(blob.fd, 0, os.SEEK_SET)
            for piece in decompress.pieces(blob.fd):
                stream.write(piece)
            stream.finish()
        finally:
            stream.close()
        if stream.diff_id != diff_id:
            raise StoreError(f"{blob.path}: damaged, its content has another digest",
                             hint="rl rmi --force IMAGE, then rl pull IMAGE")  # fmt: skip
    except OSError as error:
        os.close(fd)
        raise files.explain(error, f"{paths.tmp}/packed") from error
    except BaseException:
        os.close(fd)
        raise
    return Blob(stream.digest, stream.size, fd, blob.path)
