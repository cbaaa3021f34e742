"""What sysinfo(2) says in the container: the figures of the view's meminfo, loadavg and uptime."""

from __future__ import annotations

from rootless.model.sysinfo import Figures, pack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.procview.readers import Readers

    Texts = tuple[bytes, bytes, bytes]

_FIELDS = frozenset((b"MemTotal", b"MemFree", b"Shmem", b"Buffers", b"SwapTotal", b"SwapFree"))


def render(meminfo: bytes, loadavg: bytes, uptime: bytes) -> Figures:
    """The figures of those files' texts, so that both always agree. Pure."""
    memory = _sizes(meminfo)
    words = loadavg.split()
    return Figures(
        uptime=_seconds(uptime.split()[0]),
        loads=(_load(words[0]), _load(words[1]), _load(words[2])),
        total=memory.get(b"MemTotal", 0),
        free=memory.get(b"MemFree", 0),
        shared=memory.get(b"Shmem", 0),
        buffers=memory.get(b"Buffers", 0),
        total_swap=memory.get(b"SwapTotal", 0),
        free_swap=memory.get(b"SwapFree", 0),
        procs=int(words[3].partition(b"/")[2]),
    )


def _sizes(text: bytes) -> dict[bytes, int]:
    lines = (line.partition(b":") for line in text.splitlines())
    return {name: int(rest.split()[0]) << 10 for name, _, rest in lines if name in _FIELDS}


def _seconds(word: bytes) -> int:
    """Rounded up, as the kernel's."""
    return -(-int(word.replace(b".", b"")) // 100)


def _load(word: bytes) -> int:
    """Hundredths in units of 1/65536; rounded up, since readers cut at two digits."""
    return -(-(int(word.replace(b".", b"")) << 16) // 100)


class Answers:
    """What each caller gets. Not for several threads."""

    __slots__ = ("_packed", "_readers", "_texts")

    def __init__(self, readers: Readers) -> None:
        self._readers = readers
        self._texts: Texts = b"", b"", b""
        self._packed: dict[int, bytes] = {}

    def structure(self, pid: int, arch: int) -> bytes:
        """struct sysinfo for the thread `pid`, which called as one of `arch` (AUDIT_ARCH_*)."""
        contents = self._readers.of(pid)
        texts = contents.text("meminfo"), contents.text("loadavg"), contents.text("uptime")
        if texts != self._texts:
            self._texts = texts
            self._packed = {}
        found = self._packed.get(arch)
        if found is None:
            found = self._packed[arch] = pack(render(*texts), arch)
        return found
