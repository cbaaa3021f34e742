"""/proc/pressure/* (Documentation/accounting/psi.rst). Pure."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.procview.snapshot import Snapshot


def render(snapshot: Snapshot, resource: str) -> bytes:
    """The text for "cpu", "memory", "io" or "irq"; the host's where the group has none.

    A group's files have the form of the machine's.
    """
    return snapshot.own(f"{resource}.pressure") or snapshot.host(f"pressure/{resource}")
