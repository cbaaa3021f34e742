"""/proc/cpuinfo (proc(5)): the host's text for the CPUs that the container has. Pure."""

from __future__ import annotations

from rootless.procview import cpus

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.procview.snapshot import Snapshot

_NAME = b"processor"


def render(snapshot: Snapshot) -> bytes:
    """The blocks of the visible CPUs, numbered from 0, and what is about the machine as a whole.

    The host's text where its form is another one (s390).
    """
    text = snapshot.host("cpuinfo")
    blocks, rest = _blocks(text)
    visible = cpus.visible(snapshot)
    if any(cpu not in blocks for cpu in visible):
        return text
    shown = [_numbered(blocks[cpu], index) for index, cpu in enumerate(visible)]
    return b"\n\n".join(shown + rest) + b"\n" * (len(text) - len(text.rstrip(b"\n")))


def _blocks(text: bytes) -> tuple[dict[int, bytes], list[bytes]]:
    """CPU → its block, and the blocks that are about the machine."""
    found, rest = {}, []
    for block in text.rstrip(b"\n").split(b"\n\n"):
        name, colon, value = block.partition(b"\n")[0].partition(b":")
        if colon and name.strip() == _NAME and value.strip().isdigit():
            found[int(value)] = block
        elif block:
            rest.append(block)
    return found, rest


def _numbered(block: bytes, index: int) -> bytes:
    line, newline, rest = block.partition(b"\n")
    return line[: line.index(b":") + 1] + b" %d" % index + newline + rest
