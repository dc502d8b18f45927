import hashlib
import threading

import pytest
from support.loopback import serving

from albench.data import Archive
from albench.data.download import fetch
from albench.errors import DataError

CONTENT = bytes(range(256)) * 20_000  # 5 MB


@pytest.fixture
def server():
    with serving(CONTENT) as running:
        yield running


@pytest.fixture
def archive(server, tmp_path):
    return Archive(f"{server.url}/Task.tar", hashlib.md5(CONTENT).hexdigest(), tmp_path / "place" / "Task.tar")


def quietly(archive):
    return fetch(archive, lambda done, total: None, pause=0.01)


def test_an_archive_is_fetched_once_and_progress_is_told(server, archive):
    told = []
    path = fetch(archive, lambda done, total: told.append((done, total)))
    assert path.read_bytes() == CONTENT
    assert told[0] == (0, len(CONTENT))
    assert told[-1] == (len(CONTENT), len(CONTENT))
    quietly(archive)
    assert server.asked == [None]
    assert [entry.name for entry in path.parent.iterdir() if entry.suffix != ".lock"] == ["Task.tar"]


def test_a_broken_connection_goes_on_where_it_stopped(server, archive):
    server.breaks = [1_000_000, 2_000_000]
    assert quietly(archive).read_bytes() == CONTENT
    assert server.asked == [None, "bytes=1000000-", "bytes=3000000-"]


def test_what_an_earlier_process_received_is_not_fetched_again(server, archive):
    server.breaks = [1_500_000, 0, 0, 0, 0]
    with pytest.raises(DataError, match=r"must be reachable, the connection failed after 1 MiB .*: run the same"):
        quietly(archive)
    server.breaks = []
    assert quietly(archive).read_bytes() == CONTENT
    assert server.asked[-1] == "bytes=1500000-"


def test_a_server_that_knows_no_ranges_starts_again(server, archive):
    server.ranges, server.breaks = False, [1_000_000]
    assert quietly(archive).read_bytes() == CONTENT


def test_all_bytes_there_but_not_yet_checked_are_checked(server, archive):
    archive.path.parent.mkdir()
    (archive.path.parent / "Task.tar.part").write_bytes(CONTENT)
    assert quietly(archive).read_bytes() == CONTENT


def test_a_wrong_checksum_is_refused_and_the_file_removed(server, archive):
    server.content = CONTENT[:-1] + b"x"
    with pytest.raises(DataError, match=r"must have the MD5 sum [0-9a-f]{32}, it has [0-9a-f]{32}: it was removed"):
        quietly(archive)
    assert not archive.path.exists()
    assert not (archive.path.parent / "Task.tar.part").exists()
    server.content = CONTENT
    assert quietly(archive).read_bytes() == CONTENT


def test_a_server_that_is_not_there_is_one_sentence(archive, server):
    server.shutdown()
    server.server_close()
    with pytest.raises(DataError, match="must be reachable, the connection failed after 0 MiB"):
        quietly(archive)


def test_two_at_once_fetch_it_once(server, archive):
    threads = [threading.Thread(target=quietly, args=(archive,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert archive.path.read_bytes() == CONTENT
    assert len(server.asked) == 1
