"""The options of `rl run`, with docker's and podman's names and meanings (podman-run(1))."""

from __future__ import annotations

from rootless.cli.options import flag, repeat, section, value
from rootless.cli.resource_options import RESOURCE_OPTIONS, START_OPTIONS
from rootless.model.container import HEALTH_ACTIONS, PULL_POLICIES, STORAGE_DRIVERS

_PROCESS = section(
    "Process",
    repeat("-e --env", "NAME[=VALUE]", "Set a variable, or pass the host's on; PRE* passes all"),
    repeat("--env-file", "FILE", "Read variables from a file, one NAME=VALUE a line"),
    flag("--env-host", "Pass all variables of the host on"),
    value("-w --workdir", "DIR", "Working directory in the container"),
    value("-u --user", "USER[:GROUP]", "Names or ids to run as"),
    repeat("--group-add", "GROUP", "More groups; keep-groups keeps the caller's"),
    value("--entrypoint", "COMMAND", 'Instead of the image\'s; "" for none, or a JSON array'),
    flag("-i --interactive", "Keep standard input open"),
    flag("-t --tty", "Give the process a terminal"),
    flag("--init", "Run a small init as process 1: it forwards signals and reaps"),
    value("--stop-signal", "SIGNAL", "Signal that ends the container (default the image's)"),
    value("--stop-timeout", "SECONDS", "How long `rl stop` waits before it kills (default 10)"),
    value("--timeout", "SECONDS", "End the container after this time; 0 for never", default="0"),
    flag("--sig-proxy", "Forward signals that rl gets to the process", default=True),
    value("--umask", "MASK", "File mode mask of the process", default="0022"),
    repeat("--ulimit", "NAME=SOFT[:HARD]", "Resource limit, such as nofile=1024:4096"),
)

_CONTAINER = section(
    "Container",
    value("--name", "NAME", "Name of the container"),
    flag("--replace", "Remove a container that has this name already"),
    flag("--rm", "Remove the container when it ends"),
    value("--restart", "POLICY", "no, on-failure[:MOST], always or unless-stopped"),
    value("--cidfile", "FILE", "Write the container's id to a file"),
    repeat("-l --label", "KEY[=VALUE]", "Label of the container"),
    repeat("--label-file", "FILE", "Read labels from a file, one KEY=VALUE a line"),
    repeat("--annotation", "KEY=VALUE", "Annotation in the OCI document"),
    flag("--read-only", "Make the root file system read-only"),
    flag("--read-only-tmpfs", "With --read-only, tmpfs on /run, /tmp, /var/tmp", default=True),
    value("--shm-size", "SIZE", "Size of /dev/shm", default="64m"),
)

_LOG = section(
    "Log",
    value("--log-driver", "DRIVER", "Where the output is kept: json-file, journald or none"),
    repeat("--log-opt", "NAME=VALUE", "max-size=20m, max-file=5, or with journald tag=TEXT"),
)

_HEALTH = section(
    "Health (of a detached container)",
    value("--health-cmd", "COMMAND", "Line for the shell, or a JSON array, that asks how it is"),
    value("--health-interval", "TIME", "From one check to the next (default 30s)"),
    value("--health-timeout", "TIME", "A check that takes longer has failed (default 30s)"),
    value("--health-retries", "NUMBER", "Failures in a row that make it unhealthy (default 3)"),
    value("--health-start-period", "TIME", "No failure counts before the first success (0s)"),
    value("--health-start-interval", "TIME", "From check to check in that period (default 5s)"),
    value("--health-on-failure", "ACTION", "What becomes of an unhealthy one",
          choices=HEALTH_ACTIONS),
    flag("--no-healthcheck", "Not even the image's HEALTHCHECK"),
)  # fmt: skip
HEALTH_NAMES = frozenset(option.name for option in _HEALTH)

_IMAGE = section(
    "Image",
    value("--pull", "WHEN", "When to pull the image", default="missing", choices=PULL_POLICIES),
    value("--platform", "OS/ARCH[/VARIANT]", "Platform of the image (default the host's)"),
    flag("--rootfs", "IMAGE is a directory to run in; with :O nothing is written to it"),
    value("--storage-driver", "DRIVER", "How layers are put together", choices=STORAGE_DRIVERS),
    flag("-q --quiet", "Show nothing while pulling"),
)

