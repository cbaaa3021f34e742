"""The disk of the virtual machine that the system tests boot: made once, kept by its recipe.

Debian's own tools make it, as a normal user: mmdebstrap in a user namespace gives the tree, mke2fs
the file system. The project goes in as an administrator would put it there, by the scripts in
packaging/. An image is a directory in the cache, named after the hash of all that decides what is
in it. The code under test is not among that: it is copied into each running guest, so a change of
it needs no new image.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import re
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
CUSTOMIZE = Path(__file__).with_name("customize.sh")
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rl-system-tests"
PROGRAMS = (
    "mmdebstrap", "mke2fs", "mkswap", "ssh", "ssh-keygen", "qemu-system-x86_64", "setpriv",
    "newuidmap",
)  # fmt: skip
DEFAULT_MIRROR = "http://deb.debian.org/debian"
PACKAGES = (
    "systemd", "systemd-sysv", "dbus", "dbus-user-session", "libpam-systemd", "udev", "kmod",
    "iproute2", "openssh-server", "zstd",
)  # fmt: skip
# A home on a network file system: the guest serves it to itself.
SERVERS = ("nfs-kernel-server",)
# A caller of rl-oci, and the runtime that it is compared with. The network stack is named, so that
# the smaller of two is taken; nobody here uses it.
CALLERS = ("podman", "netavark", "catatonit", "crun")
# What the view of /proc is shown to, and what it is compared with.
READERS = ("procps", "htop", "python3", "default-jre-headless", "nodejs", "lxcfs")
USERS = ("rl-linger", "rl-su", "rl-ssh")
INSTALLED = ("rootless", "config", "packaging", "helpers", "pyproject.toml", "README.md", "LICENSE")
PACKAGE_LIST = CHECKOUT / "packaging/apt-run.txt"
RECIPE = (
    Path(__file__),
    CUSTOMIZE,
    PACKAGE_LIST,
    CHECKOUT / "packaging/setup-system.sh",
    CHECKOUT / "packaging/setup-python.sh",
)
# What the initial file system loads to reach the disk; Debian's own choice is ten times as large.
BOOT_MODULES = "virtio_pci\nvirtio_blk\ncrc32c_generic\next4\n"
DISK_SIZE = "6G"
SWAP_BYTES = 256 << 20


class Release:
    """What a guest runs: Debian's suite, the Python in it, and the suite of its kernel."""

    def __init__(self, suite: str, *, python: str, kernel_suite: str | None = None) -> None:
        self.suite, self.python, self.kernel_suite = suite, python, kernel_suite

    @property
    def kernel_package(self) -> str:
        """For apt-get: a suite after the slash overrides what is newest."""
        name = "linux-image-cloud-amd64"
        return f"{name}/{self.kernel_suite}" if self.kernel_suite else name

    @property
    def suites(self) -> list[str]:
        return [self.suite, *filter(None, [self.kernel_suite])]


RELEASES = {
    "bookworm": Release("bookworm", python="3.11"),
    "trixie": Release("trixie", python="3.13"),
    # Linux 5.10, where user namespaces have no native overlayfs. All of bullseye cannot be had: its
    # Python is 3.9, and rl needs 3.10.
    "bullseye-kernel": Release("bookworm", python="3.11", kernel_suite="bullseye"),
}


class ImageError(Exception):
    """The image cannot be made; the text has what the failing command said."""


class Image:
    """The files of one image: what a guest boots from, and the key that opens it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.disk = folder / "disk.img"
        self.swap = folder / "swap.img"
        self.kernel = folder / "vmlinuz"
        self.initrd = folder / "initrd.img"
        self.key = folder / "key"


def release_or_default() -> str:
    """The name of the release to test on: RL_SYSTEM_RELEASE, else bookworm."""
    return os.environ.get("RL_SYSTEM_RELEASE") or "bookworm"


def get(name: str) -> Image:
    """The image of a release, built when the cache has none after the present recipe."""
    if name not in RELEASES:
        raise ImageError(f"RL_SYSTEM_RELEASE={name}: known are {', '.join(RELEASES)}")
    CACHE.mkdir(parents=True, exist_ok=True)
    folder = CACHE / f"{name}-{_recipe_hash(name)}"
    with _lock():
        if not folder.exists():
            _clear_old(name)
            print(f"system tests: building the {name} image: {folder}", file=sys.stderr)
            _build(RELEASES[name], folder)
    return Image(folder)


def missing_programs() -> list[str]:
    """The programs that this machine lacks for making and running a guest."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    return [name for name in PROGRAMS if shutil.which(name, path=path) is None]


