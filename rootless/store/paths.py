"""Every path that `rl` keeps anything at.

`root` is durable and may be in a home directory; `runtime` is node-local, private (0700) and gone
after a reboot. Unless the user or the site says otherwise (RL_ROOT, rl.toml, XDG_DATA_HOME,
RL_RUNTIME_DIR) both follow from the uid alone, so that tox, cron, ssh and Slurm, which strip the
environment, find the same containers; XDG_RUNTIME_DIR, which they strip as well, is not looked at.
"""

from __future__ import annotations

import os
import zlib

from rootless import config, log
from rootless.errors import PlaceError, StoreError, UsageError
from rootless.store import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless.model.site import Site

# Where a private directory is for who has no session: the first, unless somebody else has made it.
_RUNTIMES = ("/tmp/rl-{0}", "/dev/shm/rl-{0}", "/var/tmp/rl-{0}.run")


class Paths:
    """The layout of one store; nothing is created until it is needed.

    additional: roots of other users' stores, which are read where this one lacks something.
    """

    def __init__(self, root: str, runtime: str, additional: Sequence[str] = ()) -> None:
        self.root = root
        self.runtime = runtime
        self.additional = [Paths(other, runtime) for other in additional]
        for other in self.additional:
            other.choose_layers(single=False)  # theirs have all owners, beside the files
        # The site lists this store among those that everybody reads.
        self.is_listed = False
        # Says that it is one: layers are as image.publishing makes them.
        self.shared_mark = f"{root}/shared"
        # An OCI image layout (image-spec, image-layout.md), readable by any tool that knows it.
        self.oci_layout = f"{root}/oci-layout"
        self.index = f"{root}/index.json"
        self.blobs = f"{root}/blobs/sha256"
        # See `layers`.
        self._layers = ""
        # Image files where they cannot be mounted (image.unsquash): a tree for each.
        self.unpacked = f"{root}/unpacked"
        self.containers = f"{root}/containers"
        # One symbolic link for each container name; the target is the container's id.
        self.names = f"{root}/names"
        self.volumes = f"{root}/volumes"
        # What builds leave for later builds (store.buildcache).
        self.build = f"{root}/build"
        # Directories of layers of additional stores (image.frames).
        self.frames = f"{root}/frames"
        # Manifest lists that are not pushed yet (store.lists).
        self.lists = f"{root}/lists"
        # Work in progress, on the same file system as the rest so that rename(2) works.
        self.tmp = f"{root}/tmp"
        self.locks = f"{root}/locks"
        # One directory for each container that runs or was not unwound.
        # By store, so that a second store (RL_ROOT) never takes the first one's for abandoned.
        self.running = f"{runtime}/{zlib.crc32(os.fsencode(root)):08x}"
        # Beside it: what has happened to them (store.events).
        self.events = f"{self.running}.events/journal"
        # What runs in them by `rl exec` (store.execs).
        self.execs = f"{self.running}.execs"
        # Which drivers work here (store.verdicts).
        self.verdicts = f"{self.running}.drivers"
        # Where images are mounted: a directory for each, by its id (engine.image_mounts).
        self.mounts = f"{self.running}.mounts"
        # What can be made anew at any time, such as compiled seccomp programs.
        self.cache = f"{runtime}/cache"

    @property
    def is_shared(self) -> bool:
        """Whether other users read this store."""
        return os.path.exists(self.shared_mark)

    @property
    def layers(self) -> str:
        """Unpacked layers, shared by all images: layers/HEX_OF_DIFF_ID/diff."""
        if not self._layers:
            from rootless.tools import idmap

            self.choose_layers(single=idmap.canonical_maps().is_single)
        return self._layers

    @property
    def other_layers(self) -> str:
        """The same of the other kind: what is unpacked with one id mapped has the user as the owner
        of all files, and theirs as notes. A user who gets subordinate ids, or whose home is on
        another host where they have some, has both, from the same blobs."""
        single = f"{self.root}/layers-one-id"
        return f"{self.root}/layers" if self.layers == single else single

    def choose_layers(self, *, single: bool) -> None:
        """Say which kind `layers` is, for who knows already whether one id alone is mapped."""
        is_own = single and not self.is_listed
        self._layers = f"{self.root}/layers-one-id" if is_own else f"{self.root}/layers"

    def blob(self, digest: str) -> str:
        """Where the blob with `digest` ("sha256:…") is in this store, or would be."""
        return f"{self.blobs}/{digest.partition(':')[2]}"

    def layer(self, diff_id: str) -> str:
        """Where the unpacked layer's directory is in this store; the tree is in `diff` below it."""
        return f"{self.layers}/{diff_id.partition(':')[2]}"

    def found_blob(self, digest: str) -> str:
        """The blob to read: of an additional store where this one lacks it."""
        return self._found(self.blob(digest), [other.blob(digest) for other in self.additional])

    def found_layer(self, diff_id: str) -> str:
        """The layer's directory to read, as `found_blob`."""
        return self._found(self.layer(diff_id), [other.layer(diff_id) for other in self.additional])

    def _found(self, own: str, others: list[str]) -> str:
        if not others or os.path.exists(own):
            return own
        return next((path for path in others if os.path.exists(path)), own)

    def layer_diff(self, diff_id: str) -> str:
        """The root of the unpacked layer's tree: what overlay mounts take as a lowerdir."""
        return f"{self.found_layer(diff_id)}/diff"


