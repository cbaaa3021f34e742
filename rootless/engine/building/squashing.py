"""`--squash`: what a build has added to its base image, as one layer."""

from __future__ import annotations

from rootless.engine.building import roots, state
from rootless.runtime import copytree
from rootless.store import layers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.engine.building.state import State
    from rootless.engine.building.workshop import Workshop
    from rootless.image.layer_writer import LayerWriter, NewLayer


def squash(shop: Workshop, now: State) -> None:
    """Replace the layers that are not of the base image by one. Raises RlError."""
    base = shop.stored(now)
    kept = base.diff_ids if base is not None else []
    if len(now.diff_ids) - len(kept) < 2:
        return
    new = [shop.paths.layer_diff(one) for one in now.diff_ids[len(kept) :]]
    below = [shop.paths.layer_diff(one) for one in dict.fromkeys(reversed(kept))]

    def make(writer: LayerWriter) -> NewLayer:
        with layers.Workspace(shop.paths) as workspace:
            folder = f"{workspace.path}/root"
            request = roots.prepare(folder, below)
            # What hides names in these layers removes them here, and the mount hides them again.
            roots.work_in(request, roots.sender(lambda _: _applied(new, f"{folder}/merged")))
            return shop.write(writer, roots.upper_of(folder), below)

    before = now.config
    old = base.config if base is not None else {}
    history = list(old.get("history") or ())
    now.layers = now.layers[: len(kept)]
    now.config = {**before, "history": history, "rootfs": {"type": "layers", "diff_ids": kept}}
    shop.take(now, state.key_of("squash", now.key), "rl build --squash", make)


def _applied(new: list[str], merged: str) -> bool:
    copytree.copy_layers(new, merged)
    return True