def packed_code() -> bytes:
    """The project's files as a tar archive, to be unpacked into a guest's /opt/rl."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name in INSTALLED:
            tar.add(CHECKOUT / name, name, filter=_as_installed)
    return archive.getvalue()


def _as_installed(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    if "__pycache__" in entry.name:
        return None
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    entry.mode = 0o755 if entry.isdir() or entry.mode & stat.S_IXUSR else 0o644
    if entry.isfile():
        # Byte code is valid by its source's time. A time that follows from the content keeps valid
        # what an earlier copy of the same file was compiled to, from whatever checkout that came.
        entry.mtime = zlib.crc32((CHECKOUT / entry.name).read_bytes()) % (1 << 30)
    return entry


def _recipe_hash(name: str) -> str:
    digest = hashlib.sha256(repr((name, _requirements())).encode())
    for path in RECIPE:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


@contextmanager
def _lock() -> Iterator[None]:
    """One build at a time; who has the lock may remove what a killed one left."""
    lock = os.open(CACHE, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _clear_old(name: str) -> None:
    """Remove images of the same release after other recipes, and those that were never finished."""
    for folder in (*CACHE.glob("new-*"), *CACHE.glob(f"{name}-*")):
        shutil.rmtree(folder)


def _build(release: Release, folder: Path) -> None:
    new = Path(tempfile.mkdtemp(prefix="new-", dir=CACHE))
    try:
        image = Image(new)
        _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "rl tests", "-f", image.key)
        with _work_dir() as work:
            _make_tree(release, work, image)
            _make_disk(work, image)
        _make_swap(image)
        new.rename(folder)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise


@contextmanager
def _work_dir() -> Iterator[Path]:
    """A directory that the namespace's root, a subordinate id, can get into; not below a home."""
    work = Path(f"/tmp/rl-image-{os.getuid()}")
    _remove_work(work)
    work.mkdir()
    work.chmod(0o711)
    try:
        yield work
    finally:
        _remove_work(work)


def _remove_work(work: Path) -> None:
    # The tree belongs to subordinate ids, the directory that it stands in to us.
    if (work / "tree").exists():
        _run(*_in_namespace("find", work / "tree", "-mindepth", "1", "-delete"))
    if work.exists():
        shutil.rmtree(work)


def _in_namespace(*command: str | Path) -> list[str | Path]:
    return ["mmdebstrap", "--unshare-helper", *command]


def _make_tree(release: Release, work: Path, image: Image) -> None:
    (work / "code.tar").write_bytes(packed_code())
    (work / "modules").write_text(BOOT_MODULES)
    _pack_wheels(release, work)
    _run(
        "mmdebstrap", "--mode=unshare", "--variant=apt", "--quiet",
        f"--include={','.join(_packages(release))}",
        "--dpkgopt=path-exclude=/usr/share/doc/*",
        "--dpkgopt=path-exclude=/usr/share/man/*",
        "--dpkgopt=path-exclude=/usr/share/locale/*",
        *_apt_options(),
        *_hooks("essential", (
            "mkdir -p $1/etc/initramfs-tools/conf.d $1/usr/share/initramfs-tools/modules.d",
            # Java's alternatives link its manual pages, whether they are there or not.
            "mkdir -p $1/usr/share/man/man1",
            "echo MODULES=list >$1/etc/initramfs-tools/conf.d/guest",
            f"upload {work}/modules /usr/share/initramfs-tools/modules.d/guest",
        )),
        *_hooks("customize", (
            "mkdir -p $1/opt/rl $1/tmp/wheels $1/root/.ssh",
            f"tar-in {work}/code.tar /opt/rl",
            f"tar-in {work}/wheels.tar /tmp/wheels",
            f"upload {image.key}.pub /root/.ssh/authorized_keys",
            f"upload {CUSTOMIZE} /tmp/customize.sh",
            f"chroot $1 sh /tmp/customize.sh {' '.join(USERS)}",
            f"download /vmlinuz {image.kernel}",
            f"download /initrd.img {image.initrd}",
        )),
        release.suite, work / "tree", *_sources(release),
    )  # fmt: skip


