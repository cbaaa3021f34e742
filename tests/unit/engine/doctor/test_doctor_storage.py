from __future__ import annotations

from typing import Any

from rootless.engine.doctor import storage
from rootless.engine.doctor.finding import BROKEN, REDUCED, WORKS, Finding

ALL = {"fuse-overlayfs": "", "overlay": "", "vfs": ""}
MISSING = "No such file or directory"


def judge(**changed: Any) -> dict[str, Finding]:
    usual: dict[str, Any] = {
        "device": "", "program": "/usr/bin/fuse-overlayfs", "version": "1.10", "tried": ALL,
        "chosen": "fuse-overlayfs", "refused": "", "container": "",
        "squash": ["/usr/bin/squashfuse_ll", ""],
    }  # fmt: skip
    return {finding.check: finding for finding in storage.judge({**usual, **changed})}


def command(finding: Finding) -> str:
    assert finding.fix is not None
    return finding.fix.command


def test_all_works() -> None:
    assert {finding.state for finding in judge().values()} == {WORKS}


def test_native_overlay_is_not_needed_beside_fuse_overlayfs() -> None:
    found = judge(tried={**ALL, "overlay": "invalid argument"})
    assert {finding.state for finding in found.values()} == {WORKS}
    assert found["native-overlay"].absent and not found["fuse-overlayfs"].absent
    assert found["native-overlay"].found == "not here, and not needed (invalid argument)"


def test_no_device() -> None:
    found = judge(device=MISSING, chosen="overlay", tried={**ALL, "fuse-overlayfs": "no device"})
    assert found["storage-driver"].state == WORKS
    device = found["dev-fuse"]
    assert device.state == REDUCED and device.found == "/dev/fuse: no such file or directory"
    assert "the kernel's overlay is used" in device.meaning and "--userns" in device.meaning
    assert command(device) == "sudo modprobe fuse; sudo chmod 0666 /dev/fuse"
    # The program is there, nothing is to be done about it.
    assert found["fuse-overlayfs"].state == WORKS


def test_who_started_the_container_gives_it_the_device() -> None:
    found = judge(device=MISSING, container="podman")["dev-fuse"]
    assert command(found) == "# podman run --device /dev/fuse …"


def test_no_program() -> None:
    found = judge(program="", chosen="overlay", tried={**ALL, "fuse-overlayfs": "not installed"})
    assert found["dev-fuse"].state == WORKS
    assert found["fuse-overlayfs"].state == REDUCED
    assert command(found["fuse-overlayfs"]) == "sudo apt-get install fuse-overlayfs"


def test_files_as_images_run_without_a_mount_too() -> None:
    assert judge()["squashfuse"].found.startswith("/usr/bin/squashfuse_ll: ")
    found = judge(squash=["", "squashfuse_ll is not installed"])["squashfuse"]
    assert found.state == WORKS and "is unpacked first: squashfuse_ll is not" in found.found


def test_copies_are_told_as_what_they_cost() -> None:
    tried = {"fuse-overlayfs": "no device", "overlay": "operation not permitted", "vfs": ""}
    found = judge(device=MISSING, chosen="vfs", tried=tried)
    assert found["storage-driver"].state == REDUCED
    assert "copy of its whole image" in found["storage-driver"].meaning
    assert found["native-overlay"].state == REDUCED


def test_the_driver_that_a_run_takes_does_not_work() -> None:
    tried = {"fuse-overlayfs": "exit code 126", "overlay": "", "vfs": ""}
    found = judge(tried=tried)["storage-driver"]
    assert found.state == BROKEN and found.meaning == "rl run needs --storage-driver overlay"


def test_no_driver_at_all() -> None:
    found = judge(chosen="", refused="fuse-overlayfs: not installed")["storage-driver"]
    assert found.state == BROKEN and found.found == "fuse-overlayfs: not installed"
