from __future__ import annotations

import hashlib
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from rootless.errors import RegistryError
from rootless.image import http, transfer
from rootless.image.progress import Silent
from rootless.model.media import OCI_LAYER, Descriptor
from rootless.store.paths import Paths

DATA = os.urandom(700_000)
DIGEST = "sha256:" + hashlib.sha256(DATA).hexdigest()
BLOB = Descriptor(OCI_LAYER, DIGEST, len(DATA))


@pytest.fixture
def store(tmp_path: Path) -> Paths:
    (tmp_path / "tmp").mkdir()
    return Paths(str(tmp_path), str(tmp_path))


class Stream:
    def __init__(self, data: bytes, offset: int, broken: bool) -> None:
        self.offset = offset
        self.data, self.broken = data, broken

    def read_some(self, limit: int) -> bytes:
        if not self.data and self.broken:
            raise http.TransportError("cut", is_temporary=True)
        part, self.data = self.data[:limit], self.data[limit:]
        return part

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class FakeSource:
    """A source whose connections bring `portions` bytes each, then everything."""

    def __init__(self, *portions: int, data: bytes = DATA, ranges: bool = True) -> None:
        self.portions, self.data, self.ranges = list(portions), data, ranges
        self.offsets: list[int] = []
        self.pauses: list[float] = []

    def open_blob(self, digest: str, size: int, offset: int) -> Stream:
        self.offsets.append(offset)
        start = offset if self.ranges else 0
        if self.portions:
            return Stream(self.data[start : start + self.portions.pop(0)], start, True)
        return Stream(self.data[start:], start, False)

    def check(self) -> None:
        pass

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)


def receive(store: Paths, source: Any) -> bytes:
    with transfer.Partial(store, BLOB) as partial:
        transfer.receive(source, partial, Silent(), lambda size: None)
        return Path(partial.path).read_bytes()


def test_a_whole_blob(store: Paths) -> None:
    source = FakeSource()
    assert receive(store, source) == DATA
    assert source.offsets == [0]


def test_it_goes_on_where_the_connection_broke(store: Paths) -> None:
    source = FakeSource(1000, 2000)
    assert receive(store, source) == DATA
    assert source.offsets == [0, 1000, 3000]
    assert len(source.pauses) == 2


def test_it_goes_on_where_an_older_pull_ended(store: Paths) -> None:
    with pytest.raises(RegistryError, match="cut"):
        receive(store, FakeSource(1000, 0, 0, 0, 0, 0, 0))
    source = FakeSource()
    assert receive(store, source) == DATA
    assert source.offsets == [1000]


def test_what_is_sent_again_is_skipped(store: Paths) -> None:
    assert receive(store, FakeSource(300_000, 400_000, ranges=False)) == DATA


def test_wrong_content_empties_the_file(store: Paths) -> None:
    with pytest.raises(RegistryError, match="have the digest sha256:"):
        receive(store, FakeSource(data=DATA[:-1] + bytes([DATA[-1] ^ 1])))
    assert os.listdir(store.tmp) == []


def test_too_much_is_not_read(store: Paths) -> None:
    with pytest.raises(RegistryError, match="more than the 700000 bytes"):
        receive(store, FakeSource(data=DATA + b"x" * (10 << 20)))
    assert os.listdir(store.tmp) == []


def test_an_early_end_is_a_failure(store: Paths) -> None:
    with pytest.raises(RegistryError, match="ended after 10 of 700000 bytes"):
        receive(store, FakeSource(data=DATA[:10]))


def test_a_longer_old_file_is_not_used(store: Paths) -> None:
    path = Path(store.tmp) / f"download-{DIGEST[7:]}.partial"
    path.write_bytes(DATA + b"x")
    source = FakeSource()
    assert receive(store, source) == DATA
    assert source.offsets == [0]


