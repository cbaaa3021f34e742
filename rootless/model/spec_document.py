"""A ContainerSpec as a document that JSON can carry, for the record of a container.

Only what differs from the defaults is in it: a later version reads what an earlier one kept.
"""

from __future__ import annotations

from rootless.model.container import ContainerSpec
from rootless.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


def to_document(spec: ContainerSpec) -> dict[str, Any]:
    """`spec` in dicts, lists, texts and numbers."""
    default = ContainerSpec()
    names = (name for name in spec.__slots__ if getattr(spec, name) != getattr(default, name))
    return {name: _plain(getattr(spec, name)) for name in names}


def from_document(document: Mapping[str, Any]) -> ContainerSpec:
    """The spec that `document` was made of; fields that this version does not know are left out."""
    from rootless.model.mountspec import DeviceSpec, MountSpec
    from rootless.model.ports import PortMapping

    classes: dict[str, type[Value]] = {
        "mounts": MountSpec, "devices": DeviceSpec, "ports": PortMapping,
    }  # fmt: skip
    known = {name: document[name] for name in ContainerSpec.__slots__ if name in document}
    for name, made_of in classes.items():
        if name in known:
            known[name] = [made_of(**_tuples(row)) for row in known[name]]
    if "add_hosts" in known:
        known["add_hosts"] = [tuple(pair) for pair in known["add_hosts"]]
    return ContainerSpec(**known)


def _plain(value: Any) -> Any:
    if isinstance(value, Value):
        return {name: _plain(getattr(value, name)) for name in value.__slots__}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value


def _tuples(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(one) if isinstance(one, list) else one for name, one in row.items()}
