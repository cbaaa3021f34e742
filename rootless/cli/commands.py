"""The commands of `rl`: where each one is and what it does in a line.

`rl --help` shows this table without importing any command.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless.cli.options import Signature


class Entry:
    """One row: the words of the command, where its Signature stands, and its summary.

    summary: "" for what only rl itself calls, which no help shows."""

    __slots__ = ("attribute", "module", "path", "summary")

    def __init__(self, path: str, module: str, attribute: str, summary: str) -> None:
        self.path = path
        self.module = module
        self.attribute = attribute
        self.summary = summary

    def load(self) -> Signature:
        """The command's signature; imports its module."""
        module = __import__(f"rootless.cli.{self.module}", fromlist=(self.attribute,))
        signature: Signature = getattr(module, self.attribute)
        return signature


GROUPS = {
    "image": "Manage images",
    "container": "Manage containers",
    "manifest": "Give images of several platforms one name",
    "volume": "Manage volumes",
    "module": "Show the site's modules",
    "generate": "Make files for other programs",
    "healthcheck": "Check how containers are",
    "system": "Manage the store",
}

ENTRIES = {
    row[0]: Entry(*row)
    for row in (
        ("run", "cmd_run", "RUN", "Run a command in a new container"),
        ("exec", "cmd_exec", "EXEC", "Run a command in a running container"),
        ("build", "cmd_build", "BUILD", "Build an image from a Dockerfile"),
        ("ps", "cmd_ps", "PS", "List containers"),
        ("create", "cmd_run", "CREATE", "Make a container without starting it"),
        ("start", "cmd_lifecycle", "START", "Start containers"),
        ("stop", "cmd_lifecycle", "STOP", "Stop containers"),
        ("restart", "cmd_lifecycle", "RESTART", "Stop containers and start them again"),
        ("kill", "cmd_lifecycle", "KILL", "Send a signal to containers"),
        ("wait", "cmd_lifecycle", "WAIT", "Wait until containers have ended"),
        ("attach", "cmd_lifecycle", "ATTACH", "Attach to the streams of a container"),
        ("rm", "cmd_containers", "RM", "Remove containers"),
        ("logs", "cmd_logs", "LOGS", "Show what containers have said"),
        ("top", "cmd_top", "TOP", "Show the processes of a container"),
        ("pause", "cmd_pause", "PAUSE", "Stop all processes of containers where they are"),
        ("unpause", "cmd_pause", "UNPAUSE", "Let paused containers go on"),
        ("update", "cmd_update", "UPDATE", "Change the limits of containers"),
        ("stats", "cmd_stats", "STATS", "Show what containers use, again and again"),
        ("limits", "cmd_limits", "LIMITS", "Show what limits a container, and how near it is"),
        ("cp", "cmd_cp", "CP", "Copy files between a container and the host"),
        ("diff", "cmd_files", "DIFF", "List what a container has changed in its image"),
        ("export", "cmd_files", "EXPORT", "Write a container's files as a tar archive"),
        ("commit", "cmd_commit", "COMMIT", "Make an image of a container"),
        ("port", "cmd_names", "PORT", "List the published ports of a container"),
        ("rename", "cmd_names", "RENAME", "Give a container another name"),
        ("pull", "cmd_images", "PULL", "Fetch an image from a registry"),
        ("push", "cmd_push", "PUSH", "Send an image to a registry"),
        ("save", "cmd_save", "SAVE", "Save images as an archive"),
        ("load", "cmd_save", "LOAD", "Load images from an archive"),
        ("search", "cmd_search", "SEARCH", "Look for images in registries"),
        ("login", "cmd_login", "LOGIN", "Keep a user name and password for a registry"),
        ("logout", "cmd_login", "LOGOUT", "Forget them"),
        ("images", "cmd_images", "LIST", "List images"),
        ("history", "cmd_history", "HISTORY", "Show the steps that made an image"),
        ("import", "cmd_import", "IMPORT", "Make an image of a root file system's archive"),
        ("rmi", "cmd_images", "REMOVE", "Remove images"),
        ("tag", "cmd_tag", "TAG", "Give an image more names"),
        ("untag", "cmd_tag", "UNTAG", "Take names from an image"),
        ("inspect", "cmd_inspect", "INSPECT", "Show containers and images as JSON"),
        ("events", "cmd_events", "EVENTS", "Tell what happens, as it happens"),
        ("oci", "cmd_oci", "OCI", "Be the OCI runtime of another program"),
        ("info", "cmd_info", "INFO", "Show the store, the drivers and the host"),
        ("doctor", "cmd_doctor", "DOCTOR", "Tell what works on this host, and what would help"),
        ("version", "cmd_info", "VERSION_COMMAND", "Show the version"),
        ("system df", "cmd_df", "DF", "Show what the store takes on the disk"),
        ("system prune", "cmd_system", "PRUNE", "Remove what nothing uses"),
        ("system reset", "cmd_system", "RESET", "Remove everything of the store"),
        ("system events", "cmd_events", "EVENTS", "Tell what happens, as it happens"),
        ("image build", "cmd_build", "BUILD", "Build an image from a Dockerfile"),
        ("image ls", "cmd_images", "LIST", "List images"),
        ("image pull", "cmd_images", "PULL", "Fetch an image from a registry"),
        ("image push", "cmd_push", "PUSH", "Send an image to a registry"),
        ("image history", "cmd_history", "HISTORY", "Show the steps that made an image"),
        ("image tree", "cmd_history", "TREE", "Show what layers an image has, and shares"),
        ("image mount", "cmd_image_mount", "MOUNT", "Let an image's files be looked at"),
        ("image unmount", "cmd_image_mount", "UNMOUNT", "Take such a mount off"),
        ("image umount", "cmd_image_mount", "UNMOUNT", ""),
        ("image squash", "cmd_squash", "SQUASH", "Write an image as one squashfs file"),
        ("image import", "cmd_import", "IMPORT", "Make an image of an archive"),
        ("image save", "cmd_save", "SAVE", "Save images as an archive"),
        ("image load", "cmd_save", "LOAD", "Load images from an archive"),
        ("image rm", "cmd_images", "REMOVE", "Remove images"),
        ("image prune", "cmd_prune", "IMAGE_PRUNE", "Remove images that nothing uses"),
        ("image tag", "cmd_tag", "TAG", "Give an image more names"),
        ("image untag", "cmd_tag", "UNTAG", "Take names from an image"),
        ("image inspect", "cmd_images", "INSPECT", "Show images as JSON"),
        ("container run", "cmd_run", "RUN", "Run a command in a new container"),
        ("container exec", "cmd_exec", "EXEC", "Run a command in a running container"),
        ("container ls", "cmd_ps", "PS", "List containers"),
        ("container create", "cmd_run", "CREATE", "Make a container without starting it"),
        ("container start", "cmd_lifecycle", "START", "Start containers"),
        ("container stop", "cmd_lifecycle", "STOP", "Stop containers"),
        ("container restart", "cmd_lifecycle", "RESTART", "Stop containers and start them again"),
        ("container restarted", "cmd_lifecycle", "RESTARTED", ""),
        ("container kill", "cmd_lifecycle", "KILL", "Send a signal to containers"),
        ("container wait", "cmd_lifecycle", "WAIT", "Wait until containers have ended"),
        ("container attach", "cmd_lifecycle", "ATTACH", "Attach to the streams of a container"),
        ("container rm", "cmd_containers", "RM", "Remove containers"),
        ("container inspect", "cmd_inspect", "INSPECT_CONTAINER", "Show containers as JSON"),
        ("container logs", "cmd_logs", "LOGS", "Show what containers have said"),
        ("container top", "cmd_top", "TOP", "Show the processes of a container"),
        ("container pause", "cmd_pause", "PAUSE", "Stop all processes of containers"),
        ("container unpause", "cmd_pause", "UNPAUSE", "Let paused containers go on"),
        ("container update", "cmd_update", "UPDATE", "Change the limits of containers"),
        ("container stats", "cmd_stats", "STATS", "Show what containers use, again and again"),
        ("container limits", "cmd_limits", "LIMITS", "Show what limits a container"),
        ("container prune", "cmd_system", "CONTAINER_PRUNE", "Remove those that do not run"),
        ("container cp", "cmd_cp", "CP", "Copy files between a container and the host"),
        ("container diff", "cmd_files", "DIFF", "List what a container has changed in its image"),
        ("container export", "cmd_files", "EXPORT", "Write a container's files as a tar archive"),
        ("container commit", "cmd_commit", "COMMIT", "Make an image of a container"),
        ("container port", "cmd_names", "PORT", "List the published ports of a container"),
        ("container rename", "cmd_names", "RENAME", "Give a container another name"),
        ("healthcheck run", "cmd_healthcheck", "RUN", "Check a container's health now"),
        ("manifest create", "cmd_manifest", "CREATE", "Begin a manifest list"),
        ("manifest add", "cmd_manifest", "ADD", "Add an image to a manifest list"),
        ("manifest annotate", "cmd_manifest", "ANNOTATE", "Change what a list says of an image"),
        ("manifest remove", "cmd_manifest", "REMOVE", "Take an image out of a manifest list"),
        ("manifest inspect", "cmd_manifest", "INSPECT", "Show a manifest list or a manifest"),
        ("manifest exists", "cmd_manifest", "EXISTS", "Tell whether there is such a list"),
        ("manifest push", "cmd_manifest", "PUSH", "Send a manifest list to a registry"),
        ("manifest rm", "cmd_manifest", "RM", "Forget manifest lists"),
        ("volume ls", "cmd_volumes", "LIST", "List volumes"),
        ("volume create", "cmd_volumes", "CREATE", "Make an empty volume"),
        ("volume inspect", "cmd_volumes", "INSPECT", "Show volumes as JSON"),
        ("volume prune", "cmd_prune", "VOLUME_PRUNE", "Remove volumes that nothing uses"),
        ("volume rm", "cmd_volumes", "REMOVE", "Remove volumes"),
        ("module ls", "cmd_module", "LIST", "List site modules"),
        ("module inspect", "cmd_module", "INSPECT", "Show site modules as JSON"),
        ("generate systemd", "cmd_generate", "SYSTEMD", "Print a unit that runs a container"),
    )
}


def find(words: Sequence[str]) -> tuple[Entry, list[str]] | None:
    """The command that `words` begins with, and its own argv; None when there is none."""
    length = 2 if words and words[0] in GROUPS else 1
    entry = ENTRIES.get(" ".join(words[:length]))
    return (entry, list(words[length:])) if entry else None


def children(group: str) -> list[Entry]:
    """The commands below `group`, "" for those at the top, in the order of the table."""
    prefix = f"{group} " if group else ""
    found = (entry for path, entry in ENTRIES.items() if path.startswith(prefix) and entry.summary)
    return [entry for entry in found if " " not in entry.path[len(prefix) :]]
