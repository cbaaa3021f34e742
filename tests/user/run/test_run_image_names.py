"""What `rl run` takes for an image: ids and digests too, as scripts pass them on."""

from __future__ import annotations

import json

import pytest

from rootless.model import platform
from tests.user.conftest import Rl

ARCHITECTURE = platform.host().architecture


@pytest.mark.parametrize("kind", ["id", "short", "prefixed", "digest", "named"])
@pytest.mark.parametrize("policy", ["missing", "never"])
def test_ids_and_digests(rl: Rl, busybox_image: str, kind: str, policy: str) -> None:
    image_id = rl("pull", "-q", busybox_image).stdout.strip()
    (document,) = json.loads(rl("inspect", image_id).stdout)
    text = {
        "id": image_id,
        "short": image_id[:12],
        "prefixed": document["Id"],
        "digest": document["Digest"],
        "named": document["RepoDigests"][0],
    }[kind]
    done = rl("run", "--rm", "--net=none", f"--pull={policy}", text, "echo", "ran")
    assert done.stdout == "ran\n"


@pytest.mark.parametrize("text", ["0" * 64, f"sha256:{'0' * 64}"])
def test_no_registry_is_asked_for_an_id(rl: Rl, busybox_image: str, text: str) -> None:
    said = rl("run", "--rm", text, "true", code=125).stderr
    assert said == f"rl: error: {text}: no such image\nhint: rl images\n"
    assert "not an image reference" in rl("pull", text, code=125).stderr


def test_a_present_image_is_not_run_for_a_platform_that_it_is_not_for(
    rl: Rl, busybox_image: str
) -> None:
    done = rl("run", "--rm", "--platform", "linux/s390x", busybox_image, "true", code=125)
    assert done.stderr.startswith(f"rl: error: {busybox_image}")
    assert "not linux/s390x" in done.stderr
    own = f"linux/{ARCHITECTURE}"
    assert rl("run", "--rm", "--platform", own, busybox_image, "echo", "hi").stdout == "hi\n"
