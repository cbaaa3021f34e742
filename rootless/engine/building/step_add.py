"""ADD of what is not here: files from http and https URLs, and Git repositories."""

from __future__ import annotations

import hashlib
import os
from email.utils import parsedate_to_datetime
from urllib.parse import unquote, urlsplit

from rootless.engine.building import archives, copier, gitsource, placing, state, step_copy
from rootless.engine.building.placing import Changes, Destination
from rootless.engine.building.selection import Wish
from rootless.errors import RlError
from rootless.image.http import Client
from rootless.model import image_config
from rootless.store import layers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.engine.building.placing import Placing
    from rootless.engine.building.state import State
    from rootless.engine.building.workshop import Workshop
    from rootless.image.layer_writer import LayerWriter, NewLayer
    from rootless.model.dockerfile.instructions import Copy

_MODE = 0o600
_PIECE = 1 << 18
_OK = 200


class _Fetched:
    """path: where it is; name: what it is called in a directory; digest: of the content;
    is_tree: of a repository."""

    __slots__ = ("digest", "is_tree", "mtime_ns", "name", "path")

    def __init__(self, path: str, name: str, digest: str, mtime_ns: int, *, is_tree: bool) -> None:
        self.path = path
        self.name = name
        self.digest = digest
        self.mtime_ns = mtime_ns
        self.is_tree = is_tree


def add(shop: Workshop, now: State, found: Copy) -> None:
    """Do ADD. Raises RlError."""
    if found.inline or not all(gitsource.is_remote(one) for one in found.sources):
        raise found.place.error(
            "local and remote sources in one ADD are not supported", "two instructions"
        )
    if found.checksum and len(found.sources) > 1:
        raise found.place.error("--checksum goes with one source")
    with layers.Workspace(shop.paths) as workspace:
        fetched = [
            _fetch(found, source, f"{workspace.path}/{number}")
            for number, source in enumerate(found.sources)
        ]
        _Adding(shop, now, found, fetched).run(workspace.path)


def _fetch(found: Copy, source: str, path: str) -> _Fetched:
    if gitsource.is_git(source):
        commit = gitsource.clone(source, path, keep_git_dir=found.keep_git_dir)
        if found.checksum and not commit.startswith(found.checksum):
            raise RlError(f"{source}: is at {commit}, not at {found.checksum}")
        return _Fetched(path, "", f"{commit} {found.keep_git_dir}", 0, is_tree=True)
    name = unquote(urlsplit(source).path.rpartition("/")[2])
    digest, mtime_ns = _download(source, path)
    if found.checksum and found.checksum != digest:
        raise RlError(f"{source}: has the digest {digest}, not {found.checksum}")
    return _Fetched(path, name, digest, mtime_ns, is_tree=False)


def _download(url: str, path: str) -> tuple[str, int]:
    """The digest of what is there, and when it was changed."""
    client = Client()
    total = hashlib.sha256()
    try:
        with client.open(url, {}) as response, open(path, "xb") as file:
            if response.status != _OK:
                raise RlError(f"{url}: the server answers {response.status}")
            while piece := response.read_some(_PIECE):
                total.update(piece)
                file.write(piece)
            changed = response.header("Last-Modified")
    finally:
        client.close()
    return f"sha256:{total.hexdigest()}", _nanoseconds(changed)


def _nanoseconds(text: str) -> int:
    try:
        return int(parsedate_to_datetime(text).timestamp()) * 10**9
    except (TypeError, ValueError, IndexError):
        return 0


class _Adding:
    def __init__(self, shop: Workshop, now: State, found: Copy, fetched: list[_Fetched]) -> None:
        self._shop = shop
        self._now = now
        self._found = found
        self._fetched = fetched
        self._changes = Changes(
            step_copy.owner_of(shop, now, found.chown), placing.parse_mode(found.chmod)
        )
        path = image_config.joined(now.section.get("WorkingDir"), found.destination)
        is_folder = found.destination.endswith("/") or len(fetched) > 1
        self._target = Destination(path, folder=is_folder)
        for one in fetched:
            if not one.is_tree and is_folder and not one.name:
                raise RlError("the URL ends without a name for the file; give one after the path")

    def run(self, folder: str) -> None:
        found = self._found
        key = state.key_of(
            self._now.key, "ADD", self._target.path, self._target.folder, found.chown, found.chmod,
            found.sources, [one.digest for one in self._fetched], found.unpack,
        )  # fmt: skip

        def make(writer: LayerWriter) -> NewLayer:
            trees = self._shop.trees(self._now)
            fds = [self._open(one) for one in self._fetched]
            try:
                for line in copier.copy(
                    f"{folder}/step", trees, None, self._changes,
                    lambda write, _: self._place(write, fds), fds,
                ):  # fmt: skip
                    self._shop.say(f"note: {line}")
            finally:
                for fd in fds:
                    os.close(fd)
            return self._shop.write(writer, copier.upper_of(f"{folder}/step"), trees)

        by = " ".join(["ADD", *found.sources, found.destination])
        self._shop.take(self._now, key, by, make)

    def _open(self, one: _Fetched) -> int:
        kind = os.O_DIRECTORY if one.is_tree else 0
        return os.open(one.path, os.O_RDONLY | os.O_CLOEXEC | kind)

    def _place(self, write: Placing, fds: list[int]) -> None:
        for one, fd in zip(self._fetched, fds):
            if one.is_tree:
                wish = Wish(
                    ["."], "the repository", ignore=None, exclude=None, parents=False, owned=False
                )
                write.copy(fd, wish, self._target)
                continue
            unpacked = archives.pieces(fd) if self._found.unpack else None
            if unpacked is not None:
                write.unpack(unpacked, self._target)
                continue
            path = write.file_path(one.name, self._target, folder=self._target.folder)
            write.write_open_file(path, fd, _MODE, one.mtime_ns)
