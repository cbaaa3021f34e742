"""Debian's programs in a container: the guest's /usr in the image's place.

They look into /proc themselves, so what they say is what users of theirs would see.
"""

from __future__ import annotations

# busybox stays the shell, `busybox APPLET` the others of its programs.
MOUNTS = (
    "-v /usr:/usr:ro -v /usr/lib:/lib:ro -v /usr/lib64:/lib64:ro"
    " -v /etc/java-17-openjdk:/etc/java-17-openjdk:ro"
)
PATH = "/usr/lib/jvm/default-java/bin:/usr/bin:/usr/sbin:/bin"