def _hooks(stage: str, commands: tuple[str, ...]) -> list[str]:
    return [f"--{stage}-hook={command}" for command in commands]


def _packages(release: Release) -> list[str]:
    """All of them at once, and by the outer apt, which alone may know how to reach a mirror."""
    rows = (line.split("#")[0].split() for line in PACKAGE_LIST.read_text().splitlines())
    names = (*PACKAGES, *SERVERS, *CALLERS, *READERS, release.kernel_package)
    return [*names, *(row[0] for row in rows if row)]


def _make_disk(work: Path, image: Image) -> None:
    disk = work / "disk.img"
    disk.touch()
    disk.chmod(0o666)  # it is the namespace's root that writes
    _run(*_in_namespace(
        "/sbin/mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-m", "0",
        "-d", work / "tree", disk, DISK_SIZE,
    ))  # fmt: skip
    _run("cp", "--sparse=always", disk, image.disk)


def _make_swap(image: Image) -> None:
    with image.swap.open("wb") as file:
        file.truncate(SWAP_BYTES)
    image.swap.chmod(0o600)
    _run("/sbin/mkswap", "-q", image.swap)


def _apt_options() -> list[str]:
    """How this machine's apt reaches its mirror: proxies, certificates, what it does not check."""
    pattern = re.compile(r"Acquire::(https?::|Check-).*;")
    dump = _run("apt-config", "dump")
    return [f"--aptopt={line}" for line in dump.splitlines() if pattern.fullmatch(line)]


def _sources(release: Release) -> list[str]:
    """Lines of sources.list: this machine's own mirror where it has one of Debian."""
    rows = _run("apt-get", "indextargets", "--format=$(REPO_URI) $(RELEASE)",
                "Created-By: Packages")  # fmt: skip
    known = {row.suite for row in RELEASES.values()}
    mirrors: dict[str, str] = {}
    for uri, _, suite in (row.partition(" ") for row in rows.splitlines()):
        if suite.removesuffix("-security") in known:
            mirrors.setdefault("-security" if suite.endswith("-security") else "", uri)
    mirrors.setdefault("", DEFAULT_MIRROR)
    return [
        f"deb {uri} {suite}{suffix} main"
        for suite in release.suites
        for suffix, uri in mirrors.items()
    ]


def _pack_wheels(release: Release, work: Path) -> None:
    """What pip needs in the guest, fetched here, where pip is set up to reach an index."""
    _run(
        sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:",
        f"--python-version={release.python}", "--dest", work / "wheels", *_requirements(),
    )  # fmt: skip
    with tarfile.open(work / "wheels.tar", "w") as tar:
        tar.add(work / "wheels", ".")


def _requirements() -> list[str]:
    text = (CHECKOUT / "pyproject.toml").read_text()
    lists = re.findall(r"^(?:requires|dependencies|fast) = \[(.*?)\]$", text, re.M | re.S)
    names = [name for row in lists for _, name in re.findall(r"""(["'])(.*?)\1""", row)]
    return [*names, "editables"]  # which hatchling asks for while it installs


def _run(*command: str | Path) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False,
    )  # fmt: skip
    if done.returncode:
        said = (done.stdout + done.stderr)[-8000:]
        raise ImageError(f"{command[0]}: exit code {done.returncode}\n{said}")
    return done.stdout
