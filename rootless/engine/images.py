"""The image of a run: found in the store, or brought there, and what a plan wants to know of it."""

from __future__ import annotations

import os
import stat

from rootless import log
from rootless.engine.plan import ImageFacts
from rootless.errors import EXIT_ENGINE, NotFoundError, StoreError, UsageError
from rootless.image import anew, resolve
from rootless.store import images
from rootless.store import layers as layer_trees

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.image.progress import Progress
    from rootless.model.container import ContainerSpec
    from rootless.store.images import StoredImage
    from rootless.store.paths import Paths

# A passwd or group file beyond this is nobody's honest one.
_MAX_FILE = 1 << 20
# image-spec, image-layout.md; as model.reference has it.
_LAYOUT = "oci:"


def find(paths: Paths, text: str) -> StoredImage | None:
    """The stored image that `text` means, None when there is none, or for `oci:DIR`."""
    local = resolve.find_local(paths, text)
    if local is None:
        return None
    image = images.load(paths, local.descriptor)
    anew.complete(paths, image)
    return image


def obtain(paths: Paths, spec: ContainerSpec, progress: Progress | None) -> StoredImage:
    """The image of `spec`, pulled as --pull says. Raises NotFoundError with --pull never."""
    text = spec.image or ""
    policy = spec.pull or "missing"
    if policy in ("missing", "never") and not spec.platform:
        found = _of_layout(paths, text) if text.startswith(_LAYOUT) else find(paths, text)
        if found is not None:
            return found
        if resolve.is_whole_id(text):
            raise NotFoundError(f"{text}: no such image", hint="rl images", exit_code=EXIT_ENGINE)
    # Everything heavy (HTTP, TLS, hashing) stays unimported when the image is there.
    from rootless.image import pull
    from rootless.model import platform

    wanted = platform.parse(spec.platform) if spec.platform else None
    pulled = pull.pull(paths, text, platform=wanted, policy=policy, progress=progress)
    for note in pulled.notes:
        log.notice(f"{pulled.name}: {note}")
    image = find(paths, pulled.name or pulled.manifest_digest)
    if image is None:
        raise NotFoundError(f"{text}: was removed just now", hint=f"rl pull {text}")
    return image


def _of_layout(paths: Paths, text: str) -> StoredImage | None:
    """The stored image that was brought from `oci:DIR`, if that still holds it."""
    from rootless.image.source_oci import OciSource
    from rootless.model import platform
    from rootless.model import reference as references

    place = references.parse_source(text)
    if not isinstance(place, references.OciPath):
        return None
    found = resolve.find_local(paths, OciSource(place, platform.host()).digest)
    return images.load(paths, found.descriptor) if found else None


def facts_of(paths: Paths, image: StoredImage) -> ImageFacts:
    """The plan's view of `image`. Raises UsageError when it is for another operating system."""
    operating_system = image.config.get("os", "linux")
    if operating_system != "linux":
        raise UsageError(f"{image.name}: is an image for {operating_system}, not for linux")
    config = image.config.get("config")
    layers = image.layer_diffs(paths)
    _check_there(image, layers)
    is_shared = layer_trees.is_any_shared(layers)
    if is_shared:
        from rootless.image import frames

        layers = frames.add(paths, layers)
    return ImageFacts(
        config if isinstance(config, dict) else {},
        layers,
        read_in_layers(layers, "etc/passwd"),
        read_in_layers(layers, "etc/group"),
        shared=is_shared,
    )


def _check_there(image: StoredImage, trees: list[str]) -> None:
    """Raises StoreError for an image whose layers were in a store that is not there any more."""
    missing = next((tree for tree in trees if not os.path.isdir(tree)), None)
    if missing is not None:
        name = image.name or image.image_id[:12]
        raise StoreError(
            f"{name}: layer {os.path.basename(os.path.dirname(missing))[:12]} is neither in the"
            " store nor in an additional one",
            hint=f"rl pull {name}",
            exit_code=EXIT_ENGINE,
        )


def facts_of_directory(rootfs: str) -> ImageFacts:
    """The plan's view of `--rootfs DIR`. Raises UsageError when it is no directory."""
    if not os.path.isdir(rootfs):
        raise UsageError(f"--rootfs {rootfs}: no such directory")
    layers = [rootfs]
    return ImageFacts(
        {}, layers, read_in_layers(layers, "etc/passwd"), read_in_layers(layers, "etc/group")
    )


def read_in_layers(layers: list[str], path: str) -> str:
    """The text of a regular file as the layers (topmost first) show it, "" when there is none.

    Symbolic links are not followed: they could lead out of the image, and an image that makes its
    user database one is served as if it had none.
    """
    for layer in layers:
        try:
            fd = _open_beneath(layer, path)
        except FileNotFoundError:
            if _hides(layer, path):
                return ""
            continue
        except OSError:
            return ""
        try:
            return _text_of(fd)
        finally:
            os.close(fd)
    return ""


def _text_of(fd: int) -> str:
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        return ""  # a whiteout, or worse
    with open(fd, "rb", closefd=False) as file:
        return file.read(_MAX_FILE).decode(errors="replace")


def _hides(layer: str, path: str) -> bool:
    """Whether `layer`, which does not have `path`, hides what lower layers have there."""
    from rootless.image import whiteouts

    folder, _, name = path.rpartition("/")
    try:
        fd = _open_beneath(layer, folder)
    except FileNotFoundError:
        return False
    try:
        return whiteouts.hides(fd, name)
    finally:
        os.close(fd)


def _open_beneath(layer: str, path: str) -> int:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    fd = os.open(layer, flags | os.O_DIRECTORY)
    for part in path.split("/"):
        parent = fd
        try:
            fd = os.open(part, flags, dir_fd=parent)
        finally:
            os.close(parent)
    return fd