_FILES = section(
    "Files",
    repeat("-v --volume", "[SOURCE:]TARGET[:OPTIONS]", "Mount a directory, a file or a volume"),
    repeat("--mount", "type=TYPE,...", "As -v, in words: type=bind|volume|tmpfs,source=,target="),
    repeat("--volumes-from", "CONTAINER[:ro]", "Mount what another container has mounted"),
    repeat("--tmpfs", "TARGET[:OPTIONS]", "Mount a tmpfs"),
    repeat("--no-mount", "PATH", "Without a bind of the site's, or bind-paths: without any"),
    repeat(
        "--device",
        "SOURCE[:TARGET][:PERMISSIONS]",
        "Add a device, or VENDOR/CLASS=NAME of CDI",
    ),
)

_SITE = section(
    "Site",
    repeat("--module", "NAME", "Add what the site's module NAME says, such as for MPI or a GPU"),
    repeat("--no-module", "NAME", "Not the module that the site adds by itself; all: none"),
)

_VIEW = section(
    "View of the machine",
    value("--procview", "on|off|FILES", "Whether /proc shows the container's own memory, CPUs, …"),
    flag("--cpu-affinity", "Run on no more CPUs than --cpus allows, so that nproc says so too"),
    flag("--sysinfo", "Have sysinfo(2) answer as /proc does: for busybox's free, sysconf(3)"),
)

_NETWORK = section(
    "Network",
    value(
        "--network --net",
        "MODE",
        "slirp4netns[:OPTIONS], pasta[:OPTIONS], host, none, container:NAME",
    ),
    repeat("-p --publish", "[[IP:]HOSTPORT:]PORT[/PROTO]", "Publish a port or a range"),
    flag("-P --publish-all", "Publish all ports that the image exposes"),
    value("-h --hostname", "NAME", "Host name (default the container's id)"),
    value("--domainname", "NAME", "Domain name"),
    repeat("--dns", "IP", "Name server; none leaves the image's resolv.conf alone"),
    repeat("--dns-search", "DOMAIN", "Search domain; . for none"),
    repeat("--dns-option --dns-opt", "OPTION", "Option in resolv.conf"),
    repeat("--add-host", "NAME:IP", "Line in /etc/hosts; the IP may be host-gateway"),
    flag("--no-hosts", "Leave the image's /etc/hosts alone"),
)

_SECURITY = section(
    "Security",
    flag("--privileged", "All capabilities inside the user namespace, nothing masked"),
    repeat("--cap-add", "CAPABILITY", "Add a capability, or ALL"),
    repeat("--cap-drop", "CAPABILITY", "Drop a capability, or ALL"),
    repeat(
        "--security-opt", "OPTION", "seccomp=FILE|unconfined, no-new-privileges[=false], mask=, …"
    ),
    repeat("--sysctl", "NAME=VALUE", "Kernel parameter of the container's namespaces"),
    value(
        "--userns", "MODE", "keep-id[:uid=N,gid=N], auto[:size=N], host, nomap or container:NAME"
    ),
    value("--pid", "MODE", "PID namespace: private, host or container:NAME"),
    value("--ipc", "MODE", "IPC namespace: private, shareable, none, host or container:NAME"),
    value("--uts", "MODE", "UTS namespace: private, host or container:NAME"),
    value("--cgroupns", "MODE", "Cgroup namespace", choices=("private", "host")),
    value("--runtime", "PROGRAM", "Another OCI runtime instead of rl's own: crun, runc or a path"),
    value("--timens", "MODE", "Clock since boot; private: its own", choices=("private", "host")),
)

_EXPLAIN = section(
    "Explanation",
    flag("--dry-run", "Print the OCI document (or that of --bundle); do nothing"),
    value("--bundle", "DIR", "Write an OCI bundle there, for any runtime; start nothing"),
    flag("--explain-start", "Print where the time of the start went"),
    flag("--debug", "Show every change to the host before it is made"),
)

_DETACH = section(
    "Container",
    flag("-d --detach", "Leave the container running and print its id"),
)

CREATE_OPTIONS = (
    *_PROCESS,
    *_CONTAINER,
    *_LOG,
    *_HEALTH,
    *_IMAGE,
    *_FILES,
    *_SITE,
    *_VIEW,
    *_NETWORK,
    *RESOURCE_OPTIONS,
    *START_OPTIONS,
    *_SECURITY,
    flag("--debug", "Show every change to the host before it is made"),
)

RUN_OPTIONS = (*_DETACH, *CREATE_OPTIONS[:-1], *_EXPLAIN)
