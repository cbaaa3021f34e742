"""The disk of the virtual machine that the system tests boot: made once, kept by its recipe.

Debian's own tools make it, as a normal user: mmdebstrap in a user namespace gives the tree, mke2fs
the file system. The project goes in as an administrator would put it there, by the scripts in
packaging/. An image is a directory in the cache, named after the hash of all that decides what is
in it. The code under test is not among that: it is copied into each running guest, so a change of
it needs no new image.
"""

from __future__ import annotations

import hashlib
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
DEFAULT_MIRROR = "http://deb.debian.org/debian"
# Debian's release → its Python, for which the packages in the guest must be.
PYTHONS = {"bookworm": "3.11", "trixie": "3.13"}
PACKAGES = (
    "systemd", "systemd-sysv", "dbus", "dbus-user-session", "libpam-systemd", "udev", "kmod",
    "iproute2", "openssh-server", "linux-image-cloud-amd64", "zstd",
)  # fmt: skip
USERS = ("rl-linger", "rl-su", "rl-ssh")
INSTALLED = ("rootless", "config", "packaging", "helpers", "pyproject.toml", "README.md", "LICENSE")
RECIPE = (
    Path(__file__),
    CUSTOMIZE,
    CHECKOUT / "pyproject.toml",
    CHECKOUT / "packaging/apt-run.txt",
    CHECKOUT / "packaging/setup-system.sh",
    CHECKOUT / "packaging/setup-python.sh",
)
DISK_SIZE = "6G"
SWAP_BYTES = 256 << 20


class Image:
    """The files of one image: `disk` and `swap` to boot from a snapshot of, kernel, ssh key."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.disk = folder / "disk.img"
        self.swap = folder / "swap.img"
        self.kernel = folder / "vmlinuz"
        self.initrd = folder / "initrd.img"
        self.key = folder / "key"


def release_or_default() -> str:
    """The Debian release to test on: RL_SYSTEM_RELEASE, else bookworm."""
    release = os.environ.get("RL_SYSTEM_RELEASE") or "bookworm"
    if release not in PYTHONS:
        raise SystemExit(f"RL_SYSTEM_RELEASE={release}: known are {', '.join(PYTHONS)}")
    return release


def get(release: str) -> Image:
    """The image of `release`, built when the cache has none after the present recipe."""
    folder = CACHE / f"{release}-{_recipe_hash(release)}"
    if not folder.exists():
        _build(release, folder)
    return Image(folder)


def _recipe_hash(release: str) -> str:
    digest = hashlib.sha256(release.encode())
    for path in RECIPE:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _build(release: str, folder: Path) -> None:
    print(f"system tests: building the {release} image, once: {folder}", file=sys.stderr)
    CACHE.mkdir(parents=True, exist_ok=True)
    with _work_dir() as work:
        new = Path(tempfile.mkdtemp(prefix="new-", dir=CACHE))
        try:
            image = Image(new)
            _make_key(image)
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
    work = Path(tempfile.mkdtemp(prefix="rl-image-", dir="/tmp"))
    work.chmod(0o711)
    try:
        yield work
    finally:
        # The tree belongs to subordinate ids, the directory that it stands in to us.
        if (work / "tree").exists():
            _run(*_in_namespace("find", str(work / "tree"), "-mindepth", "1", "-delete"))
        shutil.rmtree(work)


def _in_namespace(*command: str) -> list[str]:
    return ["mmdebstrap", "--unshare-helper", *command]


def _make_key(image: Image) -> None:
    _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "rl system tests", "-f", image.key)


def _make_tree(release: str, work: Path, image: Image) -> None:
    code, wheels = work / "code.tar", work / "wheels.tar"
    code.write_bytes(b"".join(_packed_code()))
    _pack_wheels(release, work / "wheels", wheels)
    _run(
        "mmdebstrap", "--mode=unshare", "--variant=apt", "--quiet",
        f"--include={','.join(PACKAGES)}",
        "--dpkgopt=path-exclude=/usr/share/doc/*",
        "--dpkgopt=path-exclude=/usr/share/man/*",
        "--dpkgopt=path-exclude=/usr/share/locale/*",
        *_apt_options(),
        "--customize-hook=mkdir -p $1/opt/rl $1/tmp/wheels $1/root/.ssh",
        f"--customize-hook=tar-in {code} /opt/rl",
        f"--customize-hook=tar-in {wheels} /tmp/wheels",
        f"--customize-hook=upload {image.key}.pub /root/.ssh/authorized_keys",
        f"--customize-hook=upload {CUSTOMIZE} /tmp/customize.sh",
        f"--customize-hook=chroot $1 sh /tmp/customize.sh {' '.join(USERS)}",
        f"--customize-hook=download /vmlinuz {image.kernel}",
        f"--customize-hook=download /initrd.img {image.initrd}",
        release, work / "tree", *_sources(release),
    )  # fmt: skip


def _make_disk(work: Path, image: Image) -> None:
    disk = work / "disk.img"
    disk.touch()
    disk.chmod(0o666)  # it is the namespace's root that writes
    _run(*_in_namespace(
        "/sbin/mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-m", "0",
        "-d", str(work / "tree"), str(disk), DISK_SIZE,
    ))  # fmt: skip
    _run("cp", "--sparse=always", disk, image.disk)


def _make_swap(image: Image) -> None:
    with image.swap.open("wb") as file:
        file.truncate(SWAP_BYTES)
    image.swap.chmod(0o600)
    _run("/sbin/mkswap", "-q", image.swap)


def _apt_options() -> list[str]:
    """How this machine's apt reaches its mirror: proxies, certificates, what it does not check."""
    dump = _run("apt-config", "dump")
    pattern = re.compile(r"Acquire::(https?::|Check-).*;")
    return [f"--aptopt={line}" for line in dump.splitlines() if pattern.fullmatch(line)]


