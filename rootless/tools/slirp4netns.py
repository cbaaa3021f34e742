"""slirp4netns(1): a TCP/IP stack in a process, between a tap device and the host's sockets.

Written against versions 1.0 to 1.3. The target is named by process id and not by path: with
--netns-type=path, 1.2.0 forgets --userns-path when it enters its sandbox and ends ("setegid(0)").
"""

from __future__ import annotations

import os

from rootless.errors import NetworkSetupError, describe_os_error
from rootless.tools import spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.model.ports import PortMapping

TAP = "tap0"
# Its sandbox ends at the directory where it was started, so the socket's name is relative: that
# also keeps it below the 108 bytes of sun_path (unix(7)).
_SOCKET = "api"
_API_PATIENCE = 10.0
_PROTECTIONS = ("sandbox", "seccomp")
# What it writes on its way, whether it fails or not.
_CHATTER = (
    "WARNING:", "sent tapfd", "received tapfd", "child failed", "parent failed",
    "do_slirp", "apifd event", "api_handler: got request",
)  # fmt: skip


class Settings:
    """What one slirp4netns is told.

    cidr: the IPv4 network; it uses addresses 2 (gateway), 3 (resolver) and 100 (container) of it.
    mtu: bytes. outbound: extra flags `--outbound-addr…`.
    unprotected: those of "sandbox" and "seccomp" that it has to do without.
    """

    __slots__ = ("cidr", "host_loopback", "ipv6", "mtu", "outbound", "resolver", "unprotected")

    def __init__(
        self,
        *,
        cidr: str,
        mtu: int,
        ipv6: bool,
        host_loopback: bool,
        resolver: bool,
        outbound: list[str],
    ) -> None:
        self.cidr = cidr
        self.mtu = mtu
        self.ipv6 = ipv6
        self.host_loopback = host_loopback
        self.resolver = resolver
        self.outbound = outbound
        self.unprotected: set[str] = set()

    def flags(self) -> list[str]:
        """The flags that follow from the settings."""
        flags = ["--configure", f"--mtu={self.mtu}", f"--cidr={self.cidr}"]
        flags += [] if self.host_loopback else ["--disable-host-loopback"]
        flags += ["--enable-ipv6"] if self.ipv6 else []
        flags += [] if self.resolver else ["--disable-dns"]
        flags += [f"--enable-{name}" for name in _PROTECTIONS if name not in self.unprotected]
        return flags + self.outbound


class Started:
    """A slirp4netns on its way up.

    ready: a byte comes when the network is up and the API answers, the pipe's end when it failed.
    words: its standard error. owner: it ends when the last copy of this descriptor is closed.
    """

    __slots__ = ("child", "owner", "ready", "words")

    def __init__(self, child: spawn.Child, *, ready: int, words: int, owner: int) -> None:
        self.child = child
        self.ready = ready
        self.words = words
        self.owner = owner


def start(settings: Settings, target_pid: int, api_folder: str | None) -> Started:
    """Start it on the namespaces of process `target_pid`.

    api_folder: a directory (see `make_api_folder`) for the API's socket, None for no API.
    Raises HostError when it is not installed.
    """
    program = spawn.find("slirp4netns", "slirp4netns")
    ready, to_ready = os.pipe()
    from_owner, owner = os.pipe()
    words, to_words = os.pipe()
    argv = [program, *settings.flags(), f"--ready-fd={to_ready}", f"--exit-fd={from_owner}"]
    argv += [f"--api-socket={_SOCKET}"] if api_folder else []
    try:
        # umask: a container that maps other ids than the user's makes the socket theirs, and we
        # could not connect. The directories above it are closed to everybody else.
        child = spawn.spawn(
            [*argv, str(target_pid), TAP],
            stderr=to_words, pass_fds=(to_ready, from_owner), own_session=True,
            cwd=api_folder, umask=0,
        )  # fmt: skip
    finally:
        for fd in (to_ready, from_owner, to_words):
            os.close(fd)
    return Started(child, ready=ready, words=words, owner=owner)


def make_api_folder(path: str) -> None:
    """A directory for the API's socket, inside one that only its owner can enter.

    It is open to others itself, because slirp4netns works as the container's root, which under
    some maps is not the user. Leftovers at `path` go. Raises NetworkSetupError.
    """
    try:
        remove_api_folder(path)
        os.mkdir(path, 0o700)
        os.chmod(path, 0o733)
    except OSError as error:
        raise NetworkSetupError(describe_os_error(error)) from error


def remove_api_folder(path: str) -> None:
    """Take the directory and the socket away; missing ones are no error."""
    for remove, name in ((os.unlink, f"{path}/{_SOCKET}"), (os.rmdir, path)):
        try:
            remove(name)
        except FileNotFoundError:
            pass


def add_hostfwd(api_folder: str, port: PortMapping) -> bool:
    """Forward one port; False when slirp4netns could not bind it (it names no reason).

    Raises NetworkSetupError when the API cannot be talked to.
    """
    request = (
        f'{{"execute": "add_hostfwd", "arguments": {{"proto": "{port.protocol}",'
        f' "host_addr": "{port.host_ip or "0.0.0.0"}", "host_port": {port.host_port},'
        f' "guest_port": {port.container_port}}}}}'
    )
    try:
        answer = _ask(api_folder, request.encode())
    except OSError as error:
        raise NetworkSetupError(f"slirp4netns: its API socket: {error}") from error
    return b'"return"' in answer


def _ask(api_folder: str, request: bytes) -> bytes:
    """One request, one connection: that is all the API's protocol (slirp4netns(1), API SOCKET)."""
    import _socket

    folder = os.open(api_folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    try:
        sock.settimeout(_API_PATIENCE)
        sock.connect(f"/proc/self/fd/{folder}/{_SOCKET}")
        sock.send(request)
        sock.shutdown(_socket.SHUT_WR)
        answer = b""
        while part := sock.recv(4096):
            answer += part
        return answer
    finally:
        sock.close()
        os.close(folder)


def complaint(words: str) -> str:
    """What of its standard error tells why it failed, in one line."""
    # An unknown option is followed by pages of usage on standard output, not here.
    return spawn.last_words(words, besides=_CHATTER)


def lacking_protection(words: str) -> str | None:
    """Which of its protections this host or this build does not allow, if that is why it ended."""
    for name in _PROTECTIONS:
        if f"create_{name} failed" in words or f"enable_{name} failed" in words:
            return name
        if f"unrecognized option '--enable-{name}'" in words:
            return name
    return None
