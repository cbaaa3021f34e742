"""The first step of every start, before anything heavy is imported."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.kernel.channel import Channel
    from rootless.runtime.joined import Joined
    from rootless.runtime.launch import Launch


def launch(*, detached: bool, keep_output: bool = False, joined: Joined | None = None) -> Launch:
    """Fork the keeper and, for a container that nobody waits for, its supervisor.

    keep_output: see runtime.stdio. joined: of other containers. Raises HostError.
    """
    import gc

    from rootless.runtime.launch import Launch

    # A run makes no cycles worth a search, and each search touches every page shared with the
    # keeper.
    gc.disable()
    if detached:
        # What we need as well as a supervisor: once, and its pages are shared.
        from rootless.engine import ending  # noqa: F401
        from rootless.store import paths  # noqa: F401
    begun = Launch(_supervise if detached else None, keep_output=keep_output, joined=joined)
    try:
        begun.request_maps()
    except BaseException:
        begun.abandon()
        raise
    return begun


def load_for_many() -> None:
    """Import here what each of several starts would import in processes of its own.

    Their supervisors and keepers then share the pages as well, as long as they live.
    """
    from rootless.engine import detach, made, supervisor  # noqa: F401
    from rootless.runtime import launch

    launch.load_for_keepers()


def _supervise(launcher: Channel) -> None:
    from rootless.engine import supervisor

    supervisor.main(launcher)