def test_an_empty_blob(store: Paths) -> None:
    empty = Descriptor(OCI_LAYER, "sha256:" + hashlib.sha256(b"").hexdigest(), 0)
    source = FakeSource()
    with transfer.Partial(store, empty) as partial:
        transfer.receive(source, partial, Silent(), lambda size: None)  # type: ignore[arg-type]
        assert os.path.exists(partial.path)
    assert source.offsets == []


def read_all(fd: int, pause: float = 0.0) -> bytes:
    parts = []
    while part := os.read(fd, 65536):
        parts.append(part)
        time.sleep(pause)
    return b"".join(parts)


@pytest.fixture
def source_file(tmp_path: Path) -> int:
    path = tmp_path / "file"
    path.write_bytes(DATA * 4)
    return os.open(path, os.O_RDONLY)


class Reader:
    """A thread that reads a feeder's pipe as an unpacker would, with a descriptor of its own."""

    def __init__(self, feeder: transfer.Feeder) -> None:
        self.fd = os.dup(feeder.read_fd)
        feeder.close_reader()
        self.data = b""
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self) -> None:
        self.data = read_all(self.fd)
        os.close(self.fd)

    def result(self) -> bytes:
        self.thread.join(10)
        assert not self.thread.is_alive()
        return self.data


def test_a_feeder_gives_what_was_offered(source_file: int) -> None:
    feeder = transfer.Feeder(source_file)
    reader = Reader(feeder)
    for size in (1, 1000, len(DATA), len(DATA) * 4):
        feeder.offer(size)
    feeder.end()
    feeder.close()
    os.close(source_file)
    assert reader.result() == DATA * 4


def test_a_feeder_without_splice_copies(source_file: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(os, "splice", refuse)
    feeder = transfer.Feeder(source_file)
    reader = Reader(feeder)
    feeder.offer(len(DATA) * 4)
    feeder.end()
    feeder.close()
    os.close(source_file)
    assert reader.result() == DATA * 4


def test_a_reader_that_goes_away_is_noticed(source_file: int) -> None:
    feeder = transfer.Feeder(source_file)
    feeder.close_reader()
    feeder.offer(len(DATA))
    feeder.end()
    assert feeder.is_refused
    feeder.close()
    os.close(source_file)


def test_an_abandoned_feeder_ends_although_nobody_reads(source_file: int) -> None:
    feeder = transfer.Feeder(source_file)
    feeder.offer(len(DATA) * 4)
    time.sleep(0.05)
    start = time.monotonic()
    feeder.close()
    assert time.monotonic() - start < 2
    os.close(source_file)


def test_a_lock_is_waited_for_and_leaves_no_file(store: Paths) -> None:
    source = FakeSource()
    told: list[str] = []
    first = transfer.BlobLock(store, DIGEST, source, lambda: None)  # type: ignore[arg-type]
    second = transfer.BlobLock(store, DIGEST, source, lambda: told.append("wait"))  # type: ignore[arg-type]
    first.__enter__()
    monitor = threading.Timer(0.2, first.__exit__)
    monitor.start()
    with second:
        assert told == ["wait"]
    monitor.join()
    assert os.listdir(store.tmp) == []


def test_a_sweep_spares_what_is_young_or_in_use(store: Paths) -> None:
    for number, age in ((0, 0), (1, 5000), (2, 5000)):
        path = Path(store.tmp) / f"download-{str(number) * 64}.partial"
        path.write_bytes(b"x" * 10)
        os.utime(path, (time.time() - age, time.time() - age))
    (Path(store.tmp) / f"download-{'3' * 64}.lock").touch()
    (Path(store.tmp) / "unpack-1").mkdir()
    with transfer.BlobLock(store, f"sha256:{'2' * 64}", FakeSource(), lambda: None):  # type: ignore[arg-type]
        assert transfer.sweep(store, 1000) == 10
    left = sorted(os.listdir(store.tmp))
    assert left == [f"download-{'0' * 64}.partial", f"download-{'2' * 64}.partial", "unpack-1"]