def _sources(release: str) -> list[str]:
    """Lines of sources.list: this machine's own mirror where it is a Debian mirror."""
    rows = _run("apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)",
                "Created-By: Packages")  # fmt: skip
    mirrors = {}
    for row in rows.splitlines():
        uri, _, suite = row.partition(" ")
        if suite.removesuffix("-security") in (*PYTHONS, "stable", "testing"):
            mirrors.setdefault("security" if suite.endswith("-security") else "main", uri)
    lines = [f"deb {mirrors.get('main', DEFAULT_MIRROR)} {release} main"]
    if "security" in mirrors:
        lines.append(f"deb {mirrors['security']} {release}-security main")
    return lines


def _pack_wheels(release: str, folder: Path, archive: Path) -> None:
    """What pip needs in the guest, fetched here, where pip is set up to reach an index."""
    _run(
        sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:",
        f"--python-version={PYTHONS[release]}", "--dest", folder, *_requirements(),
    )  # fmt: skip
    with tarfile.open(archive, "w") as tar:
        tar.add(folder, ".")


def _requirements() -> list[str]:
    text = (CHECKOUT / "pyproject.toml").read_text()
    listed = re.findall(r"^(?:requires|dependencies|fast) = \[(.*?)\]$", text, re.M | re.S)
    names = [name for row in listed for _, name in re.findall(r"""(["'])(.*?)\1""", row)]
    return [*names, "editables"]  # which hatchling asks for while it installs


def _packed_code() -> Iterator[bytes]:
    """The project as a tar archive, in pieces: the files that a guest's /opt/rl has."""
    with tempfile.TemporaryFile() as file:
        with tarfile.open(fileobj=file, mode="w") as tar:
            for name in INSTALLED:
                tar.add(CHECKOUT / name, name, filter=_as_installed)
        file.seek(0)
        while piece := file.read(1 << 20):
            yield piece


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


def packed_code() -> bytes:
    """The project's files as a tar archive, to be unpacked into a guest's /opt/rl."""
    return b"".join(_packed_code())


def _run(*command: str | Path) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False,
    )  # fmt: skip
    if done.returncode:
        said = (done.stdout + done.stderr)[-8000:]
        raise RuntimeError(f"{command[0]}: exit code {done.returncode}\n{said}")
    return done.stdout
