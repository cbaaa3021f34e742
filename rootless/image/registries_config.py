"""Reading registries.toml: /etc/rl, then the user's, then $RL_CONFIG; later ones win.

On the start path: without a file that says anything, no TOML reader is imported.
"""

from __future__ import annotations

from rootless import config

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.model.reference import Reference
    from rootless.model.registries import Registries

_NAME = "registries.toml"


def load() -> Registries:
    """The merged configuration. Raises UsageError that names the file and the key or line."""
    from rootless.model.registries import Registries

    registries = Registries()
    for path in config.user_files(_NAME):
        registries.merge(config.load(path), path)
    return registries


def candidates(reference: Reference) -> list[Reference]:
    """The qualified references that `reference` stands for, in the order to ask for them."""
    return [reference] if not reference.is_short else load().candidates(reference)


def local_candidates(reference: Reference) -> list[Reference]:
    """The names under which the store may hold what `reference` means, best first."""
    return [reference] if not reference.is_short else load().local_candidates(reference)
