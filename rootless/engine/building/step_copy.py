"""COPY, ADD and WORKDIR."""

from __future__ import annotations

from rootless.engine import images as engine_images
from rootless.engine.building import copier, placing, state
from rootless.engine.building.copier import Source
from rootless.engine.building.placing import Changes, Destination
from rootless.engine.building.selection import Wish
from rootless.errors import RlError, UsageError
from rootless.model import image_config, user
from rootless.model.dockerfile import ignore
from rootless.model.dockerfile.place import DockerfileError
from rootless.store import layers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.engine.building.placing import Placing
    from rootless.engine.building.state import State
    from rootless.engine.building.workshop import Workshop
    from rootless.image.layer_writer import LayerWriter, NewLayer
    from rootless.model.dockerfile.instructions import Copy
    from rootless.model.dockerfile.place import Place

_INLINE_MODE = 0o644


def copy(shop: Workshop, now: State, found: Copy, source: Source) -> None:
    """Do COPY, or ADD of local files. Raises DockerfileError that names the line."""
    if found.checksum:
        raise found.place.error("--checksum goes with a URL, not with files of the context")
    try:
        _Copying(shop, now, found, source).run()
    except DockerfileError:
        raise
    except RlError as error:
        raise found.place.error(error.message, error.hint) from error


class _Copying:
    def __init__(self, shop: Workshop, now: State, found: Copy, source: Source) -> None:
        self._shop = shop
        self._now = now
        self._found = found
        self._source = source
        self._changes = Changes(owner_of(shop, now, found.chown), placing.parse_mode(found.chmod))
        self._wish = _wish(shop, found, source)
        path = image_config.joined(now.section.get("WorkingDir"), found.destination)
        count = len(found.sources) + len(found.inline)
        is_folder = found.destination.endswith(("/", "/.")) or found.destination in (".", "..")
        self._target = Destination(path, folder=is_folder or count > 1)

    def run(self) -> None:
        found = self._found
        content = ""
        if found.sources:
            content = copier.digest(self._shop.paths, self._source, self._wish)
        inline = [[one.name, one.text] for one in found.inline]
        key = state.key_of(
            self._now.key, found.name, self._target.path, self._target.folder, found.chown,
            found.chmod, found.parents, found.exclude, found.sources, content, inline,
            self._wish.unpack,
        )  # fmt: skip
        self._shop.take(self._now, key, _history(found), self._make)

    def _make(self, writer: LayerWriter) -> NewLayer:
        trees = self._shop.trees(self._now)
        with layers.Workspace(self._shop.paths) as workspace:
            folder = f"{workspace.path}/step"
            for line in copier.copy(folder, trees, self._source, self._changes, self._place):
                self._shop.say(f"note: {line}")
            return self._shop.write(writer, copier.upper_of(folder), trees)

    def _place(self, write: Placing, root: int) -> None:
        if self._found.sources:
            write.copy(root, self._wish, self._target)
        for one in self._found.inline:
            path = write.file_path(one.name, self._target, folder=self._target.folder)
            write.write_file(path, one.text.encode(), _INLINE_MODE)


def _wish(shop: Workshop, found: Copy, source: Source) -> Wish:
    exclude = ignore.of_patterns(found.exclude, "--exclude") if found.exclude else None
    is_context = source.fd >= 0
    return Wish(
        found.sources, source.shown, ignore=shop.context.ignore if is_context else None,
        exclude=exclude, parents=found.parents, owned=not is_context,
        unpack=found.name == "ADD" and found.unpack is not False,
    )  # fmt: skip


def owner_of(shop: Workshop, now: State, text: str) -> tuple[int, int] | None:
    """--chown: names by the files of the image; without a group its number is the user's."""
    if not text:
        return None
    trees = shop.trees(now)
    passwd = engine_images.read_in_layers(trees, "etc/passwd")
    group = engine_images.read_in_layers(trees, "etc/group")
    try:
        who = user.resolve(text, passwd, group)
    except UsageError as error:
        raise RlError(f"--chown={text}: {error.message.removeprefix('--user ')}") from None
    return who.uid, who.gid if ":" in text else who.uid


def _history(found: Copy) -> str:
    flags = [
        f"--{name}={value}"
        for name, value in (
            ("from", found.source_stage), ("chown", found.chown), ("chmod", found.chmod)
        )
        if value
    ]  # fmt: skip
    inline = [f"<<{one.name}" for one in found.inline]
    return " ".join([found.name, *flags, *found.sources, *inline, found.destination])


def workdir(shop: Workshop, now: State, place: Place, text: str) -> None:
    """Do WORKDIR: the directory is there afterwards."""
    now.change(image_config.workdir(text))
    path = str(now.section["WorkingDir"])

    def make(writer: LayerWriter) -> NewLayer:
        trees = shop.trees(now)
        with layers.Workspace(shop.paths) as workspace:
            folder = f"{workspace.path}/step"
            copier.copy(
                folder, trees, None, Changes(None, None),
                lambda write, _: write.make_folders(path.strip("/")),
            )  # fmt: skip
            return shop.write(writer, copier.upper_of(folder), trees)

    try:
        shop.take(now, state.key_of(now.key, "WORKDIR", path), f"WORKDIR {text}", make)
    except DockerfileError:
        raise
    except RlError as error:
        raise place.error(error.message, error.hint) from error
