"""`rl run --bundle DIR`: the container as an OCI bundle, for any runtime, instead of a start.

With `--dry-run` only its document is told, so that a bundle can get another one.

The bundle is whole: its own copy of the image's files, its own /etc/hosts and the like, no path of
the store. What only we can serve while a container runs is left out: the view of /proc, a network
driver, a control group's path.
"""

from __future__ import annotations

import os

from rootless import log
from rootless.engine import run
from rootless.errors import HostError, UsageError
from rootless.model import jsontext
from rootless.store import files
from rootless.tools import idmap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.engine.plan import Plan
    from rootless.model.container import ContainerSpec

_ROOTFS, _FILES = "rootfs", "files"


def write(spec: ContainerSpec, directory: str) -> None:
    """Make `directory` the bundle of the container that `spec` asks for. Raises RlError."""
    made = _planned(spec, pull=True)
    _make(directory)
    document = _document(made)
    _write_files(made, directory)
    if not spec.rootfs:
        _copy_image(list(made.image.layers), f"{directory}/{_ROOTFS}")
    text = jsontext.dumps(document)
    files.write_atomic(f"{directory}/config.json", text.encode() + b"\n")


def describe(spec: ContainerSpec, directory: str) -> tuple[dict[str, Any], list[str]]:
    """The document that `write` writes, and what else it does, in its order. Raises RlError."""
    made = _planned(spec, pull=False)
    effects = [f"mkdir {directory}"]
    effects += [f"write {directory}/{_FILES}/{name}" for name in made.files]
    if not spec.rootfs:
        effects.append(f"copy {len(made.image.layers)} layers to {directory}/{_ROOTFS}")
    return _document(made), [*effects, f"write {directory}/config.json"]


def _planned(spec: ContainerSpec, *, pull: bool) -> Plan:
    if spec.joins or spec.volumes_from or spec.userns:
        raise UsageError("--bundle: a bundle has no other container's parts, and no --userns")
    spec.procview, spec.sysinfo = "off", False
    _, made, network = run.planned(spec, None, pull=pull)
    if made.image.squash:
        raise HostError("--bundle: only of images whose layers are in a store", hint="rl images")
    if network.new_namespace and network.name != "none":
        log.notice("--bundle: its network has nothing but the loopback; --net host is the host's")
    return made


def _make(directory: str) -> None:
    try:
        os.makedirs(f"{directory}/{_FILES}")
    except FileExistsError:
        raise UsageError(f"--bundle {directory}: exists already", f"rm -r {directory}") from None
    except OSError as error:
        raise files.explain(error, directory) from error


def _document(made: Plan) -> dict[str, Any]:
    document = made.document
    _leave_groups(document)
    if made.driver != "directory":
        document["root"]["path"] = _ROOTFS
    else:
        document["root"]["path"] = os.path.abspath(document["root"]["path"])
    own = {f"{made.place.directory}/{name}": f"{_FILES}/{name}" for name in made.files}
    anonymous = {use.path for use in made.volumes if use.anonymous}
    mounts = [mount for mount in document["mounts"] if mount["source"] not in anonymous]
    for mount in mounts:
        mount["source"] = own.get(mount["source"], mount["source"])
        # For us `ro` of a recursive bind is for all that is below; others have a word for that.
        if {"rbind", "ro"} <= set(mount["options"]):
            mount["options"].append("rro")
    document["mounts"] = mounts
    return document


def _leave_groups(document: dict[str, Any]) -> None:
    """runc, up to 1.1, sets no additional groups for a normal user, and refuses all but none."""
    user = document["process"]["user"]
    groups = [gid for gid in user.pop("additionalGids", []) if gid != user["gid"]]
    if groups:
        user["additionalGids"] = groups
        log.notice(
            "--bundle: runc may refuse its additional groups"
            f" ({' '.join(map(str, groups))}); crun and rl-oci take them"
        )


def _write_files(made: Plan, directory: str) -> None:
    for name, text in made.files.items():
        files.write_atomic(f"{directory}/{_FILES}/{name}", text.encode())


def _copy_image(layers: list[str], target: str) -> None:
    """As root of the user's namespace: the files belong to who they belong to in the container."""
    log.effect(f"copy {len(layers)} layers to {target}")

    def copy() -> None:
        from rootless.runtime import copytree

        os.mkdir(target, 0o755)
        copytree.copy_layers(layers[::-1], target)

    idmap.call(copy)
