"""`RUN --mount`: from what was asked for to mounts of a container, and what is cleared up later."""

from __future__ import annotations

import errno
import hashlib
import os

from rootless.engine.building import copier
from rootless.engine.building.copier import Source
from rootless.engine.building.placing import Changes, Destination
from rootless.engine.building.selection import Wish
from rootless.model import image_config
from rootless.model.dockerfile import mounts
from rootless.model.mountspec import BIND, TMPFS, MountSpec
from rootless.runtime import inside
from rootless.store import buildcache, files
from rootless.tools import idmap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.engine.building.state import State
    from rootless.engine.building.workshop import Workshop
    from rootless.model.dockerfile.mounts import RunMount
    from rootless.model.dockerfile.place import Place

    # The stage or image of `from=`, the context for "".
    SourceOf = Callable[[str, Place], Source]

_SECRETS = "/run/secrets"
_AGENT = "/run/buildkit/ssh_agent.{}"
_MOST_PRIVATE = 64


class RunMounts:
    """The mounts of one RUN. specs, env: for its container; `close` lets go of locks.

    folder: a private directory for what lasts as long as the command.
    """

    def __init__(
        self, shop: Workshop, now: State, place: Place, folder: str, source_of: SourceOf
    ) -> None:
        self.specs: list[MountSpec] = []
        self.env: dict[str, str] = {}
        self._shop = shop
        self._now = now
        self._place = place
        self._folder = folder
        self._source_of = source_of
        self._locks: list[files.Lock] = []
        self._agents = 0

    def add(self, mount: RunMount) -> None:
        """Get one ready. Raises RlError."""
        {
            mounts.BIND: self._bind,
            mounts.CACHE: self._cache,
            mounts.TMPFS: self._tmpfs,
            mounts.SECRET: self._secret,
            mounts.SSH: self._ssh,
        }[mount.kind](mount)

    def close(self) -> None:
        """Let go of what others may wait for."""
        for lock in self._locks:
            lock.release()

    def _target(self, mount: RunMount, default: str = "") -> str:
        path = mount.get("target") or default
        return image_config.joined(self._now.section.get("WorkingDir"), path)

    def _new(self, name: str) -> str:
        return f"{self._folder}/{name}{len(self.specs)}"

    def _bind(self, mount: RunMount) -> None:
        self._mount(self._copied(mount), self._target(mount), rw=mount.rw)

    def _copied(self, mount: RunMount) -> str:
        """A copy of what `from=` and `source=` say."""
        source = self._source_of(mount.get("from"), self._place)
        wish = bind_wish(self._shop, mount, source)
        tree = copier.materialise(
            self._new("bind"), source, Changes(None, None),
            lambda write, root: write.copy(root, wish, Destination("it", folder=False)),
        )  # fmt: skip
        return f"{tree}/it"

    def _mount(self, source: str, target: str, *, rw: bool) -> None:
        self.specs.append(MountSpec(BIND, source, target, ("rw" if rw else "ro",)))

    def _cache(self, mount: RunMount) -> None:
        target = self._target(mount)
        directory = self._claimed(mount.get("id") or target, mount.get("sharing") or "shared")
        if not os.path.isdir(directory) and (mount.get("from") or mount.get("source")):
            # What it starts with; another build may come first.
            try:
                os.rename(self._copied(mount), directory)
            except OSError as error:
                if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                    raise
        uid, gid = mount.number("uid", 0), mount.number("gid", 0)
        mode = mount.number("mode", 755)
        idmap.call(lambda: _make_owned(directory, uid, gid, mode))
        self._mount(directory, target, rw=mount.rw)

    def _claimed(self, name: str, sharing: str) -> str:
        """The directory of a cache mount, locked where nobody else may use it meanwhile."""
        key = hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()
        in_use = buildcache.using_mounts(self._shop.paths)
        in_use.acquire()
        self._locks.append(in_use)
        directory = buildcache.mount_directory(self._shop.paths, key)
        # Again: what was there before the lock may have been removed.
        files.make_dirs(os.path.dirname(directory))
        if sharing == "locked":
            lock = files.Lock(f"{directory}.lock")
            lock.acquire()
            self._locks.append(lock)
        if sharing != "private":
            return directory
        for number in range(_MOST_PRIVATE):
            own = f"{directory}-{number}" if number else directory
            lock = files.Lock(f"{own}.lock", blocking=False)
            if lock.acquire():
                self._locks.append(lock)
                return own
        raise self._place.error(f"--mount: the cache {name} is in use by too many builds")

    def _tmpfs(self, mount: RunMount) -> None:
        size = (f"size={mount.get('size')}",) if mount.get("size") else ()
        self.specs.append(MountSpec(TMPFS, "", self._target(mount), size))

    def _secret(self, mount: RunMount) -> None:
        target = mount.get("target")
        name = mount.get("id") or os.path.basename(target)
        content = self._content_of(name)
        if content is None:
            if mount.required:
                raise self._place.error(
                    f"the secret {name} was not given", f"rl build --secret id={name},src=FILE …"
                )
            return
        variable = mount.get("env")
        if variable:
            self.env[variable] = content.decode(errors="surrogateescape")
        if variable and not target:
            return
        path = self._new("secret")
        uid, gid = mount.number("uid", 0), mount.number("gid", 0)
        mode = mount.number("mode", 400)
        idmap.call(lambda: _write_owned(path, content, uid, gid, mode))
        self._mount(path, self._target(mount, f"{_SECRETS}/{name}"), rw=False)

    def _content_of(self, name: str) -> bytes | None:
        secret = self._shop.spec.secrets.get(name)
        if secret is None:
            return None
        if secret.variable:
            value = os.environ.get(secret.variable)
            return None if value is None else os.fsencode(value)
        try:
            with open(secret.path, "rb") as file:
                return file.read()
        except OSError as error:
            raise self._place.error(f"--secret id={name}: {error.strerror}") from None

    def _ssh(self, mount: RunMount) -> None:
        name = mount.get("id") or "default"
        socket = self._shop.spec.ssh.get(name)
        if socket is None:
            if mount.required:
                raise self._place.error(
                    f"the agent {name} was not given", f"rl build --ssh {name} …"
                )
            return
        target = self._target(mount, _AGENT.format(self._agents))
        self._agents += 1
        self.env.setdefault("SSH_AUTH_SOCK", target)
        self._mount(socket, target, rw=True)


