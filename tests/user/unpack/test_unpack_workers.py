"""The processes that unpack: results, failures, deaths, and what is left of them."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import os
import signal
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rootless.errors import ImageError, StoreError
from rootless.image.layer_worker import Job, Unpackers
from rootless.store import blobs, files, layers
from rootless.store.paths import Paths
from rootless.tools import idmap
from tests.unit.image.archives import Member, archive, device, file, folder

GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"


class Layer:
    """An archive, its diff id, and a file with it compressed."""

    def __init__(self, members: list[Member]) -> None:
        data = archive(members)
        self.diff_id = f"sha256:{hashlib.sha256(data).hexdigest()}"
        self.compressed = gzip.compress(data, 1)


def submit(unpackers: Unpackers, one: Layer) -> Job:
    """The layer from a file."""
    fd = os.memfd_create("blob")
    try:
        os.write(fd, one.compressed)
        os.lseek(fd, 0, os.SEEK_SET)
        return unpackers.submit(one.diff_id, GZIP, fd)
    finally:
        os.close(fd)


def layer(number: int, count: int = 20) -> Layer:
    members = [file(f"d/f{k}", b"%d" % number * 100, uid=k % 3, gid=k % 5) for k in range(count)]
    return Layer([folder("d", uid=7), *members])


@pytest.fixture
def paths(store: Paths) -> Paths:
    blobs.ensure_layout(store)
    return store


@pytest.fixture
def unpackers(paths: Paths) -> Iterator[Unpackers]:
    with Unpackers.start(paths, 2) as unpackers:
        yield unpackers


def in_tmp(paths: Paths) -> list[str]:
    return sorted(os.listdir(paths.tmp))


def is_true_soon(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 10
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def test_layers_appear_when_committed(paths: Paths, unpackers: Unpackers) -> None:
    made = [layer(number) for number in range(5)]
    jobs = [submit(unpackers, one) for one in made]
    for one, job in zip(made, jobs, strict=True):
        report = job.wait()
        assert (report.diff_id, report.size, report.files) == (one.diff_id, 2000, 21)
        assert not layers.has(paths, one.diff_id)
        job.commit()
        assert layers.has(paths, one.diff_id)
        assert layers.info(paths, one.diff_id) == {"size": 2000, "files": 21, "notes": []}
        assert (Path(paths.layer_diff(one.diff_id)) / "d/f1").read_bytes()[:1].isdigit()
    assert set(layers.stored(paths)) == {one.diff_id for one in made}
    layers.remove(paths, [one.diff_id for one in made])
    assert layers.stored(paths) == []


def test_notes_reach_the_report_and_the_store(paths: Paths, unpackers: Unpackers) -> None:
    one = Layer([device("dev/null")])
    job = submit(unpackers, one)
    job.commit()
    assert job.wait().notes == ["device nodes not made: 1 (dev/null)"]
    assert layers.info(paths, one.diff_id)["notes"] == job.wait().notes


def test_a_layer_of_a_pipe_from_several_threads(paths: Paths, unpackers: Unpackers) -> None:
    made = [layer(number) for number in range(6)]

    def bring(one: Layer) -> None:
        read_end, write_end = os.pipe()
        job = unpackers.submit(one.diff_id, GZIP, read_end)
        os.close(read_end)
        with open(write_end, "wb") as pipe:
            for start in range(0, len(one.compressed), 100):
                pipe.write(one.compressed[start : start + 100])
                pipe.flush()
        job.commit()

    threads = [threading.Thread(target=bring, args=(one,)) for one in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(layers.has(paths, one.diff_id) for one in made)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda data: data[: len(data) // 2], "cut in the middle of the gzip stream"),
        (lambda data: data[:-6] + b"junk56", "damaged gzip stream"),
        (lambda data: gzip.compress(gzip.decompress(data) + b"x"), "has the digest sha256:"),
        (lambda data: gzip.compress(archive([file("../f")])), r"\.\./f: '\.\.' in a name"),
        (lambda data: gzip.compress(archive([file("f", uid=2**31)])), "f: is owned by uid 2147483"),
    ],
)
def test_a_bad_layer_leaves_nothing(
    paths: Paths, unpackers: Unpackers, change: Callable[[bytes], bytes], reason: str
) -> None:
    one = layer(1)
    one.compressed = change(one.compressed)
    job = submit(unpackers, one)
    with pytest.raises(ImageError, match=reason) as caught:
        job.wait()
    assert caught.value.message.startswith(f"layer {one.diff_id} ({GZIP}): ")
    with pytest.raises(ImageError, match=reason):
        job.commit()
    assert layers.stored(paths) == []
    workspace = Path(paths.tmp) / next(name for name in in_tmp(paths) if "." not in name)
    assert list(workspace.iterdir()) == []
    good = layer(2)
    submit(unpackers, good).commit()
    assert layers.stored(paths) == [good.diff_id]


def test_the_writer_into_a_refused_pipe_is_told(unpackers: Unpackers) -> None:
    read_end, write_end = os.pipe()
    job = unpackers.submit("sha256:" + "0" * 64, GZIP, read_end)
    os.close(read_end)
    with pytest.raises(BrokenPipeError), open(write_end, "wb", buffering=0) as pipe:
        for _ in range(1000):
            pipe.write(b"this is no archive" * 1000)
    with pytest.raises(ImageError, match="not a number in the header's field checksum"):
        job.wait()


def test_the_same_layer_twice(paths: Paths, unpackers: Unpackers) -> None:
    one = layer(1)
    jobs = [submit(unpackers, one) for _ in range(2)]
    for job in jobs:
        job.commit()
        job.commit()
    assert layers.stored(paths) == [one.diff_id]


def test_a_discarded_layer_goes_at_the_end(paths: Paths) -> None:
    with Unpackers.start(paths, 1) as unpackers:
        done, early = layer(1), layer(2)
        job = submit(unpackers, done)
        job.wait()
        job.discard()
        dropped = submit(unpackers, early)
        dropped.discard()
        with pytest.raises(StoreError, match="given up"):
            dropped.wait()
    assert layers.stored(paths) == []
    assert in_tmp(paths) == []


def test_closing_in_the_middle_of_a_layer(paths: Paths) -> None:
    read_end, write_end = os.pipe()
    one = layer(1, 2000)
    with Unpackers.start(paths, 1) as unpackers:
        job = unpackers.submit(one.diff_id, GZIP, read_end)
        os.write(write_end, one.compressed[:-200])
        assert is_true_soon(lambda: has_entries(paths))
    assert in_tmp(paths) == []
    with pytest.raises(StoreError, match="was killed"):
        job.wait()
    os.close(read_end)
    os.close(write_end)


def has_entries(paths: Paths) -> bool:
    """Whether some worker has begun to fill a tree."""
    return any(Path(paths.tmp).glob("unpack-*/*/diff/d/f*"))


def test_a_killed_worker_fails_its_job_and_no_other(paths: Paths) -> None:
    one, other = layer(1, 2000), layer(2)
    read_end, write_end = os.pipe()
    with Unpackers.start(paths, 1) as unpackers:
        job = unpackers.submit(one.diff_id, GZIP, read_end)
        os.write(write_end, one.compressed[:-200])
        waiting = submit(unpackers, other)
        assert is_true_soon(lambda: has_entries(paths))
        os.kill(unpackers._workers[0].pid, signal.SIGKILL)
        for unfinished in (job, waiting):
            with pytest.raises(StoreError, match="was killed"):
                unfinished.wait()
        with pytest.raises(StoreError, match="no process is left"):
            unpackers.submit(other.diff_id, GZIP, read_end)
    assert in_tmp(paths) == []
    os.close(read_end)
    os.close(write_end)


def start_and_hang(paths: Paths) -> int:
    """A process that is in the middle of a layer; its pid."""
    one = layer(1, 2000)
    pid = os.fork()
    if pid:
        return pid
    read_end, write_end = os.pipe()
    unpackers = Unpackers.start(paths, 2)
    unpackers.submit(one.diff_id, GZIP, read_end)
    done = layer(2)
    submit(unpackers, done).wait()
    os.write(write_end, one.compressed[:-200])
    signal.pause()
    os._exit(0)


def test_what_a_killed_parent_leaves_is_swept(paths: Paths) -> None:
    pid = start_and_hang(paths)
    assert is_true_soon(lambda: has_entries(paths) and len(in_tmp(paths)) == 2)
    assert layers.sweep(paths) == 0, "the owner is alive"
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    # The workers get their signal when the parent dies, and hold the lock until they are gone.
    assert is_true_soon(lambda: layers.sweep(paths) == 1)
    assert in_tmp(paths) == []
    assert layers.stored(paths) == []


def test_a_sweep_that_was_cut_goes_on(paths: Paths) -> None:
    one = Path(paths.tmp) / "unpack-1-1"
    (one / "1/diff").mkdir(parents=True)
    (Path(paths.tmp) / "unpack-2-1.lock").touch()
    (Path(paths.tmp) / "download-abc.partial").touch()
    assert layers.sweep(paths) == 2
    assert in_tmp(paths) == ["download-abc.partial"]
    (Path(paths.tmp) / "download-abc.partial").unlink()


def test_sweeping_and_starting_at_once(paths: Paths) -> None:
    stop = threading.Event()

    def sweep_on() -> None:
        while not stop.is_set():
            layers.sweep(paths)

    sweeper = threading.Thread(target=sweep_on)
    sweeper.start()
    try:
        for _ in range(200):
            with layers.Workspace(paths) as workspace:
                assert os.path.isdir(workspace.path)
                assert workspace.lock.is_current()
    finally:
        stop.set()
        sweeper.join()
    assert in_tmp(paths) == []


def test_a_full_disk_is_told_as_such(paths: Paths, unpackers: Unpackers) -> None:
    one = Layer([file("huge", b"x")])
    raw = bytearray(gzip.decompress(one.compressed))
    raw[124:136] = b"\x80" + (1 << 60).to_bytes(11, "big")
    raw[148:156] = b" " * 8
    raw[148:156] = b"%06o\0 " % sum(raw[:512])
    one.compressed = gzip.compress(bytes(raw))
    job = submit(unpackers, one)
    with pytest.raises(
        StoreError, match="huge: its 1152921504606846976 bytes do not fit"
    ) as caught:
        job.wait()
    assert caught.value.hint.startswith("df -h")


def test_memory_stays_small_whatever_the_layer_is(paths: Paths) -> None:
    """A file of 256 MiB and ten thousand entries; the peak of the worker and of nothing else."""
    zeros = Layer([file("big", bytes(64 << 20)), *(file(f"d{n}/f") for n in range(5000))])
    with Unpackers.start(paths, 1) as unpackers:
        submit(unpackers, zeros).wait()
        status = Path(f"/proc/{unpackers._workers[0].pid}/smaps_rollup").read_text()
    fields = dict(line.split(":") for line in status.splitlines()[1:])
    private = sum(int(fields[key].split()[0]) for key in ("Private_Clean", "Private_Dirty"))
    assert private < 40 * 1024


def sockets_of(pid: int) -> set[str]:
    found = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):  # the listing's own
            found.add(os.readlink(f"/proc/{pid}/fd/{fd}"))
    return {link for link in found if link.startswith("socket:")}


def test_workers_hold_no_descriptors_of_others(paths: Paths) -> None:
    """One socket, the requests': not the parent's end, and no reply once a job is done."""
    of_tests = sockets_of(os.getpid())
    with Unpackers.start(paths, 2) as unpackers:
        for number in range(4):
            submit(unpackers, layer(number)).wait()

        def own() -> list[int]:
            return [len(sockets_of(worker.pid) - of_tests) for worker in unpackers._workers]

        assert is_true_soon(lambda: own() == [1, 1])


def test_trees_of_subordinate_ids_are_removed(paths: Paths, unpackers: Unpackers) -> None:
    if idmap.canonical_maps().is_single:
        pytest.skip("no subordinate ids")
    one = Layer([folder("d", uid=1000, mode=0o700), file("d/f", uid=1000), folder("d/e", uid=1)])
    submit(unpackers, one).commit()
    tree = Path(paths.layer_diff(one.diff_id))
    assert stat.S_IMODE((tree / "d").stat().st_mode) == 0o700
    assert (tree / "d").stat().st_uid != os.geteuid()
    assert layers.remove(paths, [one.diff_id, "sha256:" + "0" * 64]) == [one.diff_id]
    assert not layers.has(paths, one.diff_id)


def test_a_locked_file_is_not_taken_for_a_workspace(paths: Paths) -> None:
    lock = files.Lock(f"{paths.tmp}/unpack-{os.getpid()}-1.lock", blocking=False)
    assert lock.acquire()
    with layers.Workspace(paths) as workspace:
        assert workspace.path.endswith("-2")
    os.unlink(lock.path)
    lock.release()


def test_a_user_without_subordinate_ids(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idmap, "subordinate_ids", lambda path: [])
    assert idmap.canonical_maps().is_single
    one = Layer(
        [
            folder("d", uid=1000, gid=1000, mode=0o2555),
            file("d/f", b"x", uid=2**31, mode=0o4000),
            file("d/.wh.gone"),
        ]
    )
    with Unpackers.start(paths, 1) as unpackers:
        job = submit(unpackers, one)
        job.commit()
    assert job.wait().notes == []
    tree = Path(paths.layer_diff(one.diff_id))
    assert {path.lstat().st_uid for path in tree.rglob("*")} == {os.geteuid()}
    assert [stat.S_IMODE((tree / name).stat().st_mode) for name in ("d", "d/f")] == [0o2555, 0o4000]
    assert stat.S_ISCHR((tree / "d/gone").stat().st_mode)
    assert layers.remove(paths, [one.diff_id]) == [one.diff_id]
    assert in_tmp(paths) == layers.stored(paths) == []
