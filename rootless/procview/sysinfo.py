"""What sysinfo(2) says in the container: the figures of the view's meminfo, loadavg and uptime."""

from __future__ import annotations

from rootless.model.sysinfo import Figures, pack
from rootless.procview import loadavg, meminfo
from rootless.procview.loadavg import LoadState
from rootless.procview.source import now_usec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.procview.snapshot import Snapshot
    from rootless.procview.source import Source

# As the view's files (rootless.procview.contents): all answers of one tick are of one moment.
_TICK_USEC = 10_000
_FIELDS = frozenset((b"MemTotal", b"MemFree", b"Shmem", b"Buffers", b"SwapTotal", b"SwapFree"))


def render(snapshot: Snapshot, state: LoadState) -> Figures:
    """The figures; taken from the very texts, so that both always agree. Pure, but for `state`."""
    memory = _sizes(meminfo.render(snapshot))
    words = loadavg.render(snapshot, state).split()
    return Figures(
        # Rounded up, as the kernel's.
        uptime=-(-snapshot.elapsed_usec // 1_000_000),
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


def _load(word: bytes) -> int:
    """Hundredths in units of 1/65536; rounded up, since readers cut at two digits."""
    return -(-(int(word.replace(b".", b"")) << 16) // 100)


class Answers:
    """What callers get, of one Source. Not for several threads."""

    __slots__ = ("_figures", "_made_usec", "_packed", "_source", "_state")

    def __init__(self, source: Source) -> None:
        self._source = source
        self._state = LoadState()
        self._figures: Figures | None = None
        self._packed: dict[int, bytes] = {}
        self._made_usec = 0

    def structure(self, arch: int) -> bytes:
        """struct sysinfo for a caller of `arch` (AUDIT_ARCH_*); at most a tick old."""
        figures = self._fresh()
        found = self._packed.get(arch)
        if found is None:
            found = self._packed[arch] = pack(figures, arch)
        return found

    def _fresh(self) -> Figures:
        if self._figures is None or not 0 <= now_usec() - self._made_usec < _TICK_USEC:
            snapshot = self._source.snapshot()
            self._figures = render(snapshot, self._state)
            self._made_usec = snapshot.now_usec
            self._packed = {}
        return self._figures
