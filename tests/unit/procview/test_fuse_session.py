"""A session's answers to what a kernel, or something worse, asks of it."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rootless import log
from rootless.procview import fuse
from rootless.procview.hostdir import PassThrough
from rootless.procview.page import Page
from rootless.procview.session import Session
from rootless.procview.tree import Directory, File

ALL_OPCODES = [*range(60), 4096, 2**32 - 1]


def request(
    opcode: int, body: bytes = b"", *, node: int = 1, unique: int = 7, reader: int = 1
) -> bytes:
    return struct.pack("=IIQQIIII", 40 + len(body), opcode, unique, node, 0, 0, reader, 0) + body


def read_body(handle: int, offset: int, size: int) -> bytes:
    return struct.pack("=QQIIQII", handle, offset, size, 0, 0, 0, 0)


class Client:
    """What the kernel does with a session; every method returns the payload or raises OSError."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def ask(self, opcode: int, body: bytes = b"", *, node: int = 1) -> bytes:
        answer = self.session.answer(request(opcode, body, node=node))
        length, error, unique = struct.unpack_from("=IiQ", answer)
        assert (length, unique) == (len(answer), 7)
        if error:
            raise OSError(-error, os.strerror(-error))
        return answer[16:]

    def walk(self, *names: bytes) -> int:
        node = 1
        for name in names:
            (node,) = struct.unpack_from("=Q", self.ask(fuse.LOOKUP, name + b"\0", node=node))
        return node

    def mode(self, node: int) -> int:
        (mode,) = struct.unpack_from("=I", self.ask(fuse.GETATTR, b"\0" * 16, node=node), 16 + 60)
        return int(mode)

    def open(self, node: int, flags: int = 0, opcode: int = fuse.OPEN) -> tuple[int, int]:
        handle, flags, _ = struct.unpack(
            "=QII", self.ask(opcode, struct.pack("=II", flags, 0), node=node)
        )
        return handle, flags

    def read(self, node: int, handle: int, offset: int = 0, size: int = 4096) -> bytes:
        return self.ask(fuse.READ, read_body(handle, offset, size), node=node)

    def text(self, *names: bytes) -> bytes:
        node = self.walk(*names)
        return self.read(node, self.open(node)[0])

    def names(self, node: int = 1, size: int = 4096) -> dict[bytes, tuple[int, int]]:
        handle, _ = self.open(node, opcode=fuse.OPENDIR)
        found = {}
        offset = 0
        while piece := self.ask(fuse.READDIR, read_body(handle, offset, size), node=node):
            while piece:
                number, offset, length, kind = struct.unpack_from("=QQII", piece)
                found[piece[24 : 24 + length]] = (number, kind)
                piece = piece[(24 + length + 7) // 8 * 8 :]
        return found


class Counting:
    """A text that says how often it was made."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, _: int = 0) -> bytes:
        self.count += 1
        return b"%d:" % self.count + b"x" * 5000


def broken(_: int) -> bytes:
    raise ValueError("a file of the host is gone")


@pytest.fixture
def host(tmp_path: Path) -> Iterator[int]:
    top = tmp_path / "cpu"
    for cpu in (0, 1, 2, 3):
        folder = top / f"cpu{cpu}" / "topology"
        folder.mkdir(parents=True)
        (folder / "core_id").write_text(f"{cpu}\n")
        (top / f"cpu{cpu}" / "subsystem").symlink_to("../../../../bus/cpu")
    (top / "cpufreq").mkdir()
    (top / "cpu01").mkdir()
    (top / "online").write_text("0-3\n")
    (top / "offline").write_text("\n")
    (top / "kernel_max").write_text("8191\n")
    (top / "secret").write_text("s")
    (top / "secret").chmod(0o200)
    (tmp_path / "outside").write_text("not for the container\n")
    (top / "escape").symlink_to("../outside")
    (top / "escapedir").symlink_to("..")
    os.mkfifo(top / "pipe")
    fd = os.open(top, os.O_PATH)
    yield fd
    os.close(fd)


def make_session(counting: Counting, host: int, cpus: list[int] | None = None) -> Session:
    overrides = {b"online": File(lambda _: b"0-1\n"), b"possible": File(lambda _: b"0-1\n")}
    shown = None if cpus is None else lambda _: cpus
    root = Directory({
        b"meminfo": File(counting),
        b"broken": File(broken),
        b"pressure": Directory({b"cpu": File(lambda _: b"some\n")}),
        b"cpu": PassThrough(host, overrides, shown),
    })  # fmt: skip
    return Session(root, Page())


@pytest.fixture
def counting() -> Counting:
    return Counting()


@pytest.fixture
def client(counting: Counting, host: int) -> Client:
    return Client(make_session(counting, host, [2, 3]))


def number_of_error(client: Client, opcode: int, body: bytes = b"", *, node: int = 1) -> int:
    with pytest.raises(OSError) as caught:
        client.ask(opcode, body, node=node)
    return caught.value.errno or 0


def test_files_are_found_and_read(client: Client) -> None:
    assert client.text(b"meminfo").startswith(b"1:x")
    assert client.text(b"pressure", b"cpu") == b"some\n"
    assert number_of_error(client, fuse.LOOKUP, b"kcore\0") == errno.ENOENT
    assert number_of_error(client, fuse.LOOKUP, b"x\0", node=client.walk(b"meminfo")) == (
        errno.ENOTDIR
    )


def test_content_is_made_anew_at_the_start_only(client: Client, counting: Counting) -> None:
    node = client.walk(b"meminfo")
    handle, flags = client.open(node)
    assert flags == fuse.FOPEN_DIRECT_IO
    assert counting.count == 0
    first = client.read(node, handle, 0, 3)
    rest = client.read(node, handle, 3, 10_000)
    assert (first + rest, counting.count) == (b"1:" + b"x" * 5000, 1)
    assert client.read(node, handle, 5002) == b""
    assert client.read(node, handle, 2**64 - 1, 2**32 - 1) == b""
    assert counting.count == 1
    assert client.read(node, handle, 0, 2) == b"2:"


def test_two_handles_of_one_file_have_their_own_content(client: Client) -> None:
    node = client.walk(b"meminfo")
    one, other = client.open(node)[0], client.open(node)[0]
    assert one != other
    client.read(node, one, 0, 10)
    client.read(node, other, 0, 10)
    assert client.read(node, one, 0, 2) == b"3:"
    assert client.read(node, other, 0, 2) == b"4:"


def test_an_unknown_handle_is_no_failure(client: Client, counting: Counting) -> None:
    node = client.walk(b"meminfo")
    assert client.read(node, 4711, 2, 3) == b"xxx"
    assert client.read(node, 4711, 4999, 100) == b"xxx"
    assert counting.count == 1


def test_a_released_handle_is_forgotten(client: Client, counting: Counting) -> None:
    node = client.walk(b"meminfo")
    handle, _ = client.open(node)
    client.read(node, handle, 0)
    client.ask(fuse.RELEASE, struct.pack("=QIIQ", handle, 0, 0, 0), node=node)
    client.read(node, handle, 3)
    assert counting.count == 2


def test_thousands_of_open_files_take_little_memory(client: Client) -> None:
    node = client.walk(b"meminfo")
    for _ in range(2000):
        client.read(node, client.open(node)[0], 0, 10)
    kept = client.session._kept
    assert 10 < len(kept) <= (1 << 19) // 5000


def test_handles_are_new_in_a_new_server(counting: Counting, host: int) -> None:
    page = Page()
    root = Directory({b"meminfo": File(counting)})
    first = Client(Session(root, page)).open(2)[0]
    second = Client(Session(root, page)).open(2)[0]
    assert first != second


def test_nothing_may_be_written(client: Client) -> None:
    node = client.walk(b"meminfo")
    for flags in (os.O_WRONLY, os.O_RDWR, os.O_TRUNC):
        body = struct.pack("=II", flags, 0)
        assert number_of_error(client, fuse.OPEN, body, node=node) == errno.EROFS
    for opcode in sorted(fuse.CHANGING):
        assert number_of_error(client, opcode, b"a\0b\0", node=node) == errno.EROFS
    assert client.ask(fuse.ACCESS, struct.pack("=II", os.R_OK, 0), node=node) == b""
    assert number_of_error(client, fuse.ACCESS, struct.pack("=II", 2, 0)) == errno.EROFS


def test_the_wrong_kind(client: Client) -> None:
    file, folder = client.walk(b"meminfo"), client.walk(b"pressure")
    assert number_of_error(client, fuse.OPEN, b"\0" * 8, node=folder) == errno.EISDIR
    assert number_of_error(client, fuse.READ, read_body(1, 0, 10), node=folder) == errno.EISDIR
    assert number_of_error(client, fuse.READDIR, read_body(1, 0, 10), node=file) == errno.ENOTDIR
    assert number_of_error(client, fuse.READLINK, node=file) == errno.EINVAL
    assert number_of_error(client, fuse.GETATTR, b"\0" * 16, node=99) == errno.ESTALE


def test_a_text_is_never_taken_for_a_listing(client: Client) -> None:
    client.read(client.walk(b"meminfo"), 5, 0)
    listing = client.ask(fuse.READDIR, read_body(5, 24, 4096), node=1)
    assert b"pressure" in listing
    client.session.answer(request(fuse.RELEASEDIR, struct.pack("=QIIQ", 5, 0, 0, 0)))
    assert list(client.session._kept) == [5]


def test_a_failing_file_is_an_error_of_its_own(client: Client) -> None:
    said: list[tuple[str, str]] = []
    log.install(lambda level, text: said.append((level, text)), debug=False)
    try:
        node = client.walk(b"broken")
        for _ in range(3):
            assert number_of_error(client, fuse.READ, read_body(1, 0, 10), node=node) == errno.EIO
    finally:
        log._sink = None
    assert said == [("warning", "the view of /proc: ValueError('a file of the host is gone')")]
    assert client.text(b"meminfo")


def test_init_comes_once(counting: Counting, host: int) -> None:
    page = Page()
    session = Session(Directory({}), page)
    raw = request(fuse.INIT, struct.pack("=IIII", 7, 38, 0, 0))
    assert len(session.answer(raw)) == 80
    assert session.has_greeted
    # Answered and not noted: a server was killed in between, and its successor has to answer.
    assert len(Session(Directory({}), page).answer(raw)) == 80
    page.is_initialised = True
    assert session.answer(raw) == fuse.refusal(7, errno.EIO)


def test_a_newer_major_version_is_asked_to_come_again() -> None:
    session = Session(Directory({}), Page())
    session.answer(request(fuse.INIT, struct.pack("=IIII", 8, 0, 0, 0)))
    assert not session.has_greeted


def test_what_wants_no_answer_gets_none(client: Client) -> None:
    assert client.session.answer(request(fuse.FORGET, b"\0" * 8)) == b""
    assert client.session.answer(request(fuse.BATCH_FORGET, b"\0" * 8)) == b""
    assert number_of_error(client, 36) == errno.ENOSYS, "INTERRUPT: the kernel then stops asking"
    assert client.ask(fuse.DESTROY) == b""
    assert len(client.ask(fuse.STATFS)) == 80


# The directory of the host.


def test_cpus_are_filtered_and_renumbered(client: Client) -> None:
    names = client.names(client.walk(b"cpu"))
    assert set(names) == {
        b".", b"..", b"cpu0", b"cpu1", b"cpu01", b"cpufreq", b"online", b"possible", b"offline",
        b"kernel_max", b"secret", b"escape", b"escapedir",
    }  # fmt: skip
    assert client.text(b"cpu", b"cpu0", b"topology", b"core_id") == b"2\n"
    assert client.text(b"cpu", b"cpu1", b"topology", b"core_id") == b"3\n"
    for name in (b"cpu2", b"cpu3", b"cpu999999", b"cpu" + b"9" * 200, b"pipe"):
        node = client.walk(b"cpu")
        assert number_of_error(client, fuse.LOOKUP, name + b"\0", node=node) == errno.ENOENT
    assert names[b"cpu0"] == (client.walk(b"cpu", b"cpu0"), fuse.DT_DIR)
    assert names[b"online"] == (client.walk(b"cpu", b"online"), fuse.DT_REG)


def test_the_number_of_cpus_may_change(counting: Counting, host: int) -> None:
    cpus = [0]
    client = Client(make_session(counting, host, cpus))
    folder = client.walk(b"cpu")
    assert number_of_error(client, fuse.LOOKUP, b"cpu1\0", node=folder) == errno.ENOENT
    cpus.append(3)
    assert client.text(b"cpu", b"cpu1", b"topology", b"core_id") == b"3\n"
    assert {b"cpu0", b"cpu1"} <= set(client.names(folder))


def test_without_a_choice_all_cpus_are_shown(counting: Counting, host: int) -> None:
    client = Client(make_session(counting, host))
    assert client.text(b"cpu", b"cpu3", b"topology", b"core_id") == b"3\n"
    assert {b"cpu0", b"cpu1", b"cpu2", b"cpu3"} <= set(client.names(client.walk(b"cpu")))


def test_overrides_and_the_rest(client: Client) -> None:
    assert client.text(b"cpu", b"online") == b"0-1\n"
    assert client.text(b"cpu", b"possible") == b"0-1\n", "the host here has none"
    assert client.text(b"cpu", b"kernel_max") == b"8191\n"
    assert client.mode(client.walk(b"cpu", b"kernel_max")) == 0o100444
    assert client.mode(client.walk(b"cpu", b"secret")) == 0o100000
    assert client.mode(client.walk(b"cpu", b"cpufreq")) == 0o040555


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Client]:
    """Two NUMA nodes of two CPUs each; what is shown: CPUs 1 and 2, to reader 5 only CPU 3."""
    for number in (0, 1):
        folder = tmp_path / "node" / f"node{number}"
        folder.mkdir(parents=True)
        (folder / "cpulist").write_text(f"{number * 2}-{number * 2 + 1}\n")
        (folder / "cpumap").write_text(f"{3 << number * 2:x}\n")
        (folder / "meminfo").write_text(f"Node {number} MemTotal: 5 kB\n")
        for cpu in (number * 2, number * 2 + 1):
            (folder / f"cpu{cpu}").symlink_to(f"../../cpu/cpu{cpu}")
    fd = os.open(tmp_path / "node", os.O_PATH)
    shown = PassThrough(
        fd, {}, lambda reader: [3] if reader == 5 else [1, 2],
        {b"node1/meminfo": lambda reader, host: b"%d %b" % (reader, host)},
    )  # fmt: skip
    yield Client(Session(Directory({b"node": shown}), Page()))
    os.close(fd)


def test_cpus_have_one_number_in_all_directories_and_files(nodes: Client) -> None:
    assert list(nodes.names(nodes.walk(b"node"))) == [b".", b"..", b"node0", b"node1"]
    for folder, cpu, mask in ((b"node0", b"0", b"1\n"), (b"node1", b"1", b"2\n")):
        names = nodes.names(nodes.walk(b"node", folder))
        assert [name for name in names if name.startswith(b"cpu") and name[3:].isdigit()] == [
            b"cpu" + cpu
        ]
        link = nodes.walk(b"node", folder, b"cpu" + cpu)
        assert nodes.ask(fuse.READLINK, node=link) == b"../../cpu/cpu" + cpu
        assert nodes.text(b"node", folder, b"cpulist") == cpu + b"\n"
        assert nodes.text(b"node", folder, b"cpumap") == mask
    for name in (b"cpu1", b"cpu2", b"cpu3"):
        place = nodes.walk(b"node", b"node0")
        assert number_of_error(nodes, fuse.LOOKUP, name + b"\0", node=place) == errno.ENOENT


def test_cpus_and_texts_are_those_of_the_reader(nodes: Client) -> None:
    def read(reader: int, *names: bytes) -> bytes:
        body = read_body(reader, 0, 4096)
        raw = request(fuse.READ, body, node=nodes.walk(b"node", *names), reader=reader)
        return nodes.session.answer(raw)[16:]

    assert read(5, b"node0", b"cpulist") == b"\n"
    assert read(5, b"node1", b"cpulist") == b"0\n"
    assert read(6, b"node1", b"cpulist") == b"1\n"
    assert read(5, b"node1", b"meminfo") == b"5 Node 1 MemTotal: 5 kB\n"
    assert read(6, b"node0", b"meminfo") == b"Node 0 MemTotal: 5 kB\n"


def test_nothing_of_the_directory_is_remembered_by_the_kernel(client: Client) -> None:
    folder = client.walk(b"cpu")
    for name in (b"online", b"kernel_max", b"cpu0"):
        answer = client.ask(fuse.LOOKUP, name + b"\0", node=folder)
        assert struct.unpack_from("=QQ", answer, 16) == (0, 0)


def test_links_are_shown_and_not_followed(client: Client) -> None:
    link = client.walk(b"cpu", b"escape")
    assert client.ask(fuse.READLINK, node=link) == b"../outside"
    assert client.mode(link) == 0o120777
    read = read_body(1, 0, 100)
    assert number_of_error(client, fuse.READ, read, node=link) == errno.ELOOP
    folder = client.walk(b"cpu", b"escapedir")
    assert number_of_error(client, fuse.LOOKUP, b"outside\0", node=folder) == errno.ENOTDIR
    assert number_of_error(client, fuse.READDIR, read, node=folder) in (errno.ELOOP, errno.ENOTDIR)


@pytest.mark.parametrize(
    "name", [b"..", b"../outside", b"/etc/passwd", b".", b"cpu0/../../outside"]
)
def test_names_lead_nowhere_else(client: Client, name: bytes) -> None:
    for node in (client.walk(b"cpu"), client.walk(b"cpu", b"cpu0")):
        assert number_of_error(client, fuse.LOOKUP, name + b"\0", node=node) == errno.ENOENT


def test_a_link_put_there_later_is_not_followed(client: Client, tmp_path: Path) -> None:
    node = client.walk(b"cpu", b"cpu1", b"topology", b"core_id")
    folder = tmp_path / "cpu" / "cpu3" / "topology"
    (folder / "core_id").unlink()
    (folder / "core_id").symlink_to(tmp_path / "outside")
    assert number_of_error(client, fuse.READ, read_body(1, 0, 100), node=node) == errno.ELOOP
    (folder / "core_id").unlink()
    folder.rmdir()
    folder.symlink_to(tmp_path)
    (tmp_path / "core_id").write_text("outside")
    assert number_of_error(client, fuse.READ, read_body(1, 0, 100), node=node) == errno.ENOTDIR


def test_host_files_keep_their_numbers_in_a_new_server(counting: Counting, host: int) -> None:
    old = Client(make_session(counting, host, [2, 3]))
    node = old.walk(b"cpu", b"cpu0", b"topology", b"core_id")
    new = Client(make_session(counting, host, [2, 3]))
    assert new.read(node, 1) == b"2\n"
    assert number_of_error(new, fuse.READ, read_body(1, 0, 9), node=node ^ 1) == errno.ESTALE


def test_a_walk_through_all_of_it_takes_little_memory(
    counting: Counting, host: int, tmp_path: Path
) -> None:
    for number in range(1500):
        (tmp_path / "cpu" / "cpufreq" / str(number)).write_text(f"{number}\n")
    client = Client(make_session(counting, host))
    folder = client.walk(b"cpu", b"cpufreq")
    nodes = [client.walk(b"cpu", b"cpufreq", str(number).encode()) for number in range(1500)]
    assert len(client.names(folder, size=600)) == 1502
    top = client.session._tree.find(client.walk(b"cpu"))
    assert isinstance(top, PassThrough)
    assert len(top._paths) <= 1024
    assert client.read(nodes[0], 1) == b"0\n"


# Everything else that bytes can be.


def test_every_opcode_with_every_length_is_answered(client: Client) -> None:
    for opcode in ALL_OPCODES:
        for length in (0, 1, 7, 8, 16, 24, 39, 40, 64, 8152):
            for filling in (b"\0", b"\xff", b"a"):
                answer = client.session.answer(request(opcode, filling * length))
                assert (answer == b"") == (opcode in (fuse.FORGET, fuse.BATCH_FORGET))
    assert client.text(b"meminfo")


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=200))
def test_noise(raw: bytes) -> None:
    session = Session(Directory({b"a": File(lambda _: b"text\n")}), Page())
    answer = session.answer(raw)
    assert len(answer) == 0 or answer[8:16] == raw[8:16]
    assert Client(session).text(b"a") == b"text\n"


INTERESTING = st.sampled_from([0, 1, 2, 3, 4, 2**31, 2**32 - 1, 2**62, 2**63, 2**64 - 1])


@settings(max_examples=500, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(ALL_OPCODES),
            INTERESTING | st.integers(0, 2**64 - 1),
            st.binary(max_size=120)
            | st.tuples(INTERESTING, INTERESTING, st.integers(0, 2**32 - 1)).map(
                lambda row: read_body(*row)
            )
            | st.sampled_from([b"a\0", b"cpu\0", b"cpu0\0", b"..\0", b"a/b\0"]),
        ),
        max_size=30,
    )
)
def test_any_sequence_of_requests(requests: list[tuple[int, int, bytes]]) -> None:
    fd = os.open("/sys/devices/system/cpu", os.O_PATH)
    try:
        root = Directory(
            {b"a": File(lambda _: b"text\n"), b"cpu": PassThrough(fd, {}, lambda _: [0])}
        )
        session = Session(root, Page())
        for opcode, node, body in requests:
            answer = session.answer(request(opcode, body, node=node))
            assert (answer == b"") == (opcode in (fuse.FORGET, fuse.BATCH_FORGET))
            assert not answer or struct.unpack_from("=I", answer) == (len(answer),)
        assert Client(session).text(b"a") == b"text\n"
    finally:
        os.close(fd)


def test_the_reader_decides_what_a_file_says() -> None:
    varies = False
    file = File(lambda reader: b"x" * reader, lambda reader: reader, lambda: varies)
    session = Session(Directory({b"a": file}), Page())

    def attributes(reader: int) -> tuple[int, int]:
        answer = session.answer(request(fuse.GETATTR, b"\0" * 16, node=2, reader=reader))
        seconds, size = struct.unpack_from("=Q16xQ", answer, 16)
        return seconds, size

    for reader in (3, 5):
        answer = session.answer(
            request(fuse.READ, read_body(reader, 0, 100), node=2, reader=reader)
        )
        assert answer[16:] == b"x" * reader
        assert attributes(reader) == (1, reader)
    varies = True
    assert attributes(7) == (0, 7)


def test_a_look_at_a_name_makes_no_text(counting: Counting) -> None:
    """Each mount of a file begins with one. The kernel asks anew before anybody sees the size."""
    file = File(counting, lambda reader: len(counting(reader)))
    client = Client(Session(Directory({b"meminfo": file}), Page()))
    answer = client.ask(fuse.LOOKUP, b"meminfo\0")
    # struct fuse_entry_out: nodeid, generation, entry_valid, attr_valid, two nsecs; fuse_attr.
    node, _, valid, attr_valid, _, _, _, size = struct.unpack_from("=QQQQIIQQ", answer)
    assert (node, attr_valid, size, counting.count) == (2, 0, 0, 0)
    assert valid > 0
    answer = client.ask(fuse.GETATTR, b"\0" * 16, node=node)
    assert struct.unpack_from("=Q16xQ", answer)[1] == 5002
