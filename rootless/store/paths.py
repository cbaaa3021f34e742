"""Every path that `rl` keeps anything at.

`root` is durable and may be in a home directory; `runtime` is node-local, private (0700) and gone
after a reboot. Unless the user says otherwise (RL_ROOT, XDG_DATA_HOME, RL_RUNTIME_DIR) both follow
from the uid alone, so that tox, cron, ssh and Slurm, which strip the environment, find the same
containers; XDG_RUNTIME_DIR, which they strip as well, is not looked at.
"""

from __future__ import annotations

import os
import stat
import zlib

from rootless.errors import StoreError
from rootless.store import files


class Paths:
    """The layout of one store; nothing is created until it is needed."""

    def __init__(self, root: str, runtime: str) -> None:
        self.root = root
        self.runtime = runtime
        # An OCI image layout (image-spec, image-layout.md), readable by any tool that knows it.
        self.oci_layout = f"{root}/oci-layout"
        self.index = f"{root}/index.json"
        self.blobs = f"{root}/blobs/sha256"
        # Unpacked layers, shared by all images: layers/HEX_OF_DIFF_ID/diff.
        self.layers = f"{root}/layers"
        self.containers = f"{root}/containers"
        # One symbolic link for each container name; the target is the container's id.
        self.names = f"{root}/names"
        self.volumes = f"{root}/volumes"
        # What builds leave for later builds (store.buildcache).
        self.build = f"{root}/build"
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
        # Where images are mounted: a directory for each, by its id (engine.image_mounts).
        self.mounts = f"{self.running}.mounts"
        # What can be made anew at any time, such as compiled seccomp programs.
        self.cache = f"{runtime}/cache"

    def blob(self, digest: str) -> str:
        """The blob with `digest` ("sha256:…"), present or not."""
        return f"{self.blobs}/{digest.partition(':')[2]}"

    def layer(self, diff_id: str) -> str:
        """The directory of the unpacked layer; the tree itself is in `diff` below it."""
        return f"{self.layers}/{diff_id.partition(':')[2]}"

    def layer_diff(self, diff_id: str) -> str:
        """The root of the unpacked layer's tree: what overlay mounts take as a lowerdir."""
        return f"{self.layer(diff_id)}/diff"


def discover() -> Paths:
    """The paths of the calling user. Raises StoreError when there is no place for them."""
    return Paths(_find_root(), find_runtime())


def _find_root() -> str:
    explicit = os.environ.get("RL_ROOT")
    if explicit:
        return os.path.abspath(explicit)
    data_home = os.environ.get("XDG_DATA_HOME", "")
    if os.path.isabs(data_home):
        return f"{data_home}/rl"
    return f"{_home()}/.local/share/rl"


def _home() -> str:
    home = os.environ.get("HOME", "")
    if os.path.isabs(home):
        return home
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_dir
    except KeyError:
        raise StoreError(
            f"no home directory for uid {os.geteuid()}", hint="export RL_ROOT=/var/tmp/$(id -u).rl"
        ) from None


def find_runtime() -> str:
    """The private runtime directory, created if need be.

    RL_RUNTIME_DIR, else /run/user/UID/rl where systemd-logind made that, else /tmp/rl-UID.
    Raises StoreError when somebody else owns what stands there.
    """
    uid = os.geteuid()
    explicit = os.environ.get("RL_RUNTIME_DIR")
    if explicit:
        return _private(os.path.abspath(explicit), uid)
    session = f"/run/user/{uid}"
    if is_private(session, uid):
        return _private(f"{session}/rl", uid)
    return _private(f"/tmp/rl-{uid}", uid)


def is_private(path: str, uid: int) -> bool:
    """Whether `path` is a directory of `uid` that nobody else may write to or list."""
    try:
        info = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISDIR(info.st_mode) and info.st_uid == uid and not info.st_mode & 0o077


def _private(path: str, uid: int) -> str:
    if is_private(path, uid):
        return path
    files.make_dirs(os.path.dirname(path))
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass
    except OSError as error:
        raise files.explain(error, path) from error
    if not is_private(path, uid):
        raise StoreError(
            f"{path}: exists but is not a private directory of uid {uid}",
            hint=f"ls -ld {path}; export RL_RUNTIME_DIR=/path/of/your/own",
        )
    return path