def discover() -> Paths:
    """The paths of the calling user. Raises PlaceError when there is no place for them."""
    site = _site()
    if site is None:
        return Paths(_find_root(None), find_runtime())
    root = _find_root(site)
    found = Paths(root, find_runtime(), _shared(site, root))
    found.is_listed = root in site.additional
    return found


def _shared(site: Site, own: str) -> list[str]:
    """The roots of the additional stores that are there."""
    # A store for everybody must not lack what another one has.
    others = [] if own in site.additional else site.additional
    return [root for root in others if os.path.exists(Paths(root, "").shared_mark)]


def _site() -> Site | None:
    """What rl.toml says; without such a file nothing is imported."""
    if not config.user_files("rl.toml"):
        return None
    from rootless.store import site

    return site.load()


def _find_root(site: Site | None) -> str:
    explicit = os.environ.get("RL_ROOT")
    if not explicit:
        return _unnamed_root(site)
    root = os.path.abspath(explicit)
    # Who may write to a shared store names it.
    if site is not None and not site.policy.other_places and root not in site.additional:
        _check_place("RL_ROOT", root, _unnamed_root(site))
    return _explicit_root(root)


def _check_place(variable: str, named: str, allowed: str) -> None:
    if named != allowed:
        raise UsageError(
            f"{variable}: {named}: {config.SYSTEM_FOLDER}/rl.toml allows only {allowed}",
            hint=f"unset {variable}",
        )


def _unnamed_root(site: Site | None) -> str:
    if site is not None and site.store:
        from rootless.store import places

        return places.of_site(site.store, site.store_from)
    candidates = store_candidates()
    found = _existing_store(candidates)
    if not found:
        from rootless.store import places

        found = places.choose(candidates)
    return found


def _explicit_root(root: str) -> str:
    if not os.path.isdir(f"{root}/tmp"):
        from rootless.store import places

        places.require(root)
    return root


def store_candidates() -> list[tuple[str, bool]]:
    """Where a store may be when nobody says where, the best first; and whether anybody could have
    made that directory.

    A store that is there was judged when it was made, so the first one is it. Without any the
    first place that can hold one is taken (store.places): a home on NFS, say, cannot.
    """
    uid = os.geteuid()
    data = _data_home()
    own = [(f"{data}/rl", False)] if data else []
    # On this host alone. /var/tmp outlives a reboot.
    return [*own, (f"/var/tmp/rl-{uid}", True), (f"/tmp/rl-{uid}.store", True)]


def _existing_store(candidates: list[tuple[str, bool]]) -> str:
    wanted, is_any = candidates[0]
    for path, is_shared in candidates:
        # `tmp` is part of every store, and the first that is written to.
        if not os.access(f"{path}/tmp", os.W_OK | os.X_OK):
            continue
        if not is_shared:
            return path
        from rootless.store import instead

        if instead.stands_for(path, "" if is_any else wanted):
            return path
    return ""


def _data_home() -> str:
    """The user's, by the XDG Base Directory Specification; "" for who has no home."""
    named = os.environ.get("XDG_DATA_HOME", "")
    if os.path.isabs(named):
        return named
    home = os.environ.get("HOME", "")
    if not os.path.isabs(home):
        import pwd

        try:
            home = pwd.getpwuid(os.geteuid()).pw_dir
        except KeyError:
            return ""
    return f"{home}/.local/share"


def find_runtime() -> str:
    """The private runtime directory, created if need be.

    RL_RUNTIME_DIR, else the site's, else /run/user/UID/rl where systemd-logind made that, else the
    first of /tmp/rl-UID and its like that is there, or can be made. Raises StoreError.
    """
    uid, site = os.geteuid(), _site()
    explicit = os.environ.get("RL_RUNTIME_DIR")
    if not explicit:
        return _unnamed_runtime(site, uid)
    named = os.path.abspath(explicit)
    if site is not None and not site.policy.other_places:
        _check_place("RL_RUNTIME_DIR", named, _unnamed_runtime(site, uid))
    return _private(named, uid)


def _unnamed_runtime(site: Site | None, uid: int) -> str:
    if site is not None and site.runtime:
        return _private(site.runtime, uid)
    session = runtime_candidates()[0]
    if files.is_private(os.path.dirname(session), uid):
        try:
            return _private(session, uid)
        except StoreError as error:
            log.effect(f"no runtime directory of the session: {error.message}")
    fallbacks = runtime_candidates()[1:]
    for path in fallbacks:
        if files.is_private(path, uid):
            return path
    return _first_made(fallbacks, uid)


def runtime_candidates() -> list[str]:
    """Where the runtime directory may be when nobody says where, that of the session first."""
    uid = os.geteuid()
    return [f"/run/user/{uid}/rl", *(name.format(uid) for name in _RUNTIMES)]


def _first_made(fallbacks: list[str], uid: int) -> str:
    refused = []
    for path in fallbacks:
        try:
            _private(path, uid)
        except StoreError as error:
            refused.append(error.message)
            continue
        if refused:
            log.notice(f"{refused[0]}; {path} is used instead")
        return path
    raise PlaceError("; ".join(refused), hint="export RL_RUNTIME_DIR=/path/of/your/own")


def _private(path: str, uid: int) -> str:
    if files.is_private(path, uid):
        return path
    files.make_dirs(os.path.dirname(path))
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass
    except OSError as error:
        raise files.explain(error, path) from error
    if not files.is_private(path, uid):
        raise PlaceError(
            f"{path}: exists but is not a private directory of uid {uid}",
            hint=f"ls -ld {path}; export RL_RUNTIME_DIR=/path/of/your/own",
        )
    return path