def bind_wish(shop: Workshop, mount: RunMount, source: Source) -> Wish:
    """What a mount of type bind takes."""
    is_context = source.fd >= 0
    return Wish(
        [mount.get("source") or "."], source.shown, exclude=None, parents=False,
        ignore=shop.context.ignore if is_context else None, owned=not is_context,
    )  # fmt: skip


def key_of(shop: Workshop, mount: RunMount, source_of: SourceOf, place: Place) -> list[object]:
    """What of a mount makes a step another one; not what is secret, nor what a cache holds."""
    content = ""
    if mount.kind == mounts.BIND:
        source = source_of(mount.get("from"), place)
        content = copier.digest(shop.paths, source, bind_wish(shop, mount, source))
    return [mount.kind, sorted(mount.options.items()), mount.rw, content]


def _make_owned(directory: str, uid: int, gid: int, mode: int) -> None:
    try:
        os.mkdir(directory, 0o700)
    except FileExistsError:
        return
    _give(directory, uid, gid)
    os.chmod(directory, mode)


def _write_owned(path: str, content: bytes, uid: int, gid: int, mode: int) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(fd, "wb") as file:
        file.write(content)
        _give(fd, uid, gid)
        os.fchmod(fd, mode)


def _give(path: str | int, uid: int, gid: int) -> None:
    # With one id it is everybody's in the container already; chown(2) there notes nothing either.
    if not inside.own_maps().is_single:
        os.chown(path, uid, gid)
